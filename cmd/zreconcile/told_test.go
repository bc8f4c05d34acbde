package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/reconcile"
)

// tellings plays rounds of a watch, and returns what each of them said: message,
// name and since when.
type tellings struct {
	told *told
	now  time.Time
	out  bytes.Buffer
}

func newTellings() *tellings {
	p := &tellings{now: testNow}
	handler := slog.NewTextHandler(&p.out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.MessageKey, "name", "note", "since":
			return a
		}
		return slog.Attr{}
	}})
	p.told = newTold(slog.New(handler), func() time.Time { return p.now })
	return p
}

// round plays one after a while.
func (p *tellings) round(after time.Duration, plan reconcile.Plan, err error) string {
	p.now = p.now.Add(after)
	p.out.Reset()
	for _, c := range plan.Changes {
		p.told.change(c, time.Second)
	}
	p.told.round(plan, err)
	p.told.plan(plan)
	return strings.ReplaceAll(strings.TrimSpace(p.out.String()), "\n", "; ")
}

func planOf(changes ...reconcile.Change) reconcile.Plan { return reconcile.Plan{Changes: changes} }

func TestToldSaysWhatLastsOnce(t *testing.T) {
	block := reconcile.Change{Kind: "restore", Name: "r", Action: reconcile.Block, Why: "no WAL", Result: reconcile.Skipped, Error: "no WAL"}
	other := block
	other.Why, other.Error = "no snapshot", "no snapshot"
	moving := func(why string) reconcile.Change { c := block; c.Why, c.Error = why, why; return c }
	done := reconcile.Change{Kind: "dataset", Name: "d", Action: reconcile.Update, Why: "differs", Result: reconcile.Done}
	failed := reconcile.Change{Kind: "standby", Name: "s", Action: reconcile.Start, Why: "it does not run", Result: reconcile.Failed, Error: "it ended"}
	started := failed
	started.Result, started.Error = reconcile.Done, ""
	snapshot := func(name string) reconcile.Change {
		return reconcile.Change{Kind: "snapshot", Name: name, Action: reconcile.Create, Why: "due", Result: reconcile.Skipped, Error: "it needs something"}
	}
	noted := reconcile.Plan{Notes: []string{"pool p is DEGRADED"}}
	blind := reconcile.Plan{Failures: []string{"zfs list failed"}}
	since := " since=" + reconcile.FormatTime(testNow)

	type round struct {
		after time.Duration
		plan  reconcile.Plan
		err   error
		want  string
	}
	const hour = time.Hour
	tests := map[string][]round{
		"a block stands": {
			{0, planOf(block), nil, "msg=blocked name=r"},
			{hour, planOf(block), nil, ""},
			{22 * hour, planOf(block), nil, ""},
			{hour, planOf(block), nil, "msg=blocked name=r" + since},
			{23 * hour, planOf(block), nil, ""},
			{hour, planOf(block), nil, "msg=blocked name=r" + since},
			{hour, planOf(), nil, "msg=cleared name=r" + since},
			{hour, planOf(), nil, ""},
			{0, planOf(block), nil, "msg=blocked name=r"},
		},
		"a block changes": {
			{0, planOf(block), nil, "msg=blocked name=r"},
			{time.Second, planOf(other), nil, "msg=blocked name=r" + since},
			{time.Second, planOf(other), nil, ""},
		},
		"a block whose nearest moment moves on": {
			{0, planOf(moving("nearest is 2026-11-23 00:00:59Z at 0/AB12, 59s ago")), nil, "msg=blocked name=r"},
			{59 * time.Minute, planOf(moving("nearest is 2026-11-23 00:59:59Z at 1/2, 1h 1m ago")), nil, ""},
			{time.Minute, planOf(moving("nearest is 2026-11-23 01:59:59Z at FF/12, 1h ago")), nil, "msg=blocked name=r" + since},
			{time.Minute, planOf(moving("nearest is 2026-11-23 02:59:59Z at FF/13, 2h ago")), nil, ""},
		},
		"what was done is always said": {
			{0, planOf(done), nil, "msg=changed name=d"},
			{0, planOf(done), nil, "msg=changed name=d"},
		},
		"a failure is said with growing waits": {
			{0, planOf(failed), nil, `msg="change failed" name=s`},
			{time.Second, planOf(failed), nil, ""},
			{time.Minute, planOf(failed), nil, `msg="change failed" name=s` + since},
			{time.Minute, planOf(failed), nil, ""},
			{time.Minute, planOf(failed), nil, `msg="change failed" name=s` + since},
			{31 * time.Minute, planOf(failed), nil, `msg="change failed" name=s` + since},
			{7 * time.Minute, planOf(failed), nil, ""},
			{hour, planOf(failed), nil, `msg="change failed" name=s` + since},
			{hour, planOf(failed), nil, `msg="change failed" name=s` + since},
			{hour, planOf(failed), nil, `msg="change failed" name=s` + since},
			{59 * time.Minute, planOf(failed), nil, ""},
			{time.Minute, planOf(failed), nil, `msg="change failed" name=s` + since}, // no longer than an hour
			{0, planOf(started), nil, "msg=changed name=s"},                          // which says that it is over
			{0, planOf(), nil, ""},
		},
		"a change that is made, and still differs": {
			{0, planOf(started, failed), nil, `msg=changed name=s; msg="change failed" name=s`},
			{time.Second, planOf(started, failed), nil, "msg=changed name=s"},
		},
		"a snapshot that can't be taken has a new name each time": {
			{0, planOf(snapshot("zr-1")), nil, "msg=skipped name=zr-1"},
			{hour, planOf(snapshot("zr-2")), nil, ""},
			{23 * hour, planOf(snapshot("zr-3")), nil, "msg=skipped name=zr-3" + since},
			{hour, planOf(), nil, "msg=cleared name=zr-3" + since},
		},
		"an apply that ended on the way clears nothing": {
			{0, planOf(block), nil, "msg=blocked name=r"},
			{0, planOf(), errors.New("x"), ""},
			{0, blind, nil, `msg="zfs list failed"`},
			{0, planOf(block), nil, "msg=cleared" + since}, // the failure; the block stands
		},
		"a note": {
			{0, noted, nil, `msg="pool p is DEGRADED"`},
			{hour, noted, nil, ""},
			{23 * hour, noted, nil, `msg="pool p is DEGRADED"` + since},
			{hour, planOf(), nil, `msg=cleared note="pool p is DEGRADED"` + since},
			{0, planOf(), nil, ""},
		},
		"what could not be observed": {
			{0, blind, nil, `msg="zfs list failed"`},
			{time.Second, blind, nil, ""},
			{time.Minute, blind, nil, `msg="zfs list failed"` + since},
			{0, planOf(), nil, "msg=cleared" + since},
		},
	}
	for name, rounds := range tests {
		t.Run(name, func(t *testing.T) {
			p := newTellings()
			for i, r := range rounds {
				if diff := cmp.Diff(r.want, p.round(r.after, r.plan, r.err)); diff != "" {
					t.Errorf("round %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestNumberless(t *testing.T) {
	for text, want := range map[string]string{
		"11D/97002068 and 0/AB":               "# and #",
		"000000010000011D00000096 is missing": "# is missing",
		"5s ago":                              "# ago",
		"1m 5s ago":                           "# ago",
		"1.5s":                                "#",
		"2020-03-14 01:01:03Z":                "#-#-# #:#:#Z",
		"pool zp is DEGRADED":                 "pool zp is DEGRADED",
	} {
		if got := numberless(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// What an apply beside a long step does not come upon is not gone: it looked at
// the standby alone.
func TestToldOfARoundBeside(t *testing.T) {
	p := newTellings()
	block := reconcile.Change{Kind: "restore", Name: "r", Action: reconcile.Block, Why: "no WAL", Result: reconcile.Skipped}
	p.round(0, planOf(block), nil)
	p.out.Reset()
	p.told.rounds(nil)(reconcile.Round{Beside: true})
	if said := p.out.String() + p.round(time.Minute, planOf(block), nil); said != "" {
		t.Errorf("said %q", said)
	}
	p.told.rounds(nil)(reconcile.Round{})
	if !strings.Contains(p.out.String(), "cleared") {
		t.Errorf("what is gone is not told: %q", p.out.String())
	}
}
