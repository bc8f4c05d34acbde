package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// reach is the WAL that can be had: the archive first, then the live pg_wal,
// the unfinished segment included (pitfall 4), along one path of timelines.
type reach struct {
	source   wal.Source
	size     int64
	systemID uint64
	path     wal.Path
}

// reachOf gathers it; more directories, such as a clone's own pg_wal, come last.
func reachOf(in *view, more ...string) (reach, error) {
	var dirs []string
	if in.site.Archive != nil && in.state.Archive.Exists {
		dirs = append(dirs, in.site.Archive.Dir)
	}
	if in.state.Cluster.Content == DirCluster {
		dirs = append(dirs, filepath.Join(in.site.Standby.DataDir, "pg_wal"))
	}
	dirs = append(dirs, more...)
	var sources []wal.Source
	for _, d := range dirs {
		sources = append(sources, wal.Dir(d))
	}
	timeline := in.timeline()
	history, err := historyOf(timeline, dirs)
	if err != nil {
		return reach{}, err
	}
	return reach{source: wal.Sources(sources...), size: in.segmentSize(), systemID: in.systemNumber(), path: wal.PathOf(timeline, history)}, nil
}

// timeline is the one that the standby replays, or the newest that is archived.
func (in *view) timeline() wal.Timeline {
	if s := in.state.Cluster.Status; s != nil && s.Timeline != 0 {
		return s.Timeline
	}
	newest := wal.Timeline(1)
	if c := in.state.Cluster.Control; c != nil {
		newest = max(newest, c.Timeline, c.MinRecoveryTimeline, in.state.Cluster.LiveTimeline)
		return newest
	}
	for _, s := range in.state.Archive.Inventory.Segments {
		newest = max(newest, s.Timeline)
	}
	return newest
}

// historyOf reads the history file of a timeline from the first directory that
// has it; timeline 1 has none.
func historyOf(timeline wal.Timeline, dirs []string) ([]wal.HistoryEntry, error) {
	if timeline <= 1 {
		return nil, nil
	}
	for _, d := range dirs {
		b, err := os.ReadFile(filepath.Join(d, wal.HistoryName(timeline)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the history of timeline %d: %w", timeline, err)
		}
		return wal.ParseHistory(b)
	}
	return nil, fmt.Errorf("the history file %s is neither in the archive nor in the live pg_wal", wal.HistoryName(timeline))
}

// timelines lists the path's up to the one of a stop, for wal get.
func (r reach) timelines(stop wal.Timeline) string {
	var list string
	for _, step := range r.path {
		if step.Timeline > stop {
			break
		}
		if list != "" {
			list += ","
		}
		list += fmt.Sprint(step.Timeline)
	}
	return list
}

// start is where to read on from the LSN that a base is consistent at. Where
// that is the first byte of a segment, the one before tells whether the segment
// is missing or has not begun: reading starts with the last record in it.
func (r reach) start(ctx context.Context, consistent wal.LSN) (wal.LSN, error) {
	if consistent%wal.LSN(r.size) != 0 {
		return consistent, nil
	}
	last, err := wal.LastRecordBefore(ctx, r.source, r.size, r.systemID, r.path, consistent, 0)
	return last.Start, err
}

// xactAfter finds the first commit or abort later than t that a base does not
// hold: see wal.FirstXactAfter.
func (r reach) xactAfter(ctx context.Context, base Snapshot, t time.Time) (record wal.Record, found bool, last, lastXact wal.Record, err error) {
	from, err := r.start(ctx, base.Consistent)
	if err != nil {
		return record, false, last, lastXact, err
	}
	return wal.FirstXactAfter(ctx, r.source, r.size, r.systemID, r.path, from, t)
}

// scan calls each for every record from a boundary on until it says stop. It
// returns the last record read; ended is true where the WAL itself ended.
func (r reach) scan(ctx context.Context, from wal.LSN, each func(wal.Record) (stop bool)) (last wal.Record, ended bool, err error) {
	reader := wal.NewReader(r.source, r.size, r.systemID, r.path, from)
	defer reader.Close()
	for {
		record, err := reader.Next(ctx)
		if isEnd(err) {
			return last, true, nil
		}
		if err != nil {
			return last, false, err
		}
		if each(record) {
			return record, false, nil
		}
		last = record
	}
}

// earliestTime is the newest commit or abort below the LSN where a snapshot is
// consistent, read from WAL that begins before its redo. Where no commit is in
// reach it is at least the time of the checkpoint, which is whole seconds and
// taken before redo, and that of what was replayed (pitfall 9).
func (h *Host) earliestTime(ctx context.Context, in *view, consistent wal.LSN, control postgres.ControlData, replayedAt time.Time) time.Time {
	floor := control.CheckpointTime.Add(time.Second)
	if replayedAt.After(floor) {
		floor = replayedAt
	}
	r, err := reachOf(in)
	if err != nil {
		h.Log.Warn("the WAL before a snapshot can't be read; its earliest moment is taken as later than it may be", "error", err)
		return floor
	}
	start := wal.SegmentAt(1, control.RedoLSN, r.size).Start(r.size)
	for back := 0; back < earliestLookBack; back++ {
		newest, _, n, err := wal.NewestXact(ctx, r.source, r.size, r.systemID, r.path, start, consistent)
		if err == nil && n > 0 {
			return newest
		}
		if err != nil || start < wal.LSN(r.size) {
			break
		}
		start -= wal.LSN(r.size)
	}
	return floor
}

// earliestLookBack bounds the segments that are read backwards for a commit.
const earliestLookBack = 4

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
