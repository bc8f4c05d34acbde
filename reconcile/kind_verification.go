package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// drillDue asks the cadence, which counts from the last drill of any snapshot.
func (in *view) drillDue() (due bool, at, next time.Time, err error) {
	var newest *time.Time
	if last := in.lastDrill(); last != nil {
		newest = &last.At.Time
	}
	v := in.site.Verify
	return Due(v.Schedule, v.Every, in.site.Timezone, newest, in.now)
}

// diffVerification makes a restore drill of the newest snapshot when one is due.
// It waits for a first snapshot, and pauses where the standby was promoted.
func diffVerification(in *view) []Change {
	v := in.site.Verify
	if v == nil || in.site.Standby == nil || in.promoted() ||
		in.state.failed(kindVerification, kindSnapshot, kindStandby) {
		return nil
	}
	due, at, _, err := in.drillDue()
	if err != nil {
		return []Change{Change{Name: "drill"}.at(v.Pos).block(err.Error(), "correct verify.schedule")}
	}
	name := in.drillSnapshot()
	if !due || name == "" {
		return nil
	}
	c := Change{Name: name, Action: Create, Why: "the first drill"}.at(v.Pos)
	if in.lastDrill() != nil {
		c.Why = "due since " + FormatTime(at)
	}
	r := in.drillEntry(name)
	c.Attrs = []Attr{{Name: "checks", After: strings.Join(checkNames(*v), ", ")}, {Name: "dataset", After: r.Dataset}}
	if why, mend := in.drillBlock(r); why != "" {
		c = c.block(why, mend)
	}
	return []Change{c}
}

// checkNames are the checks that a drill makes, beside those that are only told.
func checkNames(v spec.Verify) []string {
	names := []string{checkRecovery}
	if v.Amcheck {
		names = append(names, checkAmcheck)
	}
	switch n := len(v.Queries); n {
	case 0:
	case 1:
		names = append(names, "1 query")
	default:
		names = append(names, fmt.Sprintf("%d queries", n))
	}
	if v.Checksums {
		names = append(names, checkChecksums)
	}
	return names
}

// drillSnapshot names the newest snapshot that can be drilled: one that this
// plan takes or completes before, or that is complete; "" is none.
func (in *view) drillSnapshot() string {
	for _, c := range diffSnapshot(in) {
		if c.Action == Create && in.only.Wants(kindSnapshot, c.Name) {
			return c.Name
		}
	}
	id, name := in.systemID(), ""
	for _, s := range ours(in.site, in.state) {
		if (s.complete() || in.only.Wants(kindSnapshot, s.Name)) && (s.SystemID == id || id == "0") {
			name = s.Name
		}
	}
	return name
}

func applyVerification(ctx context.Context, h *Host, in *view, c Change) error {
	for _, s := range usable(in) {
		if s.Name == c.Name {
			ctx, cancel := h.givingWay(ctx, in.site.Name)
			defer cancel()
			d, err := h.drill(ctx, in, s, *in.site.Verify, false)
			if cause := context.Cause(ctx); err != nil && errors.Is(cause, errGaveWay) {
				return cause
			}
			if err != nil {
				return err
			}
			return d.failure()
		}
	}
	return errors.New("the snapshot is not there any more, or its earliest moment is not known")
}
