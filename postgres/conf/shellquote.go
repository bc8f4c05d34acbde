package conf

import (
	"errors"
	"fmt"
	"strings"
)

// What PostgreSQL puts into archive_command and restore_command itself
// (chapter "Continuous Archiving and Point-in-Time Recovery").
const (
	PathPlaceholder = "%p" // the path of the file, relative to the data directory
	FilePlaceholder = "%f" // its name alone
)

// ShellWord writes a word for a command that PostgreSQL hands to the shell: in
// single quotes unless it is plain, and with % doubled, since PostgreSQL
// expands it first. A word that holds a NUL has no such form; Command refuses
// it, and line breaks, which server logs would tear apart.
func ShellWord(s string) string {
	if s == "" || strings.ContainsFunc(s, needsQuotes) {
		s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return strings.ReplaceAll(s, "%", "%%")
}

func needsQuotes(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:,@+", r)
}

// Command joins words to a command for archive_command or restore_command. An
// argument that is exactly one of the placeholders stays as it is.
func Command(args ...string) (string, error) {
	if len(args) == 0 || args[0] == "" {
		return "", errors.New("the command has no program")
	}
	words := make([]string, len(args))
	for i, a := range args {
		if strings.ContainsAny(a, "\n\r\x00") {
			return "", fmt.Errorf("argument %d of the command, %q, holds a line break or a NUL byte: use a path without one", i, a)
		}
		words[i] = ShellWord(a)
		if a == PathPlaceholder || a == FilePlaceholder {
			words[i] = a
		}
	}
	return strings.Join(words, " "), nil
}
