package reconcile

import (
	"context"
	"fmt"
	"strings"

	multierror "github.com/hashicorp/go-multierror"

	"github.com/zreconcile/zreconcile/postgres/wal"
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
	needed := in.neededByRestores(list)
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
// aim at, by name. One that is refused for now keeps what it would be based on:
// what it lacks may still come.
func (in *view) neededByRestores(list []Snapshot) map[string]string {
	needed := map[string]string{}
	for _, r := range in.site.Restores {
		if r.Target.Snapshot != "" {
			needed[r.Target.Snapshot] = r.Name
		}
		if base, pending := in.pendingBase(list, r); pending {
			needed[base.Name] = r.Name
		}
	}
	return needed
}

// pendingBase is what a restore that is not made yet starts from, or would.
func (in *view) pendingBase(list []Snapshot, r spec.Restore) (Snapshot, bool) {
	resolved, pending := in.state.Resolved[r.Name]
	switch {
	case !pending:
		return Snapshot{}, false
	case resolved.Refused == "":
		return resolved.Base, true
	}
	return likelyBase(list, r.Target)
}

// likelyBase is the newest snapshot that serves a time or an LSN.
func likelyBase(list []Snapshot, t spec.Target) (base Snapshot, found bool) {
	lsn, err := wal.ParseLSN(t.LSN)
	for _, s := range list {
		byTime := !t.Time.IsZero() && !s.EarliestAt.After(t.Time)
		byLSN := err == nil && s.Consistent <= lsn
		if s.complete() && (byTime || byLSN) {
			base, found = s, true
		}
	}
	return base, found
}

// removalPaused is true where nothing may be removed: the standby was promoted, or
// what the removal decides from was not observed.
func (in *view) removalPaused() bool {
	return in.site.Standby == nil || in.promoted() ||
		in.state.failed(kindRestore, kindRetention) || !in.state.Cluster.Mounted || in.awaitsKey()
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
// One that can't be destroyed is reported, and stops nothing else. The snapshot
// of the data directory goes last: it is the one that others are found by.
func applyRetention(ctx context.Context, h *Host, in *view, changes []Change) map[string]error {
	wanted := map[string]bool{}
	for _, c := range changes {
		wanted[c.Name] = true
	}
	failed := map[string]*multierror.Error{}
	var members []zfs.Snapshot
	var going []kept
	only := in.onlyHolders()
	for _, k := range in.retention() {
		switch hole, alone := only[k.Name]; {
		case !wanted[k.Name] || k.keep:
		case alone:
			failed[k.Name] = multierror.Append(failed[k.Name], fmt.Errorf(
				"it is the only one that has the WAL segment %s, which kept snapshots need; the archive gets it by an apply of the kind wal", hole.Name(in.segmentSize())))
		default:
			going = append(going, k)
			members = append(members, k.Members[1:]...)
		}
	}
	destroy := func(list []zfs.Snapshot) {
		for full, err := range h.ZFS.DestroySnapshots(ctx, list) {
			if err != nil {
				_, name, _ := strings.Cut(full, "@")
				failed[name] = multierror.Append(failed[name], fmt.Errorf("%s: %w", full, err))
			}
		}
	}
	if len(members) > 0 {
		destroy(members)
	}
	var data []zfs.Snapshot
	for _, k := range going {
		if failed[k.Name] == nil {
			data = append(data, k.Data)
		}
	}
	destroy(data)
	out := map[string]error{}
	for name, err := range failed {
		err.ErrorFormat = oneLine
		out[name] = err.ErrorOrNil()
	}
	return out
}

// onlyHolders are the snapshots whose pg_wal has WAL that those that stay need,
// and that neither the archive nor one of them has, with the first such segment.
// Apply heals the archive before; where that failed, or was left out, they stay. A
// segment of the live pg_wal that its archiver has done with does not count: the
// server removes it when it likes.
func (in *view) onlyHolders() map[string]wal.Segment {
	staying := coverageOf(in, nil)
	staying.held = nil
	for _, k := range in.retention() {
		if k.keep && k.WALFrom != 0 && k.SystemID == in.systemID() {
			staying.held = append(staying.held, k.Snapshot)
		}
	}
	lasting := coverageOf(in, in.state.Archive.Path)
	for _, s := range in.state.Archive.Unpushed {
		delete(lasting.live, s)
	}
	only := map[string]wal.Segment{}
	for _, run := range in.heldHoles(in.neededWAL(), lasting) {
		name := run.snapshot.Name
		for hole := run.first; only[name] == (wal.Segment{}) && hole.Number <= run.last.Number; hole.Number++ {
			if _, another := staying.in(inSnapshot, hole, 0); !another {
				only[name] = hole
			}
		}
	}
	return only
}

func oneLine(errs []error) string {
	var parts []string
	for _, e := range errs {
		parts = append(parts, e.Error())
	}
	return strings.Join(parts, "; ")
}
