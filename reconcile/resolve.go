package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// refusal is why a restore can't be had, and what would mend that; hole is the
// missing or damaged WAL that it is for, if any. Named is true where mend says
// already what can be had instead.
type refusal struct {
	why, mend string
	hole      error
	named     bool
}

func (r *refusal) Error() string { return r.why }
func (r *refusal) Unwrap() error { return r.hole }

func refuse(mend, format string, args ...any) error {
	return &refusal{why: fmt.Sprintf(format, args...), mend: mend}
}

// resolve finds the base of a restore and the place in the WAL where it stops,
// and proves on the way that the WAL between them is whole: each record is read
// and its checksum verified. What is not to be had is a Resolution with the
// reason; an error means that it could not be found out.
func (h *Host) resolve(ctx context.Context, in *view, r spec.Restore) (Resolution, error) {
	resolution, err := h.locate(ctx, in, r)
	if err == nil {
		err = in.primarysOwn(resolution)
	}
	if err == nil {
		return resolution, nil
	}
	var no *refusal
	switch {
	case errors.As(err, &no):
		resolution = Resolution{Refused: no.why, Mend: no.mend}
	case isHole(err):
		resolution = Resolution{Refused: "the WAL on the way to the target is not whole: " + err.Error()}
	default:
		return Resolution{}, err
	}
	if near := h.nearest(ctx, in, r.Target); near != "" && (no == nil || !no.named) {
		resolution.Mend = joinSentences(resolution.Mend, near)
	}
	if hole, ok := holeOf(err); ok {
		resolution.Hole, resolution.Holder = hole, in.holder(hole)
	}
	return resolution, nil
}

// holeOf is the segment that no place has a sound copy of.
func holeOf(err error) (wal.Segment, bool) {
	var gap *wal.GapError
	if errors.As(err, &gap) {
		return gap.Segment, true
	}
	var damaged *wal.DamagedError
	if errors.As(err, &damaged) {
		return damaged.Segment, true
	}
	return wal.Segment{}, false
}

// primarysOwn refuses what a promoted standby wrote itself: on its own timeline
// is no history of the primary (pitfall 34).
func (in *view) primarysOwn(r Resolution) error {
	if !in.promoted() || r.Stop.LSN == 0 || r.Stop.Timeline != in.timeline() {
		return nil
	}
	return refuse("name a moment before the promotion, or a snapshot",
		"the standby was promoted, and what it wrote since, on timeline %d, is not the primary's", r.Stop.Timeline)
}

func (h *Host) locate(ctx context.Context, in *view, r spec.Restore) (Resolution, error) {
	if why, mend := in.archiveAway(); why != "" {
		return Resolution{}, refuse(mend, "%s", why)
	}
	all := usable(in)
	if len(all) == 0 {
		return Resolution{}, refuse("take a snapshot: zreconcile snapshot", "no snapshot of this site can be a base yet")
	}
	reach, err := reachOf(in)
	if err != nil {
		return Resolution{}, err
	}
	found, err := h.locateOn(ctx, in, reach, all, r.Target)
	if err == nil && r.Action == "pause" && found.Base.onPath(reach.path) {
		found, err = reach.opened(ctx, all, found)
	}
	if err != nil {
		return Resolution{}, err
	}
	return in.supplied(ctx, reach, found)
}

// archiveAway says why nobody can look into the archive: then a clone is given no
// WAL at all, since what the archive holds is preferred to any other copy.
func (in *view) archiveAway() (why, mend string) {
	if in.site.Archive == nil {
		return "", ""
	}
	return mountBlock(in, in.site.Archive.Dir)
}

// liveAway says why nobody can look into the live pg_wal, which alone has what was
// received last.
func (in *view) liveAway() (why, mend string) {
	if why, mend = mountBlock(in, in.site.Standby.DataDir); why == "" && in.site.Standby.WALDir != "" {
		why, mend = mountBlock(in, in.site.Standby.WALDir)
	}
	return why, mend
}

// locateOn looks along one path of timelines. A snapshot that is named needs
// not lie on it.
func (h *Host) locateOn(ctx context.Context, in *view, r reach, all []Snapshot, t spec.Target) (Resolution, error) {
	if t.Snapshot != "" {
		return locateSnapshot(ctx, r, all, t.Snapshot)
	}
	bases := onPath(all, r.path)
	if len(bases) > 0 {
		if bases = in.whole(bases, r.path); len(bases) == 0 {
			return Resolution{}, refuse("take a snapshot: zreconcile snapshot", "no snapshot of this site has all the WAL that it begins with (zreconcile status names what is missing)")
		}
	} else {
		return Resolution{}, refuse("take a snapshot: zreconcile snapshot",
			"all snapshots of this site are of timelines that the primary has left before; each can be had by its name alone (target: {snapshot: ...})")
	}
	switch {
	case t.Latest:
		if why, mend := in.liveAway(); why != "" {
			return Resolution{}, refuse(mend, "what was received last is not known: %s", why)
		}
		return locateLatest(ctx, r, bases)
	case !t.Time.IsZero():
		return h.locateTime(ctx, in, r, bases, t.Time)
	}
	return locateRecord(ctx, r, bases, t)
}

