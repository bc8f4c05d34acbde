package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// PasswordSource names where the primary's password comes from: exactly one of
// the first four.
type PasswordSource struct {
	File       string // a file that holds nothing else
	Env        string // an environment variable
	Passfile   string // a file in libpq's format
	Credential string // a credential that systemd loads (manual page systemd.exec, LoadCredential=)

	// Which line of Passfile: host, port and role of the primary.
	Host, Port, User string
}

// Password reads it. The error never holds any of what was read.
func Password(s PasswordSource) (string, error) {
	switch {
	case s.File != "":
		return passwordFile(s.File, 0o007)
	case s.Env != "":
		if password := os.Getenv(s.Env); password != "" {
			return password, nil
		}
		return "", fmt.Errorf("the environment variable %s, which should hold the primary's password, is not set or empty", s.Env)
	case s.Passfile != "":
		return s.passfileEntry()
	case s.Credential != "":
		return s.credential()
	}
	return "", errors.New("no source for the primary's password is given: set standby.primary.passwordFrom")
}

func (s PasswordSource) credential() (string, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return "", fmt.Errorf("the credential %q can't be read, since systemd has set no CREDENTIALS_DIRECTORY: run this in a unit with LoadCredential=%s", s.Credential, s.Credential)
	}
	if filepath.Base(s.Credential) != s.Credential {
		return "", fmt.Errorf("%q is no name of a credential", s.Credential)
	}
	return passwordFile(filepath.Join(dir, s.Credential), 0)
}

// passwordFile reads a file whose mode has none of the forbidden bits, and takes
// one line end off it, which editors and echo put there.
func passwordFile(path string, forbidden os.FileMode) (string, error) {
	content, err := readPrivate(path, forbidden)
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
	switch {
	case password == "":
		return "", fmt.Errorf("the password file %s is empty", path)
	case strings.ContainsAny(password, "\n\x00"):
		return "", fmt.Errorf("the password file %s holds more than one line: it must hold the password and nothing else", path)
	}
	return password, nil
}

func readPrivate(path string, forbidden os.FileMode) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the primary's password: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("the password file %s is not a plain file", path)
	}
	if info.Mode()&forbidden != 0 {
		return "", fmt.Errorf("the password file %s has the mode %04o, and others can read it: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	const limit = 1 << 20
	if info.Size() > limit {
		return "", fmt.Errorf("the password file %s has %d bytes, and %d are the most", path, info.Size(), limit)
	}
	content, err := os.ReadFile(path)
	return string(content), err
}

// passfileEntry finds the first line that fits (PostgreSQL documentation, "The
// Password File"): host:port:database:user:password, where * fits all. A
// standby's connection asks for the database "replication". Like libpq, it
// refuses a file that others can read.
func (s PasswordSource) passfileEntry() (string, error) {
	content, err := readPrivate(s.Passfile, 0o077)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(content) {
		fields, ok := splitPassfileLine(strings.TrimRight(line, "\r\n"))
		if !ok {
			continue
		}
		fits := true
		for i, want := range []string{s.Host, s.Port, "replication", s.User} {
			fits = fits && (fields[i] == "*" || fields[i] == want)
		}
		if fits && fields[4] != "" {
			return fields[4], nil
		}
	}
	return "", fmt.Errorf("the passfile %s has no line for %s:%s:replication:%s", s.Passfile, s.Host, s.Port, s.User)
}

// splitPassfileLine takes the five fields apart, and the backslashes off : and \.
func splitPassfileLine(line string) (fields [5]string, ok bool) {
	if strings.HasPrefix(line, "#") {
		return fields, false
	}
	n := 0
	var field strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line):
			i++
			field.WriteByte(line[i])
		case line[i] == ':' && n < 4:
			fields[n] = field.String()
			field.Reset()
			n++
		default:
			field.WriteByte(line[i])
		}
	}
	fields[n] = field.String()
	return fields, n == 4
}
