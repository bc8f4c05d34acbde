// Package conf knows PostgreSQL's configuration files: postgresql.conf and its
// kin, pg_hba.conf, pg_ident.conf, connection strings and password files.
// All of it is pure, bytes in and bytes out, but for Server, which asks the
// local server what it cannot load.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Entry is one line that sets something.
type Entry struct {
	Name    string // in lower case: the server compares names without case
	Value   string // without quotes and escapes
	Line    int    // counted from 1
	Include bool   // include, include_dir or include_if_exists; Value is its path
}

// Parse reads a file by the rules of the server's own scanner (guc-file.l;
// chapter "Setting Parameters", "Parameter Interaction via the Configuration
// File"). As the server does, it goes on after a bad line: the entries are all
// the good lines, and the error lists every bad one.
func Parse(b []byte) ([]Entry, error) {
	var entries []Entry
	var bad []error
	for _, l := range splitLines(b) {
		switch {
		case l.bad:
			bad = append(bad, fmt.Errorf("line %d: syntax error near %s: %s", l.entry.Line, l.near, withoutSecret(l.body)))
		case l.entry.Name != "":
			entries = append(entries, l.entry)
		}
	}
	return entries, errors.Join(bad...)
}

// Effective is what the files say together, later lines and files winning.
// Includes are not followed, and bad lines say nothing.
func Effective(files ...[]byte) map[string]string {
	values := map[string]string{}
	for _, b := range files {
		entries, _ := Parse(b) // bad lines set nothing; Sanitize reports them
		for _, e := range entries {
			if !e.Include {
				values[e.Name] = e.Value
			}
		}
	}
	return values
}

// line is one line of a file, split so that body+eol gives its bytes back.
type line struct {
	body, eol string
	entry     Entry // Name is empty on blank, commented and bad lines; Line is always set
	bad       bool
	near      string // what a bad line is bad at, in the server's words
}

func splitLines(b []byte) []line {
	var lines []line
	for n := 1; len(b) > 0; n++ {
		raw, rest, found := bytes.Cut(b, []byte("\n"))
		l := line{body: string(raw)}
		if found {
			l.eol = "\n"
			if strings.HasSuffix(l.body, "\r") {
				l.body, l.eol = l.body[:len(l.body)-1], "\r\n"
			}
		}
		l.read(n)
		lines = append(lines, l)
		b = rest
	}
	return lines
}

// read takes the body apart: a name, perhaps an equals sign, a value, the end.
func (l *line) read(number int) {
	l.entry.Line = number
	rest := l.body
	next := func() (t token) {
		t, rest = scan(rest)
		return t
	}
	fail := func(t token) {
		l.bad, l.near = true, t.describe()
	}
	name := next()
	if name.kind == tokenEnd {
		return
	}
	if name.kind != tokenID && name.kind != tokenQualifiedID {
		fail(name)
		return
	}
	value := next()
	if value.kind == tokenEquals {
		value = next()
	}
	if !value.isValue() || strings.ContainsRune(value.text, 0) {
		fail(value)
		return
	}
	if end := next(); end.kind != tokenEnd {
		fail(end)
		return
	}
	l.entry.Name = lower(name.text)
	l.entry.Value = value.text
	if value.kind == tokenString {
		l.entry.Value = unquote(value.text)
	}
	switch l.entry.Name {
	case "include", "include_dir", "include_if_exists":
		l.entry.Include = true
	}
}

// lower folds ASCII only, as the server's comparison of names does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// secret finds a password in a connection string, a URI or a command.
var secret = regexp.MustCompile(`(?i)passw(or)?d\s*=|://[^/\s]*@`)

// withoutSecret is text fit for an error or a plan: what seems to hold a
// password is not shown.
func withoutSecret(text string) string {
	if secret.MatchString(text) {
		return "(not shown: it may hold a password)"
	}
	return text
}
