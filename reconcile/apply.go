package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// Apply plans, then converges stage by stage, then observes again. Each stage
// is decided anew from what is observed then: what an earlier one made is in
// it. A failure skips what needs the failed thing, and nothing else. What is
// still different at the end, as of the moment it began, is an error.
//
// Each change of the plan that is returned has its result, also where an error
// says that the apply ended on the way.
//
// The lock of the site must be held.
func (h *Host) Apply(ctx context.Context, site *spec.Site, now time.Time, only Only) (Plan, error) {
	plan, _, err := h.apply(ctx, site, now, only)
	return plan, err
}

// apply is Apply, and returns what it saw last as well.
func (h *Host) apply(ctx context.Context, site *spec.Site, now time.Time, only Only) (Plan, State, error) {
	state, err := h.Observe(ctx, site, now)
	if err != nil {
		return Plan{}, state, err
	}
	left, leftErr := h.releaseLeft(ctx, site, &state)
	if left { // retention decides of what was held
		if state, err = h.Observe(ctx, site, now); err != nil {
			return Plan{}, state, err
		}
	}
	run := &applying{host: h, site: site, now: now, only: only, plan: Diff(site, state, now, only), state: &state,
		bad: map[string]bool{}, told: map[string]Result{}}
	err = run.stages(ctx)
	if err == nil {
		err = run.finish(ctx)
	}
	if err != nil {
		run.leave()
	}
	if leftErr != nil { // what stays held keeps a snapshot, and nothing else
		run.plan.Failures = append(run.plan.Failures, leftErr.Error())
	}
	run.plan.tally()
	run.tellRest()
	return run.plan, *run.state, err
}

// applying is one apply at work.
type applying struct {
	host     *Host
	site     *spec.Site
	now      time.Time
	only     Only
	plan     Plan
	state    *State
	dirty    bool              // something was changed since state was observed
	retained bool              // what retention destroys is destroyed
	bad      map[string]bool   // kinds that failed or are blocked
	told     map[string]Result // what OnChange heard, by action and thing
}

const needsBad = "it needs something that failed or is blocked"

