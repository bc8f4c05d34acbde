package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// Apply plans, then converges stage by stage, then observes again. Each stage
// is decided anew from what is observed then: what an earlier one made is in
// it. A failure skips what needs the failed thing, and nothing else. What is
// still different at the end, as of the moment it began, is an error.
//
// The lock of the site must be held.
func (h *Host) Apply(ctx context.Context, site *spec.Site, now time.Time, only Only) (Plan, error) {
	state, err := h.Observe(ctx, site, now)
	if err != nil {
		return Plan{}, err
	}
	run := &applying{host: h, site: site, now: now, only: only, plan: Diff(site, state, now, only), state: &state, bad: map[string]bool{}}
	for _, s := range stages() {
		if err := run.stage(ctx, s); err != nil {
			return run.plan, err
		}
	}
	return run.finish(ctx)
}

// applying is one apply at work.
type applying struct {
	host  *Host
	site  *spec.Site
	now   time.Time
	only  Only
	plan  Plan
	state *State
	dirty bool            // something was changed since state was observed
	bad   map[string]bool // kinds that failed or are blocked
}

// stage brings one stage about.
func (a *applying) stage(ctx context.Context, s stage) error {
	if err := a.refresh(ctx); err != nil {
		return err
	}
	in := &view{site: a.site, state: a.state, now: a.now, only: a.only, retained: s.kind == kindWAL}
	changes := in.diff(s)
	if f := a.state.reason(s.kind); f != "" && len(changes) > 0 {
		for _, c := range changes {
			a.record(c, errors.New(f))
		}
		return nil
	}
	var todo []Change
	for _, c := range changes {
		switch {
		case c.Action == Block:
			a.record(c, nil)
			a.bad[s.kind] = true
		case a.skips(s):
			c.Result, c.Error = Skipped, "it needs something that failed or is blocked"
			a.put(c)
			a.bad[s.kind] = true
		default:
			todo = append(todo, c)
		}
	}
	for _, outcome := range s.run(ctx, a.host, in, todo) {
		a.dirty = true
		a.record(outcome.change, outcome.err)
	}
	return ctx.Err()
}

// refresh observes again after a change. What can't be read now ends the apply:
// nothing is decided from an old picture.
func (a *applying) refresh(ctx context.Context) error {
	if !a.dirty {
		return nil
	}
	state, err := a.host.Observe(ctx, a.site, a.now)
	if err != nil {
		return err
	}
	a.state, a.dirty = &state, false
	return nil
}

func (a *applying) skips(s stage) bool {
	for _, need := range s.needs {
		if a.bad[need] || a.state.failed(need) {
			return true
		}
	}
	return false
}

// record notes what became of a change.
func (a *applying) record(c Change, err error) {
	switch {
	case err != nil:
		c.Result, c.Error = Failed, err.Error()
		a.bad[c.Kind] = true
		a.host.Log.Error("change failed", "kind", c.Kind, "name", c.Name, "action", c.Action, "error", err)
	case c.Action == Block:
		c.Result, c.Error = Skipped, c.Why
		a.host.Log.Warn("blocked", "kind", c.Kind, "name", c.Name, "why", c.Why, "mend", c.Mend)
	default:
		c.Result = Done
		a.host.Log.Info("changed", "kind", c.Kind, "name", c.Name, "action", c.Action, "why", c.Why)
	}
	a.put(c)
}

// put replaces the planned change of the same thing, or adds one that only
// showed on the way. What was planned for a stage under another name (the
// second in a snapshot's name) is replaced as well.
func (a *applying) put(c Change) {
	for i, have := range a.plan.Changes {
		if have.Result == "" && have.key() == c.key() && have.Action == c.Action {
			a.plan.Changes[i] = c
			return
		}
	}
	for i, have := range a.plan.Changes {
		if have.Result == "" && have.key() == c.key() {
			a.plan.Changes[i] = c
			return
		}
	}
	a.plan.Changes = append(a.plan.Changes, c)
}

// finish looks again, and reports what is still different as failed.
func (a *applying) finish(ctx context.Context) (Plan, error) {
	state, err := a.host.Observe(ctx, a.site, a.now)
	if err != nil {
		return a.plan, err
	}
	left := Diff(a.site, state, a.now, a.only)
	remaining := map[string]Change{}
	for _, c := range left.Changes {
		remaining[c.key()] = c
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		still, differs := remaining[c.key()]
		delete(remaining, c.key())
		switch {
		case c.Result == Done && differs && still.Action != Block:
			c.Result, c.Error = Failed, "it was changed, and still differs: "+still.Why
		case c.Result == "" && !differs:
			c.Result = Done // an earlier step brought it about
		case c.Result == "":
			c.Result, c.Error = Skipped, "it needs something that failed or is blocked"
		}
	}
	for _, c := range left.Changes {
		if _, unseen := remaining[c.key()]; !unseen {
			continue
		}
		c.Result, c.Error = Failed, "it differs after the apply"
		if c.Action == Block {
			c.Result, c.Error = Skipped, c.Why
		}
		a.plan.Changes = append(a.plan.Changes, c)
	}
	a.plan.Converged = left.Converged
	a.plan.Next, a.plan.Notes, a.plan.Failures = left.Next, left.Notes, left.Failures
	a.plan.tally()
	return a.plan, nil
}

// outcome is what became of one change.
type outcome struct {
	change Change
	err    error
}

// run makes the changes of a stage, one after the other or, where the stage can
// do many with few programs, together.
func (s stage) run(ctx context.Context, h *Host, in *view, changes []Change) []outcome {
	var out []outcome
	if s.applyAll != nil && len(changes) > 0 {
		errs := s.applyAll(ctx, h, in, changes)
		for _, c := range changes {
			out = append(out, outcome{c, errs[c.Name]})
		}
		return out
	}
	for _, c := range changes {
		if ctx.Err() != nil {
			return append(out, outcome{c, ctx.Err()})
		}
		out = append(out, outcome{c, s.apply(ctx, h, in, c)})
	}
	return out
}
