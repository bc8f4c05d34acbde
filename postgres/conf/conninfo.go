package conf

import (
	"errors"
	"fmt"
	"strings"
)

// Conninfo writes a connection string of keywords and values in the order
// given (libpq, "Connection Strings"): quoted where empty or where it holds
// white space, quotes or backslashes.
func Conninfo(kv []Setting) string {
	words := make([]string, len(kv))
	for i, s := range kv {
		value := s.Value
		if value == "" || strings.ContainsAny(value, `'\`+listSpace) {
			value = "'" + conninfoQuoter.Replace(value) + "'"
		}
		words[i] = s.Name + "=" + value
	}
	return strings.Join(words, " ")
}

var conninfoQuoter = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// ParseConninfo reads a connection string of keywords and values as libpq
// does, but no URI. Its errors quote no value: it may be a password.
func ParseConninfo(s string) ([]Setting, error) {
	if strings.HasPrefix(s, "postgresql://") || strings.HasPrefix(s, "postgres://") {
		return nil, errors.New("a connection URI stands where keywords and values are expected: write it as host=... port=...")
	}
	var kv []Setting
	for s = strings.TrimLeft(s, listSpace); s != ""; s = strings.TrimLeft(s, listSpace) {
		n := strings.IndexAny(s, "="+listSpace)
		if n < 0 {
			n = len(s)
		}
		name := s[:n]
		s = strings.TrimLeft(s[n:], listSpace)
		if name == "" || !strings.HasPrefix(s, "=") {
			return kv, fmt.Errorf("the connection string has no %q after its %s keyword: write keyword=value, with single quotes around a value that holds spaces", "=", ordinal(len(kv)+1))
		}
		value, rest, err := conninfoValue(strings.TrimLeft(s[1:], listSpace))
		if err != nil {
			return kv, fmt.Errorf("keyword %s of the connection string: %w", name, err)
		}
		kv = append(kv, Setting{Name: name, Value: value})
		s = rest
	}
	return kv, nil
}

// conninfoValue reads one value: a backslash takes the next byte as it is,
// inside quotes and outside.
func conninfoValue(s string) (value, rest string, err error) {
	quoted := strings.HasPrefix(s, "'")
	i := 0
	if quoted {
		i = 1
	}
	var out strings.Builder
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i < len(s) {
				out.WriteByte(s[i])
			}
		case quoted && c == '\'':
			return out.String(), s[i+1:], nil
		case !quoted && strings.IndexByte(listSpace, c) >= 0:
			return out.String(), s[i:], nil
		default:
			out.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("the quoted value does not end: close it with a single quote")
	}
	return out.String(), "", nil
}

func ordinal(n int) string {
	suffix := "th"
	if tens := n / 10 % 10; tens != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}

// PassfileLine gives what a password file needs for a connection (libpq, "The
// Password File"), one line for each host of a comma list; ports go with the
// hosts, or one with all. An empty field matches anything. Errors never quote
// the password.
func PassfileLine(host, port, db, user, password string) (string, error) {
	for _, f := range []string{host, port, db, user, password} {
		if strings.ContainsAny(f, "\n\r\x00") {
			return "", errors.New("host, port, database, user or password holds a line break or a NUL byte, which a password file cannot: is there one at the end of the password's file?")
		}
	}
	if password == "" {
		return "", errors.New("the password is empty: libpq would pass over its line of the password file")
	}
	hosts, ports := strings.Split(host, ","), strings.Split(port, ",")
	if len(ports) != 1 && len(ports) != len(hosts) {
		return "", fmt.Errorf("%d ports for %d hosts: give one port, or one for each host", len(ports), len(hosts))
	}
	var out strings.Builder
	for i, h := range hosts {
		fields := []string{h, ports[i%len(ports)], db, user}
		for _, f := range fields {
			out.WriteString(passfileField(f) + ":")
		}
		out.WriteString(passfileEscaper.Replace(password) + "\n")
	}
	return out.String(), nil
}

var passfileEscaper = strings.NewReplacer(`\`, `\\`, ":", `\:`)

// passfileField writes a field. A lone * is the wildcard even when meant as a
// name; libpq has no way to write that name.
func passfileField(f string) string {
	if f == "" {
		return "*"
	}
	return passfileEscaper.Replace(f)
}
