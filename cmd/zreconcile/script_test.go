package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/zreconcile/zreconcile/cmd/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zreconcile": main})
}

// TestScripts runs the program itself, as people and PostgreSQL call it.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, scripttest.Params(map[string]scripttest.Command{"journal": journalOf},
		append(scripts, filepath.Join("..", "walcommand", "testdata", "script", "wal.txtar"))...))
}

// journalOf runs the program with a socket for stderr that is the journal's to
// it (systemd.exec(5), JOURNAL_STREAM), and shows what arrived there on stdout:
// journal STATUS [ARG...].
func journalOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: journal STATUS [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ts.Check(err)
	ours, its := os.NewFile(uintptr(pair[0]), "journal"), os.NewFile(uintptr(pair[1]), "stderr")
	defer ours.Close()
	defer its.Close()
	var stat unix.Stat_t
	ts.Check(unix.Fstat(pair[1], &stat))

	cmd := exec.Command(ts.Getenv("ZRECONCILE"), args[1:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), its
	cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino))
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Check(err)
	}
	ts.Check(its.Close())
	heard, err := io.ReadAll(ours)
	ts.Check(err)
	_, err = ts.Stdout().Write(heard)
	ts.Check(err)
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
