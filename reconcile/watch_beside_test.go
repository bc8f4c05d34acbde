package reconcile

import "testing"

// Beside a long step the standby is cared for, and only it, and only where
// nothing that it stands on is out of order.
func TestDueBeside(t *testing.T) {
	plan := func(changes ...Change) Plan { return Plan{Changes: changes} }
	due := Change{Kind: kindSnapshot, Action: Create}
	var failed State
	failed.fail(kindPool, ErrRefused)
	for name, test := range map[string]struct {
		plan  Plan
		state State
		want  bool
	}{
		"nothing":                {plan(), State{}, false},
		"a snapshot":             {plan(due), State{}, true},
		"an incomplete snapshot": {plan(Change{Kind: kindSnapshot, Action: Update}), State{}, true},
		"a blocked snapshot":     {plan(Change{Kind: kindSnapshot, Action: Block}), State{}, false},
		"the standby is down":    {plan(Change{Kind: kindStandby, Action: Start}), State{}, true},
		"a property drifted":     {plan(Change{Kind: kindDataset, Action: Update}), State{}, true},
		"the restore at work":    {plan(Change{Kind: kindRestore, Action: Create}), State{}, false},
		"retention and WAL":      {plan(Change{Kind: kindRetention, Action: Delete}, Change{Kind: kindWAL, Action: Delete}), State{}, false},
		"beside the drill":       {plan(due, Change{Kind: kindVerification, Action: Create}), State{}, true},
		"the pool is not there":  {plan(due, Change{Kind: kindPool, Action: Create}), State{}, false},
		"the pool is blocked":    {plan(due, Change{Kind: kindPool, Action: Block}), State{}, false},
		"no data directory":      {plan(due, Change{Kind: kindBasebackup, Action: Create}), State{}, false},
		"the pool not observed":  {plan(due), failed, false},
	} {
		if got := dueBeside(test.plan, test.state); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
