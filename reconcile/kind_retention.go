package reconcile

import (
	"context"
	"fmt"
	"strings"

	multierror "github.com/hashicorp/go-multierror"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// kept is what becomes of a snapshot, and why.
type kept struct {
	Snapshot
	keep    bool
	reasons []string
}

// retention says of each of this site's snapshots whether it stays. Never
// removed is one with a hold or a clone, one that a restore of the spec needs,
// the newest, and any where no policy says so.
func (in *view) retention() []kept {
	list := ours(in.site, in.state)
	var policy spec.Retention
	if in.site.Snapshots != nil {
		policy = in.site.Snapshots.Retention
	}
	points := make([]Point, len(list))
	for i, s := range list {
		points[i] = Point{ID: s.Data.GUID, At: s.TakenAt}
	}
	needed := in.neededByRestores()
	out := make([]kept, len(list))
	for i, v := range ApplyPolicy(points, policy, in.site.Timezone, in.now) {
		k := kept{Snapshot: list[i], keep: v.Keep, reasons: v.Reasons}
		if why := list[i].held(); why != "" {
			k.keep, k.reasons = true, append(k.reasons, why)
		}
		if name := needed[list[i].Name]; name != "" {
			k.keep, k.reasons = true, append(k.reasons, "restore "+name)
		}
		out[i] = k
	}
	return out
}

// neededByRestores are the snapshots that restores of the spec are based on or
// aim at, by name.
func (in *view) neededByRestores() map[string]string {
	needed := map[string]string{}
	for _, r := range in.site.Restores {
		if r.Target.Snapshot != "" {
			needed[r.Target.Snapshot] = r.Name
		}
		if resolved, ok := in.state.Resolved[r.Name]; ok && resolved.Refused == "" {
			needed[resolved.Base.Name] = r.Name
		}
	}
	return needed
}

// paused is true where nothing may be removed: the standby was promoted, or
// what the removal decides from was not observed.
func (in *view) removalPaused() bool {
	return in.site.Standby == nil || in.promoted() ||
		in.state.failed(kindRestore, kindRetention) || !in.state.Cluster.Mounted
}

func diffRetention(in *view) []Change {
	if in.site.Snapshots == nil || in.removalPaused() {
		return nil
	}
	var changes []Change
	for _, k := range in.retention() {
		if !k.keep {
			changes = append(changes, Change{Name: k.Name, Action: Delete, Why: "no rule of the retention keeps it",
				Attrs: []Attr{{Name: "guid", Before: k.Data.GUID}, {Name: "taken", Before: FormatTime(k.TakenAt)}}}.at(in.site.Snapshots.Pos))
		}
	}
	return changes
}

// applyRetention destroys several at once, each checked by guid just before.
// One that can't be destroyed is reported, and stops nothing else.
func applyRetention(ctx context.Context, h *Host, in *view, changes []Change) map[string]error {
	wanted := map[string]bool{}
	for _, c := range changes {
		wanted[c.Name] = true
	}
	var all []zfs.Snapshot
	of := map[string]string{}
	for _, k := range in.retention() {
		if !wanted[k.Name] || k.keep {
			continue
		}
		for _, m := range k.Members {
			all = append(all, m)
			of[m.Full()] = k.Name
		}
	}
	failed := map[string]*multierror.Error{}
	for full, err := range h.ZFS.DestroySnapshots(ctx, all) {
		if err != nil {
			failed[of[full]] = multierror.Append(failed[of[full]], fmt.Errorf("%s: %w", full, err))
		}
	}
	out := map[string]error{}
	for name, err := range failed {
		err.ErrorFormat = oneLine
		out[name] = err.ErrorOrNil()
	}
	return out
}

func oneLine(errs []error) string {
	var parts []string
	for _, e := range errs {
		parts = append(parts, e.Error())
	}
	return strings.Join(parts, "; ")
}
