package reconcile

import (
	"slices"
	"sort"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// view is what a stage decides from: the file, the host, the moment.
type view struct {
	site  *spec.Site
	state *State
	now   time.Time
	only  Only
	// retained is true once retention has been applied: what it could not
	// destroy is then still there, and keeps its WAL. Before, a plan counts
	// on what retention is going to destroy.
	retained bool
	touched  bool // something was changed since the state was observed
}

// Diff works out what differs between the site and the host at a moment. It is
// pure: the same state gives the same plan, in the same order.
func Diff(site *spec.Site, state State, now time.Time, only Only) Plan {
	in := &view{site: site, state: &state, now: now, only: only}
	var changes []Change
	for _, s := range stages() {
		changes = append(changes, in.diff(s)...)
	}
	plan := newPlan(site.Name, changes, in.notes(), in.next())
	plan.Failures = append(state.failureTexts(), in.leftLocked()...)
	return plan
}

// diff is one stage's share of the plan, sorted by name within it: a parent's
// name is a prefix of its children's. Changes of one thing keep their order. What
// lies on the site's datasets is not known, and not planned, before their key is.
func (in *view) diff(s stage) []Change {
	if slices.Contains(s.needs, kindDataset) && in.awaitsKey() {
		return nil
	}
	var wanted []Change
	for _, c := range s.diff(in) {
		c.Kind = s.kind
		if in.only.Wants(c.Kind, c.Name) {
			wanted = append(wanted, c)
		}
	}
	sort.SliceStable(wanted, func(i, j int) bool { return wanted[i].Name < wanted[j].Name })
	return wanted
}

// at makes a change point at the place of the file that asks for it.
func (c Change) at(pos spec.Pos) Change {
	c.File, c.Line = pos.File, pos.Line
	return c
}

// next is the first moment after now at which the plan changes by itself.
func (in *view) next() time.Time {
	var next time.Time
	earliest := func(t time.Time) {
		if t.After(in.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if in.site.Standby != nil && in.site.Snapshots != nil && !in.promoted() {
		if d, err := in.snapshotDue(); err == nil {
			earliest(d.next)
		}
		for _, s := range ours(in.site, in.state) {
			earliest(s.TakenAt) // of a clock that was set wrong: from then on rules count it
			if in.site.Archive != nil && in.site.Archive.ContinuousFor != 0 {
				earliest(s.servesFrom().Add(in.site.Archive.ContinuousFor)) // older ones become single points
			}
		}
	}
	if in.site.Verify != nil && in.site.Standby != nil && !in.promoted() {
		if _, _, at, err := in.drillDue(); err == nil {
			earliest(at)
		}
	}
	for _, c := range in.state.Clones {
		if t, ok := in.cloneDue(c); ok {
			earliest(t)
		}
	}
	return next
}

// notes are what a person should know and no change can mend.
func (in *view) notes() []string {
	var notes []string
	for _, c := range in.state.Drills {
		if c.Marks[markState] == stateKept {
			notes = append(notes, "the clone of a failed restore drill is kept at "+c.Dataset.Name+"; the next drill destroys it, such as zreconcile verify")
		}
	}
	notes = append(notes, in.poolNotes()...)
	if s := in.state.Cluster.Status; s != nil && len(s.PendingRestart) > 0 && in.site.Standby.Restart == "never" {
		pending := append([]string{}, s.PendingRestart...)
		sort.Strings(pending)
		notes = append(notes, "the standby waits for a restart (standby.restart is never) before these settings take effect: "+join(pending))
	}
	return notes
}
