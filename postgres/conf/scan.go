package conf

import "strings"

type tokenKind int

const (
	tokenEnd tokenKind = iota // end of line, or the comment that reaches to it
	tokenID
	tokenQualifiedID
	tokenUnquoted
	tokenString
	tokenNumber
	tokenEquals
	tokenError
)

type token struct {
	kind tokenKind
	text string
}

// isValue tells what may stand as a value. A qualified name may not (the
// server says "syntax error" to application_name = a.b).
func (t token) isValue() bool {
	switch t.kind {
	case tokenID, tokenUnquoted, tokenString, tokenNumber:
		return true
	}
	return false
}

func (t token) describe() string {
	if t.kind == tokenEnd {
		return "end of line"
	}
	return `token "` + withoutSecret(t.text) + `"`
}

// scan takes the next token off a line. It follows the patterns of guc-file.l,
// of which the longest match wins.
func scan(s string) (t token, rest string) {
	s = strings.TrimLeft(s, " \t\r")
	if s == "" || s[0] == '#' {
		return token{kind: tokenEnd}, ""
	}
	kind, n := tokenError, 1
	switch c := s[0]; {
	case c == '=':
		kind = tokenEquals
	case c == '\'':
		if end := stringLength(s); end > 0 {
			kind, n = tokenString, end
		}
	case isLetter(c):
		kind, n = wordKind(s)
	default:
		if end := numberLength(s); end > 0 {
			kind, n = tokenNumber, end
		}
	}
	return token{kind, s[:n]}, s[n:]
}

// stringLength is the length of the quoted string that s begins with, or 0
// when it does not end on this line.
func stringLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == '\'':
			return i + 1
		}
	}
	return 0
}

// wordKind measures the word that s begins with and tells a plain name, a
// name.name and any other unquoted text apart.
func wordKind(s string) (tokenKind, int) {
	n := run(s, func(c byte) bool { return isLetter(c) || isDigit(c) || strings.IndexByte("-.:/", c) >= 0 })
	word := s[:n]
	if !strings.ContainsAny(word, "-.:/") {
		return tokenID, n
	}
	class, name, _ := strings.Cut(word, ".")
	if name != "" && isLetter(name[0]) && !strings.ContainsAny(class+name, "-.:/") {
		return tokenQualifiedID, n
	}
	return tokenUnquoted, n
}

// numberLength is the length of the integer with unit, or of the real number,
// that s begins with; 0 when there is none.
func numberLength(s string) int {
	sign := 0
	if s[0] == '-' || s[0] == '+' {
		sign = 1
	}
	body := s[sign:]
	digits := run(body, isDigit)
	longest := 0
	if digits > 0 {
		longest = digits + run(body[digits:], isUnitLetter)
	}
	if strings.HasPrefix(body, "0x") {
		if hex := run(body[2:], isHexDigit); hex > 0 {
			longest = max(longest, 2+hex+run(body[2+hex:], isUnitLetter))
		}
	}
	if digits < len(body) && body[digits] == '.' {
		fraction := digits + 1 + run(body[digits+1:], isDigit)
		longest = max(longest, fraction+exponentLength(body[fraction:]))
	}
	if longest == 0 {
		return 0
	}
	return sign + longest
}

func exponentLength(s string) int {
	if s == "" || s[0] != 'e' && s[0] != 'E' {
		return 0
	}
	n := 1
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	digits := run(s[n:], isDigit)
	if digits == 0 {
		return 0
	}
	return n + digits
}

// unquote undoes quotes and escapes (DeescapeQuotedString). The server keeps
// values as C strings, so what follows an escaped NUL is lost to it and here.
func unquote(s string) string {
	s = s[1 : len(s)-1]
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\'':
			i++ // doubled: the scanner lets no single one through
		case c == '\\':
			i++
			c = s[i]
			if n := run(s[i:min(i+3, len(s))], isOctalDigit); n > 0 {
				c = octal(s[i : i+n])
				i += n - 1
			} else if at := strings.IndexByte("bfnrt", c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
		}
		if c == 0 {
			return out.String()
		}
		out.WriteByte(c)
	}
	return out.String()
}

func octal(digits string) (c byte) {
	for _, d := range []byte(digits) {
		c = c<<3 + d - '0' // wraps above \377, as the server's char does
	}
	return c
}

// run counts the leading bytes that belong.
func run(s string, belongs func(byte) bool) int {
	n := 0
	for n < len(s) && belongs(s[n]) {
		n++
	}
	return n
}

func isLetter(c byte) bool     { return isUnitLetter(c) || c == '_' || c >= 0x80 }
func isUnitLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool      { return '0' <= c && c <= '9' }
func isOctalDigit(c byte) bool { return '0' <= c && c <= '7' }
func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
