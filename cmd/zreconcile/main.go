// Command zreconcile makes a host what one YAML file says: a ZFS pool, a
// streaming standby of a PostgreSQL primary, its WAL archive, snapshots and
// point-in-time restores.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a rescue system may have no zoneinfo

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/cmd/walcommand"
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit status. What PostgreSQL calls is guarded: its exit
// codes say other things, and must do so even where the program itself fails.
func run(args []string) int {
	p := &program{
		stdout: newStream(os.Stdout, os.Getenv),
		stderr: newStream(os.Stderr, os.Getenv),
		getenv: os.Getenv,
		euid:   os.Geteuid(),
		clock:  time.Now,
	}
	// A JOURNAL_STREAM that can't be read names no stream of ours.
	p.stderr.journal, _ = journal.StderrIsJournalStream()
	p.newHost = p.thisHost
	if slices.Contains(args, "wal") {
		return walcommand.Run(args, p.executeForPostgres)
	}
	return exitStatus(p.execute(context.Background(), args))
}

// executeForPostgres runs a command line that has the word wal somewhere: a kind of
// changes is called so, and a restore may be.
func (p *program) executeForPostgres(args []string) error {
	err := p.execute(context.Background(), args)
	if cmd := p.ran; cmd == nil || err == nil || strings.HasPrefix(cmd.CommandPath()+" ", "zreconcile wal ") {
		return err
	}
	return walcommand.Other(exitStatus(err))
}

// execute runs a command line and says on stderr what went wrong.
//
// A fault of the program itself is an error like any other: the runtime would
// exit with status 2, which says that a plan has changes.
func (p *program) execute(ctx context.Context, args []string) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("a fault of zreconcile itself, please report it: %v", fault)
			fmt.Fprintf(p.stderr.words(), "Error: %v\n%s", err, debug.Stack())
		}
	}()
	out := &checked{Writer: p.stdout.Writer}
	p.stdout.Writer = out
	root := newRoot(p)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	p.ran = cmd
	if out.err != nil { // a result that nobody can read is a failure, whatever it was
		err = fmt.Errorf("writing the result: %w", out.err)
	}
	var told reported
	var answered walcommand.Answer
	if err != nil && !errors.As(err, &told) && !errors.As(err, &answered) {
		p.complain(cmd, err)
	}
	return err
}

// complain writes the error that ends a run where the log goes, in its format.
func (p *program) complain(cmd *cobra.Command, err error) {
	if p.logFormat == "json" && p.log != nil {
		p.log.Error(err.Error())
		return
	}
	fmt.Fprintf(p.stderr.words(), "%s %s\n", palette(p.stderr.colour).bad("Error:"), err)
	var asked usageError
	if errors.As(err, &asked) {
		fmt.Fprintf(p.stderr.words(), "See '%s --help'.\n", cmd.CommandPath())
	}
}
