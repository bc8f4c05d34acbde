package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// refusal is why a restore can't be had, and what can; hole is the missing or
// damaged WAL that it is for, if any.
type refusal struct {
	why, mend string
	hole      error
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
	resolution, err := h.locate(ctx, in, r.Target)
	if err == nil {
		err = in.primarysOwn(resolution)
	}
	if err == nil {
		err = baseIsSound(ctx, in, resolution.Base)
	}
	var no *refusal
	switch {
	case errors.As(err, &no):
		resolution = Resolution{Refused: no.why, Mend: no.mend}
	case isHole(err):
		resolution = Resolution{Refused: "the WAL on the way to the target is not whole: " + err.Error(), Mend: nearest(in, r.Target.Time)}
	case err != nil:
		return Resolution{}, err
	}
	var gap *wal.GapError
	if errors.As(err, &gap) {
		resolution.Hole = gap.Segment
		resolution.Holder = holder(in, gap.Segment)
	}
	return resolution, nil
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

func (h *Host) locate(ctx context.Context, in *view, t spec.Target) (Resolution, error) {
	bases := usable(in)
	if len(bases) == 0 {
		return Resolution{}, refuse("take a snapshot: zreconcile snapshot", "no snapshot of this site can be a base yet")
	}
	reach, err := reachOf(in)
	if err != nil {
		return Resolution{}, err
	}
	switch {
	case t.Snapshot != "":
		return locateSnapshot(in, bases, t.Snapshot)
	case t.Latest:
		return locateLatest(ctx, reach, bases)
	case !t.Time.IsZero():
		return h.locateTime(ctx, in, reach, bases, t.Time)
	}
	return locateRecord(ctx, reach, bases, t)
}

// baseIsSound reads what a base replays up to where it is consistent. Its own
// pg_wal holds that as well and makes up for what the archive lacks, but not for
// a damaged copy in the archive, at which its server stops.
func baseIsSound(ctx context.Context, in *view, base Snapshot) error {
	r, err := reachOf(in)
	if err != nil {
		return err
	}
	_, _, err = r.scan(ctx, base.Redo, func(record wal.Record) bool { return record.Start >= base.Consistent })
	var damaged *wal.DamagedError
	var gap *wal.GapError
	switch {
	case errors.As(err, &damaged):
		return refuse("move "+damaged.Origin+" away: the snapshot holds that segment itself", "the WAL that the snapshot %s begins with is not whole: %v", base.Name, err)
	case errors.As(err, &gap):
		return nil
	}
	return err
}

// usable are the snapshots that recovery can start from, oldest first: those
// whose earliest moment is known, of this cluster.
func usable(in *view) []Snapshot {
	var list []Snapshot
	id := in.systemID()
	for _, s := range ours(in.site, in.state) {
		if s.complete() && (s.SystemID == id || id == "0") {
			list = append(list, s)
		}
	}
	return list
}

func locateSnapshot(in *view, bases []Snapshot, name string) (Resolution, error) {
	var near string
	for _, s := range bases {
		if s.Name == name {
			// Where it stops depends on the pg_control that the clone shows.
			return Resolution{Base: s, Reached: Moment{LSN: s.Replayed, Time: timePtr(s.ReplayedAt)}}, nil
		}
		if s.Name < name || near == "" {
			near = s.Name
		}
	}
	return Resolution{}, refuse("the nearest is "+near, "there is no snapshot %s of this site", name)
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
		Reached: reachedAt(base, last.End, lastXact), End: last.End}, nil
}

// reachedAt is the last transaction in: the last one that was read, or else the
// newest one that the base holds.
func reachedAt(base Snapshot, end wal.LSN, lastXact wal.Record) Moment {
	if lastXact.Start == 0 {
		return Moment{LSN: end, Time: timePtr(base.EarliestAt)}
	}
	return Moment{LSN: max(end, lastXact.End), Time: timePtr(lastXact.Time)}
}

// servingTime is how many of the oldest snapshots can serve a time: those before
// the first one that holds something later. Where the primary's clock was set
// back, a newer one may look as if it held nothing later, and does (pitfall 11).
func servingTime(bases []Snapshot, t time.Time) int {
	n := 0
	for n < len(bases) && !bases[n].EarliestAt.After(t) {
		n++
	}
	return n
}

