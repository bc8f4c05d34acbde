// Package scripttest is what the scripts of all our programs are tested with.
package scripttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// A Command is one that scripts have beside testscript's own.
type Command = func(ts *testscript.TestScript, neg bool, args []string)

// Params are to run script files with the program that testscript.Main was told
// to call zreconcile. Scripts have the command exits and the condition [root];
// $ZRECONCILE is the program's path, for one with a PATH of its own.
func Params(commands map[string]Command, files ...string) testscript.Params {
	all := map[string]Command{"exits": exits}
	for name, command := range commands {
		all[name] = command
	}
	return testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: all,
	}
}

// setUp gives programs that run as nobody a way to the script's folder and to ours.
func setUp(env *testscript.Env) error {
	self, err := exec.LookPath("zreconcile")
	if err != nil {
		return err
	}
	env.Setenv("ZRECONCILE", self)
	for _, dir := range []string{env.WorkDir, filepath.Dir(env.WorkDir), filepath.Dir(self), filepath.Dir(filepath.Dir(self))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
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
