package reconcile

import (
	"context"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// earliestTime is the newest commit or abort below the LSN where a snapshot is
// consistent: before it the snapshot can't be used. It is read from WAL that
// begins before its redo (pitfall 9), where possible at the snapshot before:
// commit times are not in WAL order (pitfall 11), and none in between may be
// missed. Where no commit is in reach it is at least the time of the checkpoint,
// which is whole seconds and taken before redo, and that of what was replayed.
func (h *Host) earliestTime(ctx context.Context, in *view, control postgres.ControlData, replayedAt time.Time) time.Time {
	floor := control.CheckpointTime.Add(time.Second)
	if replayedAt.After(floor) {
		floor = replayedAt
	}
	r, err := reachAlong(in, control.ConsistentTimeline())
	if err != nil {
		h.Log.Warn("the WAL before a snapshot can't be read; its earliest moment is taken as later than it may be", "error", err)
		return floor
	}
	consistent := control.ConsistentLSN()
	before, found := snapshotBefore(usable(in), r.path, consistent)
	if found && consistent-before.Consistent <= earliestSpan {
		if newest, ok := r.newestSince(ctx, before, consistent); ok {
			return newest
		}
	}
	newest, ok := r.newestBelow(ctx, control.RedoLSN, consistent)
	if !ok {
		newest = floor
	}
	if found && before.EarliestAt.After(newest) {
		return before.EarliestAt
	}
	return newest
}

// earliestSpan bounds the WAL that is read for the earliest moment of a
// snapshot, in bytes: that takes about a second.
const earliestSpan = 1 << 30

// earliestLookBack is how much WAL before redo is read for it where no snapshot
// before is near, in bytes.
const earliestLookBack = 64 << 20

// snapshotBefore is the newest snapshot on a path that is consistent no later
// than an LSN.
func snapshotBefore(list []Snapshot, path wal.Path, lsn wal.LSN) (before Snapshot, found bool) {
	for _, s := range list {
		if s.onPath(path) && s.Consistent <= lsn && s.Consistent >= before.Consistent {
			before, found = s, true
		}
	}
	return before, found
}

// newestSince is the newest commit or abort below an LSN, read from where an
// earlier snapshot is consistent.
func (r reach) newestSince(ctx context.Context, before Snapshot, to wal.LSN) (time.Time, bool) {
	from, err := r.start(ctx, before.Consistent)
	if err != nil {
		return time.Time{}, false
	}
	newest, _, _, err := wal.NewestXact(ctx, r.source, r.size, r.systemID, r.path, from, to)
	if err != nil {
		return time.Time{}, false
	}
	if before.EarliestAt.After(newest) {
		newest = before.EarliestAt
	}
	return newest, true
}

// newestBelow reads back from redo by whole segments, earliestLookBack or as far
// as WAL goes. It does not end at the first commit that it comes to, which need
// not be the newest (pitfall 11).
func (r reach) newestBelow(ctx context.Context, redo, to wal.LSN) (newest time.Time, found bool) {
	for start := wal.SegmentAt(1, redo, r.size).Start(r.size); ; start -= wal.LSN(r.size) {
		at, _, n, err := wal.NewestXact(ctx, r.source, r.size, r.systemID, r.path, start, to)
		if err != nil {
			return newest, found
		}
		if n > 0 && (!found || at.After(newest)) {
			newest, found = at, true
		}
		if redo-start >= earliestLookBack || start < wal.LSN(r.size) {
			return newest, found
		}
		to = start
	}
}
