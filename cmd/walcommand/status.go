package walcommand

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// An Answer is the end of a request that has told its story already: only its
// exit status is left to say.
type Answer int

func (a Answer) Error() string { return fmt.Sprintf("exit status %d", int(a)) }

// Other is the exit status of a command that is not `wal`, though its arguments
// have that word. It counts, unless a clone may have asked.
type Other int

func (o Other) Error() string { return fmt.Sprintf("exit status %d", int(o)) }

// Run executes a command line with a `wal` in it, and returns the exit status for
// PostgreSQL: what the request came to or, for a command line that makes no
// request, a failure that reads as no absence.
func Run(args []string, execute func(args []string) error) int {
	clone := forClone(args)
	return wal.Guard(clone, func() int { return status(execute(args), clone) })
}

// forClone is true where PostgreSQL asks on behalf of a clone. It looks at the
// raw arguments, so that it also holds for a command line that cobra refuses.
func forClone(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "--clone" || strings.HasPrefix(arg, "--clone=") && arg != "--clone=false"
	})
}

func status(err error, clone bool) int {
	var told Answer
	var other Other
	switch {
	case errors.As(err, &told):
		return int(told)
	case errors.As(err, &other) && !clone:
		return int(other)
	}
	return wal.ExitCode(err, clone)
}
