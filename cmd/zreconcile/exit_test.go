package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/zreconcile/zreconcile/reconcile"
)

// The contract: 1 before 4 before 2.
func TestStatusOfPlan(t *testing.T) {
	create := reconcile.Change{Action: reconcile.Create}
	done := reconcile.Change{Action: reconcile.Create, Result: reconcile.Done}
	failed := reconcile.Change{Action: reconcile.Create, Result: reconcile.Failed}
	block := reconcile.Change{Action: reconcile.Block}
	tests := []struct {
		name                  string
		changes               []reconcile.Change
		failures              []string
		plan, detailed, apply int
	}{
		{"converged", nil, nil, 0, 0, 0},
		{"changes", []reconcile.Change{create}, nil, 0, 2, 0},
		{"done", []reconcile.Change{done}, nil, 0, 2, 0},
		{"blocked", []reconcile.Change{create, block}, nil, 4, 4, 4},
		{"blocked, the rest done", []reconcile.Change{done, block}, nil, 4, 4, 4},
		{"not observed", nil, []string{"x"}, 1, 1, 1},
		{"blocked and not observed", []reconcile.Change{block}, []string{"x"}, 1, 1, 1},
		{"failed", []reconcile.Change{done, failed}, nil, 0, 2, 1},
		{"failed and blocked", []reconcile.Change{failed, block}, nil, 4, 4, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := reconcile.Plan{Changes: test.changes, Failures: test.failures}
			for _, c := range test.changes {
				if c.Action == reconcile.Block {
					plan.Summary.Block++
				}
			}
			for what, pair := range map[string][2]int{
				"plan":                     {planStatus(plan, false), test.plan},
				"plan --detailed-exitcode": {planStatus(plan, true), test.detailed},
				"apply":                    {applyStatus(plan), test.apply},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s exits %d, want %d", what, pair[0], pair[1])
				}
			}
		})
	}
}

func TestExitStatus(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{report(exitDone), exitDone},
		{report(exitChanges), exitChanges},
		{errors.New("x"), exitFailed},
		{usageError{errors.New("x")}, exitFailed},
		{errors.Join(&invalidError{path: "x"}, nil), exitInvalid},
		{fmt.Errorf("site x: %w", reconcile.ErrLocked), exitLocked},
		{fmt.Errorf("%w: the standby was promoted", reconcile.ErrRefused), exitBlocked},
	} {
		if got := exitStatus(test.err); got != test.want {
			t.Errorf("exitStatus(%v) = %d, want %d", test.err, got, test.want)
		}
	}
}
