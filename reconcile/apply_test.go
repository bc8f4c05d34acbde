package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// applyingOf is an apply of a plan, and what it told.
func applyingOf(changes ...Change) (*applying, *[]string) {
	told := &[]string{}
	h := &Host{
		Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return time.Time{} },
		OnChange: func(c Change, _ time.Duration) { *told = append(*told, changeLine(c)) },
	}
	return &applying{host: h, plan: Plan{Changes: changes}, bad: map[string]bool{}, told: map[string]Result{}}, told
}

func changeLine(c Change) string {
	line := string(c.Action) + " " + c.key() + " " + string(c.Result)
	if c.Error != "" {
		line += ": " + c.Error
	}
	return line
}

func changeLines(p Plan) []string {
	var lines []string
	for _, c := range p.Changes {
		lines = append(lines, changeLine(c))
	}
	return lines
}

func changeOf(action Action, kind, name string) Change {
	return Change{Action: action, Kind: kind, Name: name, Why: "because"}
}

func TestRecord(t *testing.T) {
	create, update := changeOf(Create, "pool", "p"), changeOf(Update, "pool", "p")
	snapshot := changeOf(Create, "snapshot", "zr-1")
	broken := errors.New("broken")
	tests := []struct {
		name     string
		planned  []Change
		outcomes []outcome
		want     []string
	}{
		{"done", []Change{create}, []outcome{{change: create}}, []string{"create pool/p done"}},
		{"failed", []Change{create}, []outcome{{change: create, err: broken}}, []string{"create pool/p failed: broken"}},
		{"refused when it came to it", []Change{create}, []outcome{{change: create, err: fmt.Errorf("%w: a gap", ErrRefused)}}, []string{"block pool/p skipped: refused: a gap"}},
		{"skipped", []Change{create}, []outcome{{change: create, skipped: needsBad}}, []string{"create pool/p skipped: " + needsBad}},
		{"blocked", []Change{changeOf(Block, "pool", "p")}, []outcome{{change: changeOf(Block, "pool", "p")}}, []string{"block pool/p skipped: because"}},
		{"another action than planned", []Change{create}, []outcome{{change: update}}, []string{"update pool/p done"}},
		{"of two, the one that was planned", []Change{create, update}, []outcome{{change: update}}, []string{"create pool/p ", "update pool/p done"}},
		{"not planned", nil, []outcome{{change: create}}, []string{"create pool/p done"}},
		{"a second step of one thing", []Change{create}, []outcome{{change: create}, {change: update}}, []string{"create pool/p done"}},
		{"a second step that fails", []Change{create}, []outcome{{change: create}, {change: update, err: broken}}, []string{"update pool/p failed: broken"}},
		{"a step after a failure", []Change{create}, []outcome{{change: create, err: broken}, {change: update}}, []string{"create pool/p failed: broken"}},
		{"the real name", []Change{snapshot}, []outcome{{change: snapshot, name: "zr-3"}}, []string{"create snapshot/zr-3 done"}},
		{"no real name", []Change{snapshot}, []outcome{{change: snapshot, err: broken}}, []string{"create snapshot/zr-1 failed: broken"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, told := applyingOf(test.planned...)
			for _, o := range test.outcomes {
				a.record(o)
			}
			if diff := cmp.Diff(test.want, changeLines(a.plan)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(*told) != len(test.outcomes) {
				t.Errorf("told %q", *told)
			}
		})
	}
}

// What is left to do has the last word, and each result is done, failed or
// skipped.
func TestSettle(t *testing.T) {
	with := func(c Change, r Result) Change { c.Result = r; return c }
	create, remove, block := changeOf(Create, "pool", "p"), changeOf(Delete, "retention", "s"), changeOf(Block, "pool", "p")
	tests := []struct {
		name       string
		have, left []Change
		want       []string
	}{
		{"all is well", []Change{with(create, Done)}, nil, []string{"create pool/p done"}},
		{"it still differs", []Change{with(create, Done)}, []Change{create}, []string{"create pool/p failed: it was changed, and still differs: because"}},
		{"done, and blocked since", []Change{with(create, Done)}, []Change{block}, []string{"create pool/p done", "block pool/p skipped: because"}},
		{"a block stays one", []Change{with(block, Skipped)}, []Change{block}, []string{"block pool/p skipped"}},
		{"an earlier step lifted the block", []Change{with(create, Done), changeOf(Block, "wal", "a")}, nil, []string{"create pool/p done"}},
		{"an earlier step did it", []Change{create}, nil, []string{"create pool/p done"}},
		{"never come to", []Change{create}, []Change{create}, []string{"create pool/p skipped: " + needsBad}},
		{"a removal that is not wanted any more", []Change{remove}, nil, []string{"delete retention/s skipped: it is not to be removed any more"}},
		{"new at the end", nil, []Change{create}, []string{"create pool/p failed: it differs after the apply: because"}},
		{"a failure is not reported twice", []Change{with(create, Failed)}, []Change{create}, []string{"create pool/p failed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := Plan{Changes: test.have}
			p.settle(Plan{Changes: test.left})
			if diff := cmp.Diff(test.want, changeLines(p)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An apply that ends on the way tells of each change what became of it, once.
func TestLeave(t *testing.T) {
	create, start := changeOf(Create, "pool", "p"), changeOf(Start, "standby", "d")
	a, told := applyingOf(create, start)
	a.record(outcome{change: create})
	a.leave()
	a.tellRest()
	want := []string{"create pool/p done", "start standby/d skipped: the apply ended before it came to this"}
	if diff := cmp.Diff(want, *told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// What was not begun when the context ended did not fail.
func TestRunEndsWithItsContext(t *testing.T) {
	a, _ := applyingOf()
	ctx, cancel := context.WithCancel(t.Context())
	s := stage{apply: func(context.Context, *Host, *view, Change) error { cancel(); return nil }}
	out := s.run(ctx, a.host, &view{}, []Change{changeOf(Create, "pool", "a"), changeOf(Create, "pool", "b")})
	if len(out) != 1 || out[0].change.Name != "a" || out[0].err != nil {
		t.Errorf("got %+v", out)
	}
}
