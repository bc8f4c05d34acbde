package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Runner is the seam through which every program is run. nil stands for
// (*exec.Cmd).Run.
type Runner func(*exec.Cmd) error

func (r Runner) run(cmd *exec.Cmd) error {
	if r == nil {
		return cmd.Run()
	}
	return r(cmd)
}

// A CommandError is a program that failed, with its own words.
type CommandError struct {
	Program string // its name, without the arguments
	Words   string // what it said on stderr, or on stdout when stderr is empty
	Err     error  // the exit status, or why it could not be run
}

func (e *CommandError) Error() string {
	if e.Words == "" {
		return fmt.Sprintf("%s: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Program, e.Err, e.Words)
}

func (e *CommandError) Unwrap() error { return e.Err }

// environment is all that the programs of PostgreSQL get to see. The caller's
// own environment is kept from them: PGPASSWORD, PGSERVICE, PGDATA or
// NOTIFY_SOCKET in it would change what they do.
func environment(u OSUser, more ...string) []string {
	env := []string{"LC_ALL=C", "HOME=" + u.Home, "USER=" + u.Name, "LOGNAME=" + u.Name}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH"} { // self-built servers need the latter
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, more...)
}

// tool prepares one of the server's programs, to run as the cluster's user from
// the root folder (pg_ctl complains about a working directory it may not read).
func (c *Cluster) tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.BinDir, name), args...)
	cmd.Dir = "/"
	cmd.Env = environment(c.User)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.User.Credential()}
	cmd.WaitDelay = 5 * time.Second // a grandchild that keeps the pipe open does not keep us
	return cmd
}

// output runs cmd and returns its stdout; a failure carries its words.
func output(run Runner, cmd *exec.Cmd) ([]byte, error) {
	out, _, err := outputAndWarnings(run, cmd)
	return out, err
}

// outputAndWarnings is output for a program that says on stderr, and succeeds, that
// its stdout is not to be trusted.
func outputAndWarnings(run Runner, cmd *exec.Cmd) (out, warnings []byte, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := run.run(cmd); err != nil {
		words := strings.TrimSpace(stderr.String())
		if words == "" {
			words = strings.TrimSpace(stdout.String())
		}
		return stdout.Bytes(), stderr.Bytes(), &CommandError{Program: filepath.Base(cmd.Path), Words: firstLines(words), Err: err}
	}
	return stdout.Bytes(), stderr.Bytes(), nil
}

// firstLines bounds what a program says of many files, one a line.
func firstLines(words string) string {
	lines := strings.SplitN(words, "\n", wordsLines+1)
	if len(lines) > wordsLines {
		lines[wordsLines] = "..."
	}
	return strings.Join(lines, "\n")
}

// deadline bounds a program that should be quick, unless the caller's context
// is stricter.
func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer within a minute"))
}
