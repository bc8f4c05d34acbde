package zfs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Kind classifies what a tool refused. Every Kind is an error itself, so that
// errors.Is(err, zfs.ErrBusy) asks for one.
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of failure. The words that lead to each are those of libzfs (lib/libzfs/libzfs_util.c,
// libzfs_error_description) and of zfs-fuse 0.7, whose libzfs is an older one of the same family.
const (
	ErrNotFound        Kind = "not found"
	ErrExists          Kind = "exists already"
	ErrBusy            Kind = "busy"
	ErrPermission      Kind = "permission denied"
	ErrNoSpace         Kind = "out of space"
	ErrHasClones       Kind = "has clones"
	ErrHasChildren     Kind = "has children"
	ErrHeld            Kind = "held"
	ErrSuspended       Kind = "pool suspended"
	ErrNoModule        Kind = "ZFS is not running"
	ErrInvalidProperty Kind = "invalid property"
	ErrInUse           Kind = "device in use"
	ErrDeadline        Kind = "deadline passed"
	ErrCanceled        Kind = "interrupted"
	ErrReplaced        Kind = "replaced by another of the same name"
	ErrNotAtomic       Kind = "cannot be done in one atomic operation by this tool"
	ErrUnsupported     Kind = "not supported by this tool"
	ErrInvalidName     Kind = "invalid name"
	ErrOther           Kind = "failed"
)

// Error is a failed command, or a refusal before one was run (then Command is empty).
type Error struct {
	Kind     Kind
	Command  []string
	Target   string // the dataset, snapshot, pool or device that it was about
	Stderr   string // the tool's own words, or the reason of the refusal
	ExitCode int    // -1 when the command did not end by itself
	cause    error
}

func (e *Error) Error() string {
	words := strings.Join(strings.Fields(firstLines(e.Stderr, 4)), " ")
	if words == "" && e.cause != nil {
		words = e.cause.Error()
	}
	head := e.Target
	if len(e.Command) > 0 {
		head = strings.Join(e.Command[:min(2, len(e.Command))], " ")
		if e.Target != "" {
			head += " " + e.Target
		}
	}
	mend := mends[e.Kind]
	if mend != "" {
		mend = "; " + mend
	}
	return fmt.Sprintf("%s: %s: %s%s", head, e.Kind, words, mend)
}

// mends say what a person can do where the tool's words do not.
var mends = map[Kind]string{
	ErrNoModule:  "load the module (modprobe zfs), start zfs-fuse, or install the tools",
	ErrSuspended: "bring the devices back and run zpool clear",
	ErrDeadline:  "look at zpool status for a pool that hangs",
}

// Unwrap gives the kind and what ended the command.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// refusal is an error of our own, made before any command was run.
func refusal(kind Kind, target, format string, args ...any) *Error {
	return &Error{Kind: kind, Target: target, Stderr: fmt.Sprintf(format, args...), ExitCode: -1}
}

func newError(ctx context.Context, err error, argv []string, target, stderr string) *Error {
	e := &Error{Kind: classify(stderr), Command: argv, Target: target, Stderr: strings.TrimSpace(stderr), ExitCode: -1, cause: err}
	var exit interface{ ExitCode() int } // *exec.ExitError, or that of a decorator
	if errors.As(err, &exit) {
		e.ExitCode = exit.ExitCode()
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		e.Kind = ErrNoModule
	case ctx.Err() != nil && e.ExitCode == -1:
		e.Kind, e.cause = ErrDeadline, ctx.Err()
		switch {
		case errors.Is(context.Cause(ctx), ErrSuspended):
			e.Kind, e.cause = ErrSuspended, errors.New("it hangs in the kernel since the pool's devices are gone")
		case errors.Is(ctx.Err(), context.Canceled):
			e.Kind = ErrCanceled
		}
	}
	return e
}

// phrases are looked for in this order, since some messages hold several.
var phrases = []struct {
	words string
	kind  Kind
}{
	{"connect: Permission denied", ErrPermission}, // zfs-fuse's socket, to an ordinary user; it says no library, too
	{"modules are not loaded", ErrNoModule},
	{"modules cannot be auto-loaded", ErrNoModule},
	{"Failed to initialize the libzfs", ErrNoModule},
	{"failed to initialize ZFS library", ErrNoModule},
	{"/dev/zfs and /proc", ErrNoModule},
	{"cannot open /dev/zfs", ErrNoModule},
	{"zfs-fuse daemon is running", ErrNoModule},
	{"I/O is currently suspended", ErrSuspended},
	{"pool is suspended", ErrSuspended},
	{"permission denied", ErrPermission},
	{"Permission denied", ErrPermission},
	{"must be root", ErrPermission},
	{"Operation not permitted", ErrPermission},
	{"dependent clones", ErrHasClones},
	{"snapshot is cloned", ErrHasClones},
	{"it's being held", ErrHeld},
	{"snapshot is held", ErrHeld},
	{"has children", ErrHasChildren},
	{"out of space", ErrNoSpace},
	{"No space left", ErrNoSpace},
	{"quota exceeded", ErrNoSpace},
	{"size is greater than available space", ErrNoSpace},
	{"is part of active", ErrInUse},
	{"is part of exported", ErrInUse},
	{"is part of potentially active", ErrInUse},
	{"is currently mounted", ErrInUse},
	{"in use and contains", ErrInUse},
	{"one or more vdevs refer to the same device", ErrInUse},
	{"is busy", ErrBusy},
	{"target is busy", ErrBusy},
	{"umount failed", ErrBusy},
	{"currently in use", ErrInUse},
	{"already exists", ErrExists},
	{"already created/imported", ErrExists},
	{"Key already loaded", ErrExists},
	{"invalid property", ErrInvalidProperty},
	{"bad property list", ErrInvalidProperty},
	{"cannot set property", ErrInvalidProperty},
	{"dataset does not exist", ErrNotFound},
	{"no such pool", ErrNotFound},
	{"no such tag", ErrNotFound},
	{"does not exist", ErrNotFound},
	{"could not find any snapshots", ErrNotFound},
}

func classify(stderr string) Kind {
	// The usage text that follows a wrong call holds many of the words below.
	stderr, _, _ = strings.Cut(stderr, "\nusage:")
	for _, p := range phrases {
		if strings.Contains(stderr, p.words) {
			return p.kind
		}
	}
	return ErrOther
}

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}
