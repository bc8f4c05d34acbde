package main

import (
	"errors"

	"github.com/zreconcile/zreconcile/reconcile"
)

// The exit statuses of every command but `wal push` and `wal get`, whose
// codes PostgreSQL reads its own way (package walcommand).
const (
	exitDone    = 0 // done, or nothing to do
	exitFailed  = 1 // something failed, could not be reached, or was asked wrongly
	exitChanges = 2 // plan --detailed-exitcode: there are changes
	exitInvalid = 3 // the spec is invalid
	exitBlocked = 4 // refused or blocked: a person has to decide
	exitLocked  = 5 // another run holds the lock
)

// exitHelp is the table of exit statuses as the help of the commands shows it.
const exitHelp = `Exit status:
  0  done, or nothing to do
  1  something failed, could not be reached, or was asked wrongly
  2  plan --detailed-exitcode: there are changes
  3  the site file is invalid
  4  something is blocked: a person has to decide
  5  another run holds the lock
Where several hold: 1 before 4 before 2.`

// reported is the end of a run that has told its story on stdout already:
// only the exit status is left to say.
type reported struct{ status int }

func (r reported) Error() string { return "already reported" }

// report is nil for exitDone, and otherwise the error that ends the run with
// that status and no further word.
func report(status int) error {
	if status == exitDone {
		return nil
	}
	return reported{status}
}

// exitStatus is the exit status that an error of a command stands for.
func exitStatus(err error) int {
	var told reported
	var invalid *invalidError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &told):
		return told.status
	case errors.As(err, &invalid):
		return exitInvalid
	case errors.Is(err, reconcile.ErrRefused):
		return exitBlocked
	case errors.Is(err, reconcile.ErrLocked):
		return exitLocked
	default:
		return exitFailed
	}
}

// planStatus is the exit status of a plan that was only shown.
func planStatus(p reconcile.Plan, detailed bool) int {
	switch {
	case len(p.Failures) > 0:
		return exitFailed
	case p.Summary.Block > 0:
		return exitBlocked
	case detailed && len(p.Changes) > 0:
		return exitChanges
	default:
		return exitDone
	}
}

// applyStatus is the exit status of a plan that was carried out.
func applyStatus(p reconcile.Plan) int {
	for _, c := range p.Changes {
		if c.Result == reconcile.Failed {
			return exitFailed
		}
	}
	return planStatus(p, false)
}
