package conf

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// localServer is the newest PostgreSQL of this host. The tests compare with
// it, so that the rules here are the server's and not what we remember of them.
func localServer(t *testing.T) Server {
	t.Helper()
	_, dir, err := servers.Own()
	if err != nil {
		t.Fatal(err)
	}
	return Server{BinDir: dir}
}

// asPostgres adds the OS user postgres, since the server refuses root.
func asPostgres(t *testing.T, s Server) Server {
	t.Helper()
	if os.Getuid() != 0 {
		return s
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("the test runs as root and needs an OS user for the server: %v", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	s.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s
}

// serverReads gives the server's own reading of a parameter.
func serverReads(t *testing.T, s Server, dir, name string) (value, stderr string, ok bool) {
	t.Helper()
	stdout, stderr, err := s.output(context.Background(), dir, "postgres", "-C", name, "-D", dir, "-c", "log_line_prefix=", "-c", "log_destination=stderr")
	return strings.TrimSuffix(stdout, "\n"), stderr, err == nil
}

func writeConf(t *testing.T, dir, text string) {
	t.Helper()
	for name, content := range map[string]string{MainFile: text, AutoFile: ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

var serverSyntaxError = regexp.MustCompile(`(?m)^LOG:  syntax error in file ".*" line (\d+), near (token ".*"|end of line)`)

// serverBadLines are the lines that the server calls syntax errors.
func serverBadLines(stderr string) []int {
	var lines []int
	for _, m := range serverSyntaxError.FindAllStringSubmatch(stderr, -1) {
		n, _ := strconv.Atoi(m[1])
		lines = append(lines, n)
	}
	return lines
}

func ourBadLines(b []byte) []int {
	var lines []int
	for _, l := range splitLines(b) {
		if l.bad {
			lines = append(lines, l.entry.Line)
		}
	}
	return lines
}

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