// locateTime stops before the first commit or abort later than the time; the
// base is the newest that can serve it.
func (h *Host) locateTime(ctx context.Context, in *view, r reach, bases []Snapshot, t time.Time) (Resolution, error) {
	n := servingTime(bases, t)
	if n == 0 {
		return Resolution{}, refuse("the earliest moment is "+FormatTime(bases[0].EarliestAt)+", of snapshot "+bases[0].Name,
			"%s is before what any snapshot serves", FormatTime(t))
	}
	base := bases[n-1]
	find := func() (wal.Record, bool, wal.Record, wal.Record, error) {
		return r.xactAfter(ctx, base, t)
	}
	record, found, last, lastXact, err := find()
	if isHole(err) {
		return Resolution{}, &refusal{why: "the WAL on the way to the target is not whole: " + err.Error(),
			mend: aroundHole(bases[n:], reachedAt(base, last.End, lastXact)), hole: err}
	}
	if err != nil {
		return Resolution{}, err
	}
	if !found {
		if err := h.provenQuiet(ctx, in, t, reachedAt(base, last.End, lastXact)); err != nil {
			return Resolution{}, err
		}
		// What the primary had written when it was asked has come in by now.
		if record, found, last, lastXact, err = find(); err != nil {
			return Resolution{}, err
		}
	}
	if !found && last.Start == 0 {
		return endAt(ctx, r, base, last, lastXact)
	}
	end := last.End
	if found {
		end = record.End
	}
	return Resolution{Base: base, Stop: afterXact(r, base, lastXact), Reached: reachedAt(base, base.Consistent, lastXact), End: end}, nil
}

// aroundHole names the nearest moments on either side of missing WAL: the last
// one in front of it, and the first one that a later snapshot serves.
func aroundHole(later []Snapshot, before Moment) string {
	mend := "the nearest moment before that can be had is "
	if before.Time != nil {
		mend += before.Time.String()
	} else {
		mend += before.LSN.String()
	}
	if len(later) > 0 {
		mend += ", and the nearest after it " + FormatTime(later[0].EarliestAt) + ", of snapshot " + later[0].Name
	}
	return mend
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

// quietMargin is how far the primary's clock must be beyond a target before
// the absence of commits proves anything: a commit's time is taken before its
// record is flushed.
const quietMargin = time.Second

// catchUp bounds the wait for what the primary has already written.
const catchUp = 15 * time.Second

// provenQuiet tells a quiet primary, which had no commit after the time, from
// one that we do not hear of: then how far WAL goes is not known to reach the
// target, and it is refused (pitfall 12).
func (h *Host) provenQuiet(ctx context.Context, in *view, t time.Time, upTo Moment) error {
	mend := "WAL is here up to " + upTo.LSN.String()
	if upTo.Time != nil {
		mend += ", with the last commit of " + upTo.Time.String() + "; that moment can be had, or {latest: true}"
	}
	status := in.state.Cluster.Status
	if status == nil || !status.Connected() || status.PrimaryTime == nil || status.LastMsgReceiptAt == nil {
		return refuse(mend, "%s is later than the last commit received, and the standby is not connected: what the primary did until then is not known", FormatTime(t))
	}
	ahead := func() time.Duration {
		now := status.PrimaryTime.Add(h.Clock().Sub(*status.LastMsgReceiptAt)) // the primary's clock
		return t.Add(quietMargin).Sub(now)
	}
	if wait := ahead(); wait > quietMargin {
		return refuse(mend, "%s has not come yet on the primary", FormatTime(t))
	} else if wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	info, err := postgres.Identify(ctx, h.primary(in.site, in.state.Cluster.Password))
	if err != nil {
		return refuse(mend, "%s is later than the last commit received, and the primary can't be asked whether there was one: %v", FormatTime(t), err)
	}
	return h.awaitReceived(ctx, in, info.XLogPos, mend)
}

// awaitReceived waits until the standby has what the primary had written.
func (h *Host) awaitReceived(ctx context.Context, in *view, lsn wal.LSN, mend string) error {
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		status, err := cluster.Status(ctx)
		if err == nil && status.Received >= lsn {
			return nil
		}
		select {
		case <-ctx.Done():
			return refuse(mend, "the standby lags: it has not received up to %s, which the primary has written", lsn)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// nearest names the moments around a time that snapshots alone can serve.
func nearest(in *view, t time.Time) string {
	var before, after string
	for _, s := range usable(in) {
		if t.IsZero() || !s.TakenAt.After(t) {
			before = s.Name
		} else if after == "" {
			after = s.Name
		}
	}
	switch {
	case before != "" && after != "":
		return fmt.Sprintf("the nearest that can be had are the snapshots %s and %s (target: {snapshot: ...})", before, after)
	case before != "":
		return fmt.Sprintf("the nearest that can be had is the snapshot %s (target: {snapshot: ...})", before)
	case after != "":
		return fmt.Sprintf("the nearest that can be had is the snapshot %s (target: {snapshot: ...})", after)
	}
	return "no snapshot is there"
}

// parent is the dataset above.
func parent(dataset string) string { return path.Dir(dataset) }

// firstSnapshot is true of a restore of the latest moment on a host that has no
// snapshot yet: the one that the same apply takes will be its base.
func firstSnapshot(in *view, r spec.Restore) bool {
	return r.Target.Latest && in.site.Snapshots != nil && len(ours(in.site, in.state)) == 0
}
