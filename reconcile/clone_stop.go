package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// settledStop is a StopPoint that the server of a clone comes to on every start,
// the end of the last record that it replays on the way, and the transactions on
// both sides of that.
type settledStop struct {
	StopPoint
	end      wal.LSN
	lastIn   wal.Record // zero where the base holds it
	firstOut wal.Record // zero where none is known
}

// waits is true where recovery is told to stop before a record that may never
// come. Ordinary recovery would end there with a FATAL error (pitfall 13); as a
// standby without a primary the server waits, and is paused where it stands.
func (s StopPoint) waits() bool { return !s.Inclusive }

// replay is how much WAL lies between the base and the stop, in bytes.
func (r Resolution) replay() wal.LSN { return r.End - min(r.End, r.Base.Redo) }

// settleStop finds the last record that a clone is to replay and how to stop
// behind it, from what the snapshot really holds: its pg_control is what the
// stamps only bound.
//
// A server stops at records that it reads, so it is told to stop after that
// one. All but one kind is read again on each start: a clone that was shut down
// behind a shutdown checkpoint begins after it, and would go one record too far.
// In front of what follows that one, it waits.
func settleStop(ctx context.Context, in *view, cluster *postgres.Cluster, control postgres.ControlData, resolved Resolution) (settledStop, error) {
	if why := control.NoBase(); why != "" {
		return settledStop{}, fmt.Errorf("the snapshot %s is no base for a restore: %s", resolved.Base.Name, why)
	}
	r, err := reachOfBase(in, resolved.Base, filepath.Join(cluster.DataDir, "pg_wal"))
	if err != nil {
		return settledStop{}, err
	}
	stop := resolved.Stop
	if stop.LSN == 0 { // the snapshot itself: what it was stamped with, or where it is consistent
		stop = StopPoint{LSN: max(resolved.Base.Replayed, control.ConsistentLSN())}
	}
	last, err := r.lastWanted(ctx, stop)
	if err != nil {
		return settledStop{}, fmt.Errorf("finding the last record of the restore: %w", err)
	}
	if last.End < control.ConsistentLSN() {
		return settledStop{}, fmt.Errorf("the snapshot %s is consistent only from %s on, after the target, which ends at %s", resolved.Base.Name, control.ConsistentLSN(), last.End)
	}
	settled := settledStop{StopPoint: StopPoint{LSN: last.Start, Inclusive: true, Timeline: r.timelineOf(ctx, last)},
		end: last.End, lastIn: resolved.LastIn, firstOut: resolved.FirstOut}
	if last.Kind == wal.CheckpointShutdown {
		settled.LSN, settled.Inclusive = last.End, false
	}
	if resolved.Stop.LSN == 0 {
		settled.lastIn, settled.firstOut, err = r.around(ctx, control.RedoLSN, last.End)
	}
	return settled, err
}

// reachOfBase is the WAL along the path that a base lies on: that of the standby,
// or of its own timeline, where the primary has left that before.
func reachOfBase(in *view, base Snapshot, own string) (reach, error) {
	r, err := reachAlong(in, in.timeline(), own)
	if err == nil && base.onPath(r.path) {
		return r, nil
	}
	return reachAlong(in, base.Timeline, own)
}

// lastWanted is the last record that a stop lets in.
func (r reach) lastWanted(ctx context.Context, stop StopPoint) (wal.Record, error) {
	if !stop.Inclusive {
		return wal.LastRecordBefore(ctx, r.source, r.size, r.systemID, r.path, stop.LSN, 0)
	}
	record, ended, err := r.scan(ctx, stop.LSN, func(wal.Record) bool { return true })
	if err == nil && (ended || record.Start != stop.LSN) {
		err = fmt.Errorf("no record begins at %s", stop.LSN)
	}
	return record, err
}

// timelineOf is the one to recover along to a record: its own, or where the file
// of that was not kept, since the segment is where the timeline ended, the next
// one on the path, which begins with a copy of it.
func (r reach) timelineOf(ctx context.Context, record wal.Record) wal.Timeline {
	own := r.path.TimelineAt(record.Start)
	for _, step := range r.path {
		segment := wal.SegmentAt(step.Timeline, record.Start, r.size)
		if step.Timeline < own || step.From >= segment.End(r.size) {
			continue
		}
		if f, _, err := r.source.Open(ctx, segment, r.size); err == nil {
			_ = f.Close() // it was only looked for
			return step.Timeline
		}
	}
	return own
}

// awaitTarget waits until a clone has reached its target, and proves that it is
// there. Snapshots that fall due meanwhile can be taken.
func (h *Host) awaitTarget(ctx context.Context, limit time.Duration, s cloneServer, end wal.LSN, promote bool) (commit *time.Time, err error) {
	err = h.aside(ctx, func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		commit, err = reachTarget(ctx, s, end, promote)
		return err
	})
	return commit, err
}

// reachTarget holds a clone that stopped against its target: a server also
// pauses on the way, where a setting is too low to replay on (from PostgreSQL
// 14), and one that lost its target would go on: where WAL ends before it,
// PostgreSQL 12 just promotes itself (release notes 13, "Migration").
func reachTarget(ctx context.Context, s cloneServer, end wal.LSN, promote bool) (commit *time.Time, err error) {
	if exists(filepath.Join(s.cluster.DataDir, signalFile)) {
		if err := endWait(ctx, s, end, promote); err != nil {
			return nil, err
		}
	}
	reached, commit, err := s.cluster.WaitTarget(ctx, postgres.WaitOptions{Promote: promote, Poll: targetPoll, LastWords: s.service.LastWords})
	if err != nil {
		return nil, err
	}
	if end != 0 && reached != end {
		words := s.service.LastWords()
		if words != "" {
			words = "; the server's last words: " + words
		}
		return nil, fmt.Errorf("the server of %s stopped to replay at %s, and its target is %s%s", s.cluster.DataDir, reached, end, words)
	}
	return commit, nil
}

// endWait ends recovery where a waiting clone has replayed all that it should.
func endWait(ctx context.Context, s cloneServer, end wal.LSN, promote bool) error {
	for {
		status, err := s.cluster.Status(ctx)
		if err != nil {
			return err
		}
		switch {
		case !status.InRecovery:
			return nil
		case status.Replayed < end:
		case promote:
			return s.cluster.Promote(ctx)
		default:
			return s.cluster.PauseReplay(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server of %s has replayed up to %s, and not up to its target %s: %w", s.cluster.DataDir, status.Replayed, end, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// targetPoll is how often a clone is asked whether it is there yet.
const targetPoll = 20 * time.Millisecond
