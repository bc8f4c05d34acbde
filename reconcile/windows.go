package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// addWindows follows the WAL from each snapshot as far as it goes without a
// gap, which is its latest moment, and says why it ends there. Each moment that
// is shown can be restored: a time only where WAL proves which transaction is
// the first one after it.
func (h *Host) addWindows(ctx context.Context, in *view, s *Status) {
	if in.site.Standby == nil {
		return
	}
	if why, _ := in.archiveAway(); why != "" {
		for i := range s.Snapshots {
			s.Snapshots[i].LatestWhy = why
		}
		return
	}
	if err := in.checkHeaders(); err != nil {
		s.Failures = append(s.Failures, err.Error())
		return
	}
	r, err := reachOf(in)
	if err != nil {
		s.Failures = append(s.Failures, err.Error())
		return
	}
	list := ours(in.site, in.state)
	spans := in.spans(r.path, list)
	for i := len(spans) - 1; i >= 0; i-- {
		snap, reached := &s.Snapshots[i], spans[i]
		snap.LatestWhy, snap.Lost = reached.why, reached.lost
		if !reached.base {
			continue
		}
		if reached.joins > i {
			joined := s.Snapshots[reached.joins]
			snap.Latest, snap.LatestWhy, snap.Lost = joined.Latest, joined.LatestWhy, joined.Lost
		}
		if snap.Latest == nil || snap.Latest.Time == nil { // what is proven lies before the later one
			latest, why := r.latestFrom(ctx, coverageOf(in, r.path), list[i], in.state.Cluster.Status)
			snap.Latest, snap.LatestWhy, snap.Lost = latest, cmp.Or(why, snap.LatestWhy), snap.Lost || why != ""
		}
	}
	if err := r.openWindows(ctx, spans, list, s.Snapshots); err != nil {
		s.Failures = append(s.Failures, err.Error())
		return
	}
	s.Windows = windows(s.Snapshots)
}

// openWindows moves the earliest moment of a snapshot that begins a run of WAL
// to where its server lets sessions in: a restore to one before has no base. In
// the middle of a run an older snapshot serves those moments.
func (r reach) openWindows(ctx context.Context, spans []span, list []Snapshot, shown []SnapshotStatus) error {
	joined := map[int]bool{}
	for i, reached := range spans {
		if reached.base && reached.joins > i {
			joined[reached.joins] = true
		}
	}
	for i, reached := range spans {
		if !reached.base || joined[i] {
			continue
		}
		at, err := r.opensAt(ctx, list[i], math.MaxUint64)
		switch {
		case err != nil && !isHole(err):
			return err
		case at == 0 && err == nil:
			shown[i].Latest, shown[i].LatestWhy = nil, "a transaction with more than 64 subtransactions was running: a server that begins there and stops anywhere lets nobody in"
		case at > list[i].Consistent:
			shown[i].Earliest = r.openedFrom(ctx, list[i], at)
		}
	}
	return nil
}

// openedFrom is the earliest moment of a snapshot whose server lets sessions in
// from an LSN on: a restore to a time stops behind the last transaction up to
// it, so the first one that ends behind the LSN is the earliest time.
func (r reach) openedFrom(ctx context.Context, s Snapshot, at wal.LSN) *Moment {
	earliest := &Moment{LSN: at}
	if next := r.nextXact(ctx, at); next.Start != 0 {
		if newest, ok := r.newestSince(ctx, s, next.End); ok {
			earliest.Time = timePtr(newest)
		}
	}
	return earliest
}

// span is how far the WAL goes on from a snapshot.
type span struct {
	base  bool    // recovery can start from it and go on
	end   wal.LSN // there is WAL up to here, or, where it joins a later snapshot, up to that one
	joins int     // index of the later one, from which it goes on as that does; 0 is none
	why   string  // what ends it, or why it is no base
	lost  bool    // missing WAL ends it, or keeps it from being one
}

// spans follows the WAL along a path from each of the snapshots, oldest first.
func (in *view) spans(path wal.Path, list []Snapshot) []span {
	c, points := coverageOf(in, path), in.singlePoints()
	spans := make([]span, len(list))
	next := 0
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		if why, lost := in.noBase(c, s); why != "" {
			spans[i].why, spans[i].lost = why, lost
			continue
		}
		bound := wal.LSN(0)
		if next > i { // further on, it goes on as that one does
			bound = list[next].Consistent
		}
		_, end := c.follow(s.Consistent, bound)
		spans[i] = span{base: true, end: end}
		if next > i && end >= bound {
			spans[i].joins = next
		} else if point, single := points[s.Name]; single && !point.covers(c.missing(end), c.size) {
			spans[i].why = fmt.Sprintf("a single point: archive.continuousFor keeps no WAL from %s on", c.missing(end).Name(c.size))
		} else {
			spans[i].why = in.endReason(c, end)
			spans[i].lost = spans[i].why != endsAsReceived
		}
		next = i
	}
	return spans
}