// supplied says where the WAL of a restore comes from, and which archived copies
// of it are damaged.
func (in *view) supplied(ctx context.Context, r reach, found Resolution) (Resolution, error) {
	for _, step := range r.path {
		if step.From < max(found.End, found.Base.Consistent) {
			found.Path = append(found.Path, step)
		}
	}
	if !found.Base.onPath(r.path) {
		return found, nil
	}
	c := coverageOf(in, r.path)
	if at, lacks := c.lacks(found.Base); lacks {
		gap := c.missing(at)
		return Resolution{}, &wal.GapError{Segment: gap, Name: gap.Name(r.size)}
	}
	damaged, err := r.baseIsSound(ctx, found.Base)
	if err != nil {
		return Resolution{}, err
	}
	if a := in.site.Archive; a != nil {
		found.Damaged = slices.Compact(append(damaged, inDir(a.Dir, *r.skipped)...))
	}
	found.Supplies, _ = c.follow(found.Base.Redo, max(found.End, found.Base.Consistent))
	found.Settings, err = r.settingsBetween(found.Base.Redo, found.End)
	return found, err
}

// settingsBetween is the highest of each setting that the primary changed on the
// way from redo to an LSN. Where it lowered one again, neither the snapshot nor
// the standby tells of that.
func (r reach) settingsBetween(redo, end wal.LSN) (highest wal.Settings, err error) {
	for _, change := range *r.changes {
		switch {
		case change.Start < redo, change.Start >= end:
		case change.Settings.Minimal:
			return highest, refuse(fmt.Sprintf("what came before can be had, up to {lsn: %s, stop: before}", change.Start),
				"at %s the primary was started with wal_level=minimal, and no server replays WAL beyond that", change.Start)
		default:
			highest = highest.AtLeast(change.Settings)
		}
	}
	return highest, nil
}

// usable are the snapshots that recovery can start from, those first that are
// consistent first: those whose earliest moment is known, of this cluster. One
// that a later run completed is consistent later than some that were taken
// after it.
func usable(in *view) []Snapshot {
	var list []Snapshot
	id := in.systemID()
	for _, s := range ours(in.site, in.state) {
		if s.complete() && (s.SystemID == id || id == "0") {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b Snapshot) int { return cmp.Compare(a.Consistent, b.Consistent) })
	return list
}

func onPath(list []Snapshot, path wal.Path) []Snapshot {
	var out []Snapshot
	for _, s := range list {
		if s.onPath(path) {
			out = append(out, s)
		}
	}
	return out
}

// whole are those that have the WAL that they begin with.
func (in *view) whole(list []Snapshot, path wal.Path) []Snapshot {
	c := coverageOf(in, path)
	return slices.DeleteFunc(slices.Clone(list), func(s Snapshot) bool {
		_, lacks := c.lacks(s)
		return lacks
	})
}

// locateSnapshot takes a snapshot as it is. Where it stops depends on the
// pg_control that the clone shows; what is told of the transactions around is
// read from WAL as far as that is there.
func locateSnapshot(ctx context.Context, r reach, bases []Snapshot, name string) (Resolution, error) {
	for _, s := range bases {
		if s.Name != name {
			continue
		}
		end := max(s.Replayed, s.Consistent)
		found := Resolution{Base: s, Reached: Moment{LSN: end, Time: timePtr(s.ReplayedAt)}}
		if !s.onPath(r.path) {
			return found, nil
		}
		if before, after, err := r.around(ctx, s.Consistent, end); err == nil {
			found.LastIn, found.FirstOut = before, after
			found.Reached = reachedAt(s, end, before)
		}
		return found, nil
	}
	return Resolution{}, refuse("", "there is no snapshot %s of this site%s", name, labelled(bases, name))
}

// locateLatest stops after the last complete record received.
func locateLatest(ctx context.Context, r reach, bases []Snapshot) (Resolution, error) {
	base := bases[len(bases)-1]
	_, _, last, lastXact, err := r.xactAfter(ctx, base, time.Unix(math.MaxInt32*100, 0))
	if err != nil {
		return Resolution{}, err
	}
	return endAt(ctx, r, base, last, lastXact)
}

// endAt stops after the last record there is.
func endAt(ctx context.Context, r reach, base Snapshot, last, lastXact wal.Record) (Resolution, error) {
	if last.Start == 0 { // nothing came since the snapshot
		record, err := wal.LastRecordBefore(ctx, r.source, r.size, r.systemID, r.path, base.Consistent, 0)
		if err != nil {
			return Resolution{}, err
		}
		last = record
	}
	return Resolution{Base: base, Stop: StopPoint{LSN: last.Start, Inclusive: true, Timeline: r.path.TimelineAt(last.Start)},
		Reached: reachedAt(base, last.End, lastXact), End: last.End, LastIn: lastXact}, nil
}

// reachedAt is the last transaction in: the last one that was read, or else the
// newest one that the base holds.
func reachedAt(base Snapshot, end wal.LSN, lastXact wal.Record) Moment {
	if lastXact.Start == 0 {
		return Moment{LSN: end, Time: timePtr(base.EarliestAt)}
	}
	return Moment{LSN: max(end, lastXact.End), Time: timePtr(lastXact.Time)}
}

// afterXact stops behind the last transaction that is wanted, rather than
// before the first that is not: a DROP TABLE locks its table in WAL ahead of
// its commit, and a clone paused in between could not read the table. Where the
// base already holds the last one, it stops where the base is consistent.
func afterXact(r reach, base Snapshot, lastXact wal.Record) StopPoint {
	if lastXact.Start == 0 {
		return StopPoint{LSN: base.Consistent, Timeline: r.path.TimelineAt(base.Consistent)}
	}
	return StopPoint{LSN: lastXact.Start, Inclusive: true, Timeline: r.path.TimelineAt(lastXact.Start)}
}

// parent is the dataset above.
func parent(dataset string) string { return path.Dir(dataset) }

// firstSnapshot is true of a restore of the latest moment on a host that has no
// snapshot yet: the one that the same apply takes will be its base.
func firstSnapshot(in *view, r spec.Restore) bool {
	return r.Target.Latest && in.site.Snapshots != nil && len(ours(in.site, in.state)) == 0
}
