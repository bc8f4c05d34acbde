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
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zreconcile": main})
}

// TestScripts runs testdata/script: the program itself, as people and
// PostgreSQL call it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// Programs run as nobody need a way to the script's folder and to ours.
			self, err := exec.LookPath("zreconcile")
			if err != nil {
				return err
			}
			env.Setenv("ZRECONCILE", self) // for scripts with a PATH of their own
			for _, dir := range []string{env.WorkDir, filepath.Dir(env.WorkDir), filepath.Dir(self), filepath.Dir(filepath.Dir(self))} {
				if err := os.Chmod(dir, 0o755); err != nil {
					return err
				}
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "journal": journalOf},
	})
}

// exits runs a program and wants an exit status: exits STATUS PROGRAM [ARG...].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
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
