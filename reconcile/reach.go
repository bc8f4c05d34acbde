package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// reach is the WAL that can be had: the archive first, then the live pg_wal,
// the unfinished segment included (pitfall 4), along one path of timelines.
type reach struct {
	source   wal.Source
	size     int64
	systemID uint64
	path     wal.Path
	skipped  *[]*wal.DamagedError // copies that were passed over for better ones
	changes  *[]wal.Record        // of the primary's settings, that were read
}

// reachOf gathers it, along the path to the timeline of the standby.
func reachOf(in *view) (reach, error) { return reachAlong(in, in.timeline()) }

// reachAlong gathers it along the path to a timeline; more directories, such as
// a clone's own pg_wal, come last.
func reachAlong(in *view, timeline wal.Timeline, more ...string) (reach, error) {
	dirs := append(in.walDirs(), more...)
	var sources []wal.Source
	for _, d := range dirs {
		sources = append(sources, wal.Dir(d))
	}
	// The standby's own history is its primary's; that of an archive may be anybody's.
	history, err := historyOf(timeline, append([]string{in.livePgWAL()}, dirs...))
	if err != nil {
		return reach{}, err
	}
	return reach{source: wal.Sources(sources...), size: in.segmentSize(), systemID: in.systemNumber(),
		path: wal.PathOf(timeline, history), skipped: new([]*wal.DamagedError), changes: new([]wal.Record)}, nil
}

// walDirs are the directories of WAL of a site: the archive, and the live pg_wal.
func (in *view) walDirs() []string {
	var dirs []string
	if in.site.Archive != nil && in.state.Archive.Exists {
		dirs = append(dirs, in.site.Archive.Dir)
	}
	if in.state.Cluster.Content == DirCluster {
		dirs = append(dirs, in.livePgWAL())
	}
	return dirs
}

// livePgWAL is the live standby's pg_wal, perhaps a link.
func (in *view) livePgWAL() string { return filepath.Join(in.site.Standby.DataDir, "pg_wal") }

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
		history, err := wal.ReadHistory(filepath.Join(d, wal.HistoryName(timeline)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the history of timeline %d: %w", timeline, err)
		}
		return history, nil
	}
	return nil, fmt.Errorf("the history file %s is neither in the archive nor in the live pg_wal", wal.HistoryName(timeline))
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

// reader reads on from a boundary of records; done closes it, and notes the
// copies that it passed over and the settings that the primary changed.
func (r reach) reader(from wal.LSN) (reader *wal.Reader, done func()) {
	reader = wal.NewReader(r.source, r.size, r.systemID, r.path, from)
	return reader, func() {
		*r.skipped = append(*r.skipped, reader.Damaged()...)
		*r.changes = append(*r.changes, reader.ParameterChanges()...)
		_ = reader.Close() // only read
	}
}

// xactAfter finds the first commit or abort later than t that a base does not
// hold: see wal.FirstXactAfter.
func (r reach) xactAfter(ctx context.Context, base Snapshot, t time.Time) (record wal.Record, found bool, last, lastXact wal.Record, err error) {
	from, err := r.start(ctx, base.Consistent)
	if err != nil {
		return record, false, last, lastXact, err
	}
	reader, done := r.reader(from)
	defer done()
	return wal.FirstXactAfter(ctx, reader, t)
}

// scan calls each for every record from a boundary on until it says stop. It
// returns the last record read; ended is true where the WAL itself ended.
func (r reach) scan(ctx context.Context, from wal.LSN, each func(wal.Record) (stop bool)) (last wal.Record, ended bool, err error) {
	reader, done := r.reader(from)
	defer done()
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

// nextXact is the first commit or abort from a boundary of records on; zero where
// none is there, or the WAL does not go on to it.
func (r reach) nextXact(ctx context.Context, from wal.LSN) wal.Record {
	record, _, err := r.scan(ctx, from, func(record wal.Record) bool { return record.Start >= from && record.IsXact() })
	if err != nil || !record.IsXact() || record.Start < from {
		return wal.Record{}
	}
	return record
}

// around finds the transactions on both sides of an LSN: the last commit or
// abort that ends at or before it, from a boundary of records on, and the first
// one behind it. Each is zero when there is none.
func (r reach) around(ctx context.Context, from, end wal.LSN) (before, after wal.Record, err error) {
	if from, err = r.start(ctx, from); err != nil {
		return before, after, err
	}
	_, _, err = r.scan(ctx, from, func(record wal.Record) bool {
		switch {
		case record.Start >= end:
			return true
		case record.IsXact():
			before = record
		}
		return false
	})
	if err != nil {
		return wal.Record{}, wal.Record{}, err
	}
	return before, r.nextXact(ctx, end), nil
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) }
