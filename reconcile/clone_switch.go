package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// addSwitches gives a clone the segments in which timelines on its way ended,
// under their old names. Recovery itself reads the file of the newer timeline,
// which begins with a copy of the older one's. But what PREPARE TRANSACTION
// wrote is looked up in pg_wal by the timeline that is replayed, and never in
// the archive: a shutdown checkpoint at the end of a timeline would be FATAL.
// References: XlogReadTwoPhaseData of twophase.c, XLogReadDetermineTimeline of
// xlogutils.c.
func (s cloneServer) addSwitches(ctx context.Context, in *view, resolved Resolution, end wal.LSN) error {
	r, err := reachOfBase(in, resolved.Base, filepath.Join(s.cluster.DataDir, "pg_wal"))
	if err != nil {
		return err
	}
	for i, step := range r.path {
		segment := wal.SegmentAt(step.Timeline, step.To, r.size)
		begins := segment.Start(r.size)
		if step.To == 0 || step.To == begins || step.To <= resolved.Base.Redo || begins >= end {
			continue
		}
		newer := wal.Segment{Timeline: r.path[i+1].Timeline, Number: segment.Number}
		for _, from := range []wal.Segment{segment, newer} {
			f, _, err := r.source.Open(ctx, from, r.size)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("the segment in which timeline %d ended: %w", step.Timeline, err)
			}
			err = errors.Join(s.cluster.AddWAL(segment.Name(r.size), f), f.Close())
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}
