package conf

import (
	"regexp"
	"strings"
)

// Rendered reads back a file that Render wrote: its header, and its settings
// with why.
func Rendered(b []byte) (header string, settings []Setting) {
	var head []string
	for _, l := range splitLines(b) {
		switch {
		case l.entry.Name != "":
			s := Setting{Name: l.entry.Name, Value: l.entry.Value}
			s.Why = strings.TrimPrefix(strings.TrimPrefix(l.body, rendered(s)), "  # ")
			settings = append(settings, s)
		case strings.HasPrefix(l.body, "#") && settings == nil:
			head = append(head, strings.TrimPrefix(strings.TrimPrefix(l.body, "#"), " "))
		}
	}
	return strings.Join(head, "\n"), settings
}

var disabledBy = regexp.MustCompile(`  ` + mark + `disabled by the site file \(([^()]+)\)$`)

// Disabled are the patterns by which Sanitize commented lines of a file out, in
// the order of their lines, each once.
func Disabled(b []byte) []string {
	var patterns []string
	seen := map[string]bool{}
	for _, l := range splitLines(b) {
		m := disabledBy.FindStringSubmatch(l.body)
		if m != nil && l.entry.Name == "" && !seen[m[1]] {
			seen[m[1]] = true
			patterns = append(patterns, m[1])
		}
	}
	return patterns
}

// ShellWords takes a command that Command wrote apart again.
func ShellWords(command string) []string {
	var words []string
	var word strings.Builder
	inWord, quoted := false, false
	for i := 0; i < len(command); i++ {
		switch c := command[i]; {
		case c == '%' && strings.HasPrefix(command[i:], "%%"):
			word.WriteByte(c)
			i++
			inWord = true
		case c == '\'':
			quoted, inWord = !quoted, true
		case c == '\\' && !quoted && i+1 < len(command):
			i++
			word.WriteByte(command[i])
			inWord = true
		case c == ' ' && !quoted:
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}