func (a *applying) stages(ctx context.Context) error {
	for _, s := range stages() {
		if err := a.stage(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// stage brings one stage about.
func (a *applying) stage(ctx context.Context, s stage) error {
	if err := a.refresh(ctx); err != nil {
		return err
	}
	in := &view{site: a.site, state: a.state, now: a.now, only: a.only, retained: a.retained}
	a.retained = a.retained || s.kind == kindRetention
	changes := in.diff(s)
	if f := a.state.reason(s.kind); f != "" && len(changes) > 0 {
		for _, c := range changes {
			a.record(outcome{change: c, err: errors.New(f)})
		}
		return nil
	}
	var todo []Change
	for _, c := range changes {
		switch {
		case c.Action == Block:
			a.record(outcome{change: c})
			a.bad[s.kind] = a.bad[s.kind] || !c.aside
		case a.skips(s):
			a.record(outcome{change: c, skipped: needsBad})
			a.bad[s.kind] = true
		default:
			todo = append(todo, c)
		}
	}
	for _, o := range s.run(ctx, a.host, in, todo) {
		a.dirty = true
		a.record(o)
	}
	return ctx.Err()
}

// refresh observes again after a change. What can't be read now ends the apply:
// nothing is decided from an old picture.
func (a *applying) refresh(ctx context.Context) error {
	if err := a.host.whole(ctx); err != nil { // a drill that gave way did not wait for it
		return err
	}
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
func (a *applying) record(o outcome) {
	c := o.change
	switch {
	case errors.Is(o.err, ErrRefused): // what the plan thought possible is not any more
		c.Action, c.Why, c.Result, c.Error = Block, o.err.Error(), Skipped, o.err.Error()
		a.bad[c.Kind] = true
	case errors.Is(o.err, errGaveWay):
		c.Result, c.Error = Skipped, o.err.Error()
	case o.err != nil:
		c.Result, c.Error = Failed, o.err.Error()
		a.bad[c.Kind] = true
	case o.skipped != "":
		c.Result, c.Error = Skipped, o.skipped
	case c.Action == Block:
		c.Result, c.Error = Skipped, c.Why
	default:
		c.Result = Done
	}
	a.put(c)
	if o.name != "" && o.name != c.Name {
		c.Name = o.name
		a.rename(o.change, o.name)
	}
	a.tell(c, o.took)
}

func (a *applying) tell(c Change, took time.Duration) {
	a.told[string(c.Action)+" "+c.key()] = c.Result
	a.host.OnChange(c, took)
}

// tellRest tells of what only the end has shown: what was not come to, what
// still differs.
func (a *applying) tellRest() {
	for _, c := range a.plan.Changes {
		if a.told[string(c.Action)+" "+c.key()] != c.Result {
			a.tell(c, 0)
		}
	}
}

// put takes the place of the planned change of the same thing, or adds one that
// only showed on the way. A second step that makes the same thing (no entry is
// left for it in the plan) is part of the first: only its failure is news.
func (a *applying) put(c Change) {
	at, done := -1, -1
	for i, have := range a.plan.Changes {
		switch {
		case have.key() != c.key():
		case have.Result != "":
			done = i
		case at < 0 || have.Action == c.Action && a.plan.Changes[at].Action != c.Action:
			at = i
		}
	}
	switch {
	case at >= 0:
		a.plan.Changes[at] = c
	case done < 0:
		a.plan.Changes = append(a.plan.Changes, c)
	case a.plan.Changes[done].Result == Done && c.Result != Done:
		a.plan.Changes[done] = c
	}
}

// rename gives a change the name that the thing really has: a snapshot is
// named after the second in which it is taken, not planned. Its drill goes by
// the same name.
func (a *applying) rename(planned Change, name string) {
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		if c.key() == planned.key() || c.Kind == kindVerification && c.Name == planned.Name {
			c.Name = name
		}
	}
}

// leave says of what was not come to that it was not.
func (a *applying) leave() {
	for i := range a.plan.Changes {
		if c := &a.plan.Changes[i]; c.Result == "" {
			c.Result, c.Error = Skipped, "the apply ended before it came to this"
		}
	}
	a.plan.Converged = false
}

// finish looks again, and reports what is still different as failed.
func (a *applying) finish(ctx context.Context) error {
	if err := a.refresh(ctx); err != nil {
		return err
	}
	left := Diff(a.site, *a.state, a.now, a.only)
	a.plan.settle(left)
	a.plan.Converged = left.Converged
	a.plan.Next, a.plan.Notes, a.plan.Failures = left.Next, left.Notes, left.Failures
	// A snapshot of this apply is newer than the moment it began. Where that changes
	// nothing, it is not what falls due next.
	if present := a.host.Clock(); present.After(a.now) {
		if at := Diff(a.site, *a.state, present, a.only); at.Converged {
			a.plan.Next = at.Next
		}
	}
	return nil
}

// settle holds the results against what is left to do, which has the last word.
func (p *Plan) settle(left Plan) {
	remaining := map[string]Change{}
	for _, c := range left.Changes {
		remaining[c.key()] = c
	}
	known := map[string]bool{}
	for i := range p.Changes {
		c := &p.Changes[i]
		still, differs := remaining[c.key()]
		known[c.key()] = known[c.key()] || still.Action != Block || c.Action == Block
		switch {
		case c.Result == Done && differs && still.Action != Block:
			c.Result, c.Error = Failed, "it was changed, and still differs: "+still.Why
		case c.Result != "":
		case differs:
			c.Result, c.Error = Skipped, needsBad
		case c.Action == Delete: // such as a snapshot that is kept by a hold since
			c.Result, c.Error = Skipped, "it is not to be removed any more"
		default:
			c.Result = Done // an earlier step brought it about
		}
	}
	p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool { // an earlier step lifted it
		return c.Action == Block && c.Result == Done
	})
	for _, c := range left.Changes {
		if known[c.key()] {
			continue
		}
		c.Result, c.Error = Failed, "it differs after the apply: "+c.Why
		if c.Action == Block {
			c.Result, c.Error = Skipped, c.Why
		}
		p.Changes = append(p.Changes, c)
	}
}

// outcome is what became of one change.
type outcome struct {
	change  Change
	name    string // what the thing is really called, where that is not the planned name
	skipped string // why it was not tried
	err     error
	took    time.Duration
}

// run makes the changes of a stage, one after the other or, where the stage can
// do many with few programs, together.
func (s stage) run(ctx context.Context, h *Host, in *view, changes []Change) []outcome {
	var out []outcome
	if s.applyAll != nil && len(changes) > 0 {
		began := h.Clock()
		h.lock.doing(s.kind)
		errs := s.applyAll(ctx, h, in, changes)
		for _, c := range changes {
			out = append(out, outcome{change: c, err: errs[c.Name], took: h.Clock().Sub(began)})
		}
		return out
	}
	for _, c := range changes {
		if ctx.Err() != nil {
			return out // what is left has not been tried
		}
		o, began := outcome{change: c}, h.Clock()
		h.lock.doing(c.Kind + " " + c.Name)
		if s.create != nil {
			o.name, o.err = s.create(ctx, h, in, c)
		} else {
			o.err = s.apply(ctx, h, in, c)
		}
		in.touched = true
		o.took = h.Clock().Sub(began)
		out = append(out, o)
	}
	return out
}
