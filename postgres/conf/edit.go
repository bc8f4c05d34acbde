package conf

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
)

// mark begins the words that stand beside what this program changed.
const mark = "# zreconcile: "

// Setting is a name with its value and, for the reader of the file, why.
type Setting struct {
	Name, Value, Why string
}

// CommentOut puts a # before each line that match picks and the reason behind
// it. Every other byte stays. Lines that are commented already set nothing, so
// they never reach match, and doing it again changes nothing.
func CommentOut(b []byte, match func(Entry) (reason string, yes bool)) []byte {
	var out bytes.Buffer
	for _, l := range splitLines(b) {
		if l.entry.Name != "" {
			if reason, yes := match(l.entry); yes {
				l.body = commented(l.body, reason)
			}
		}
		out.WriteString(l.body + l.eol)
	}
	return out.Bytes()
}

// Replace writes anew each line that sets one of the settings. Every other byte
// stays; a setting that the file does not name is not added.
func Replace(b []byte, settings []Setting) []byte {
	byName := map[string]Setting{}
	for _, s := range settings {
		byName[lower(s.Name)] = s
	}
	var out bytes.Buffer
	for _, l := range splitLines(b) {
		if s, replaced := byName[l.entry.Name]; replaced && !l.entry.Include {
			l.body = rendered(s)
		}
		out.WriteString(l.body + l.eol)
	}
	return out.Bytes()
}

func commented(body, reason string) string {
	return "#" + body + "  " + mark + oneLine(reason)
}

// oneLine keeps a reason within its comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Quote writes a value so that the server reads the same bytes back: quotes
// and backslashes doubled, line breaks as escapes. A NUL, which no value can
// hold, is left out; QuoteErr refuses it.
func Quote(v string) string {
	return "'" + quoter.Replace(v) + "'"
}

var quoter = strings.NewReplacer("'", "''", `\`, `\\`, "\n", `\n`, "\r", `\r`, "\x00", "")

// QuoteErr is Quote for a value that comes from outside.
func QuoteErr(v string) (string, error) {
	if strings.ContainsRune(v, 0) {
		return "", errors.New("the value holds a NUL byte, which no PostgreSQL setting can: take it out")
	}
	return Quote(v), nil
}

// Render writes a configuration file: the header as comments, then one line a
// setting, sorted by name. Of two settings of one name the later one stands.
func Render(header string, settings []Setting) []byte {
	byName := map[string]Setting{}
	for _, s := range settings {
		s.Name = lower(s.Name)
		byName[s.Name] = s
	}
	sorted := slices.SortedFunc(maps.Values(byName), func(a, b Setting) int { return cmp.Compare(a.Name, b.Name) })

	var out bytes.Buffer
	for text := range strings.Lines(header) {
		out.WriteString(strings.TrimRight("# "+strings.TrimRight(text, "\r\n"), " ") + "\n")
	}
	for _, s := range sorted {
		out.WriteString(rendered(s) + "\n")
	}
	return out.Bytes()
}

// rendered is the line of a setting, with why as a comment.
func rendered(s Setting) string {
	line := s.Name + " = " + Quote(s.Value)
	if s.Why != "" {
		line += "  # " + oneLine(s.Why)
	}
	return line
}
