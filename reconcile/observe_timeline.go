package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// observeTimeline finds the newest timeline that the standby has WAL of. After a
// failover of the primary pg_control and the server itself name the one before
// until a restartpoint or as soon as no primary is connected any more, and what
// came since would be taken for nothing. The server keeps in pg_wal each segment
// that it received or restored; one that was recycled has another's header.
func (h *Host) observeTimeline(ctx context.Context, in *view) {
	c := &in.state.Cluster
	if c.Content != DirCluster || c.Control == nil || in.promoted() {
		return
	}
	c.LiveTimeline = max(c.Control.Timeline, c.Control.MinRecoveryTimeline)
	if c.Status != nil {
		c.LiveTimeline = max(c.LiveTimeline, c.Status.Timeline)
	}
	dir, size := filepath.Join(in.site.Standby.DataDir, "pg_wal"), in.segmentSize()
	entries, err := os.ReadDir(dir)
	if err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	for _, e := range entries {
		segment, ok := wal.ParseSegment(e.Name(), size)
		if !ok || segment.Timeline <= c.LiveTimeline {
			continue
		}
		f, _, err := wal.Sources(wal.Dir(dir)).Open(ctx, segment, size)
		var another *wal.DamagedError
		switch {
		case err == nil:
			_ = f.Close() // it was only looked for
			c.LiveTimeline = segment.Timeline
		case !errors.As(err, &another) && !errors.Is(err, fs.ErrNotExist):
			in.state.fail(kindWAL, err)
		}
	}
	if c.Status != nil {
		c.Status.Timeline = c.LiveTimeline
	}
}
