package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a site file, or, as a warning, one
// that is allowed and most likely not meant.
type Problem struct {
	Pos     Pos
	Message string // what is wrong, one line
	Hint    string // what to write instead, or ""
	Warning bool
	Source  string // the line of the file at Pos, or ""
}

// Problems is a list of problems in the order of file, line and column.
type Problems []Problem

// Errors returns the problems that make the file unusable.
func (ps Problems) Errors() Problems { return ps.filter(false) }

// Warnings returns the problems that do not.
func (ps Problems) Warnings() Problems { return ps.filter(true) }

func (ps Problems) filter(warning bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Error gives each problem as one line, file:line:column first.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.headline()
		if p.Hint != "" {
			lines[i] += " (" + p.Hint + ")"
		}
	}
	return strings.Join(lines, "\n")
}

// headline is the place and the message, without source and hint.
func (p Problem) headline() string {
	message := p.Message
	if p.Warning {
		message = "warning: " + message
	}
	return p.Pos.String() + ": " + message
}

// String gives the position as file:line:column.
func (p Pos) String() string {
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// sorted orders the problems by place and drops those said twice.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(ps)
}