// noBase says why WAL does not lead on from a snapshot; "" is that it does. It
// is lost where WAL that it begins with is missing.
func (in *view) noBase(c coverage, s Snapshot) (why string, lost bool) {
	switch {
	case !s.complete():
		return "where it is consistent is not known yet; the next apply finds out", false
	case s.SystemID != in.systemID():
		return "it is of another database cluster, with the system identifier " + s.SystemID, false
	case !s.onPath(c.path):
		return fmt.Sprintf("on timeline %d, which the primary has left before: it serves as a snapshot alone", s.Timeline), false
	}
	if at, lacks := c.lacks(s); lacks {
		end := in.endReason(c, at)
		return "it is no base: of the WAL that it begins with, " + end, end != endsAsReceived
	}
	return "", false
}

// checkHeaders drops the files whose first page says that they are something
// else, so that no moment is shown that they would have to serve. Of a live
// pg_wal that nobody answers for, they are the segments that are not written yet.
func (in *view) checkHeaders() error {
	a := &in.state.Archive
	if in.site.Archive != nil && a.Exists {
		if err := a.Inventory.Headers(in.site.Archive.Dir, in.systemNumber()); err != nil {
			return fmt.Errorf("looking at the archived WAL: %w", err)
		}
	}
	if in.state.Cluster.Status == nil && len(a.Live.Segments) > 0 {
		if err := a.Live.Headers(in.livePgWAL(), in.systemNumber()); err != nil {
			return fmt.Errorf("looking at the live pg_wal: %w", err)
		}
	}
	return nil
}

// latestTail is how much of the end of the WAL is read for its last commit, in bytes.
const latestTail = 64 << 20

// latestFrom is the latest moment that the WAL from a snapshot on reaches. A time
// is proven by the commit or abort behind it, so the last one of the WAL bounds
// it; where the standby has all that the primary tells of, its last message does.
// Without either none is: what the primary did next is not known. Why is what
// ends recovery in the middle of the WAL; "" is nothing.
func (r reach) latestFrom(ctx context.Context, c coverage, snap Snapshot, status *postgres.Status) (latest *Moment, why string) {
	latest = &Moment{LSN: snap.Consistent}
	proven := func(t time.Time) {
		if !t.Before(snap.EarliestAt) && (latest.Time == nil || t.After(latest.Time.Time)) {
			latest.Time = timePtr(t)
		}
	}
	_, end := c.readable().follow(snap.Consistent, 0)
	from := snap.Consistent
	if tail := end - min(end, latestTail); tail > from {
		from = wal.SegmentAt(1, tail, r.size).Start(r.size)
	} else if start, err := r.start(ctx, from); err == nil {
		from = start
	}
	_, _, _ = r.scan(ctx, from, func(rec wal.Record) bool { // what ends it is the reason that endReason tells
		if rec.End <= snap.Consistent {
			return false
		}
		if rec.Settings.Minimal {
			why = fmt.Sprintf("at %s the primary was started with wal_level=minimal, and no server replays WAL beyond that", rec.Start)
			return true
		}
		latest.LSN = rec.End
		if rec.IsXact() {
			proven(rec.Time.Add(-time.Microsecond))
		}
		return false
	})
	if why == "" && status != nil && status.Connected() && status.PrimaryTime != nil && latest.LSN >= max(status.ReceiverLatestEnd, status.Received) {
		proven(*status.PrimaryTime)
	}
	return latest, why
}

// endsAsReceived is why WAL ends where nothing is missing.
const endsAsReceived = "all WAL that was received"

// endReason says why WAL goes no further than an LSN.
func (in *view) endReason(c coverage, end wal.LSN) string {
	missing := c.missing(end)
	name := missing.Name(c.size)
	for _, s := range in.state.Archive.Inventory.Damaged {
		if s.Segment == missing {
			return fmt.Sprintf("the archived WAL segment %s (%s) is damaged, and no other copy is there", name, units.BytesSize(float64(s.Size)))
		}
	}
	for s := range c.archive {
		if s.Number > missing.Number && c.path.Has(s.Timeline) {
			return fmt.Sprintf("the WAL segment %s is missing", name)
		}
	}
	for s := range c.live {
		if s.Number > missing.Number && c.path.Has(s.Timeline) && s.Start(c.size) < c.liveEnd {
			return fmt.Sprintf("the WAL segment %s is missing", name)
		}
	}
	return endsAsReceived
}

// windows joins what each snapshot serves where it meets or overlaps.
func windows(snapshots []SnapshotStatus) []Window {
	out := []Window{}
	list := slices.DeleteFunc(slices.Clone(snapshots), func(s SnapshotStatus) bool {
		return s.Earliest == nil || s.Earliest.Time == nil || s.Latest == nil || s.Latest.Time == nil
	})
	// One that a later run completed serves from later on than some after it.
	slices.SortStableFunc(list, func(a, b SnapshotStatus) int { return a.Earliest.Time.Compare(b.Earliest.Time.Time) })
	for _, s := range list {
		from, to := *s.Earliest.Time, *s.Latest.Time
		if n := len(out); n > 0 && !from.After(out[n-1].To.Time) {
			if to.After(out[n-1].To.Time) {
				out[n-1].To, out[n-1].Why, out[n-1].Lost = to, s.LatestWhy, s.Lost
			}
			continue
		}
		out = append(out, Window{From: from, To: to, Why: s.LatestWhy, Lost: s.Lost})
	}
	return out
}
