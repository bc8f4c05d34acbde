package reconcile

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/zfs"
)

// earliestCase is WAL, and a snapshot whose redo is where redo was called.
type earliestCase struct {
	*givenWAL
	state      *State
	replayedAt time.Time
	gone       bool // the WAL is, when the snapshot is looked at
}

// second is a commit of that second of the hour.
func (c *earliestCase) second(n int) { c.commit(ago(time.Hour).Add(time.Duration(n) * time.Second)) }

// redo is here, where a checkpoint of that second begins.
func (c *earliestCase) redo(n int) {
	c.page()
	c.state.Cluster.Control.RedoLSN, c.state.Cluster.Control.CheckpointTime = c.pos, ago(time.Hour).Add(time.Duration(n)*time.Second)
}

// before is a snapshot that was taken here, and serves from that second on.
func (c *earliestCase) before(n int) {
	c.page()
	for i := range c.state.ZFS.Snapshots {
		c.state.ZFS.Snapshots[i].Properties[markConsistent] = zfs.Value{Value: c.pos.String(), Source: "local"}
		c.state.ZFS.Snapshots[i].Properties[markEarliestAt] = zfs.Value{Value: FormatTime(ago(time.Hour).Add(time.Duration(n) * time.Second)), Source: "local"}
	}
}

// Before the newest commit that a snapshot holds, it is of no use: a server would
// say that it stopped before it, with it. Pitfalls 9, 11, 15.
func TestPitfall9_EarliestTime(t *testing.T) {
	tests := map[string]struct {
		from func(c *earliestCase)
		want int
	}{
		"before redo, in the same segment":        {func(c *earliestCase) { c.second(5); c.redo(3); c.filler() }, 5},
		"between redo and where it is consistent": {func(c *earliestCase) { c.second(5); c.redo(3); c.second(7); c.filler() }, 7},
		"in a segment before redo's":              {func(c *earliestCase) { c.second(5); c.until(13); c.filler(); c.redo(3); c.filler() }, 5},
		"pitfall 11: not in WAL order, over the border of a segment": {func(c *earliestCase) {
			c.second(8)
			c.until(13)
			c.second(5)
			c.redo(3)
			c.filler()
		}, 8},
		"pitfall 11: the clock was set back since the snapshot before": {func(c *earliestCase) {
			c.second(2)
			c.before(2)
			c.second(40)
			c.until(78) // further back than where no snapshot is before
			c.second(5)
			c.redo(3)
			c.filler()
		}, 40},
		"pitfall 11: and before that": {func(c *earliestCase) {
			c.second(40)
			c.before(40)
			c.until(19)
			c.second(5)
			c.redo(3)
			c.filler()
		}, 40},
		"pitfall 11: and WAL in between is gone": {func(c *earliestCase) {
			c.second(40)
			c.before(40)
			c.until(19)
			c.second(5)
			c.redo(3)
			c.filler()
			delete(c.segments, 15)
		}, 40},
		"nothing since the one before": {func(c *earliestCase) { c.second(5); c.before(5); c.until(19); c.redo(30); c.filler() }, 5},
		"what was replayed tells as well": {func(c *earliestCase) {
			c.redo(3)
			c.filler()
			c.replayedAt = ago(time.Hour).Add(9 * time.Second)
		}, 9},
		// Pitfall 15: no commit in WAL, and none since the start of the standby.
		"the checkpoint's second is not over before the next": {func(c *earliestCase) { c.redo(3); c.filler() }, 4},
		"WAL from redo on is gone": {func(c *earliestCase) {
			c.second(5)
			c.redo(3)
			c.second(7)
			c.replayedAt, c.gone = ago(time.Hour).Add(7*time.Second), true
		}, 7},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			site := givenSite(t, "/data/pg", filepath.Join(dir, "pg"), "mountpoint: /data", "mountpoint: "+dir)
			state := converged(t, site)
			state.Cluster.Control.SegmentSize, state.Archive.Exists = givenWALSegment, false
			c := &earliestCase{givenWAL: newWAL(12), state: &state}
			if test.from(c); state.ZFS.Snapshots[0].Properties[markConsistent].Value == lsn(91).String() {
				state.ZFS.Snapshots = nil // there is none before
			}
			state.Cluster.Control.MinRecoveryPoint = c.pos
			c.second(50) // beyond what the snapshot holds
			if err := os.MkdirAll(filepath.Join(dir, "pg", "pg_wal"), 0o700); err != nil {
				t.Fatal(err)
			}
			if c.gone {
				clear(c.segments)
			}
			c.store(t, filepath.Join(dir, "pg", "pg_wal"))
			h := &Host{Log: slog.New(slog.DiscardHandler)}
			got := h.earliestTime(t.Context(), givenView(site, &state), *state.Cluster.Control, c.replayedAt)
			if want := ago(time.Hour).Add(time.Duration(test.want) * time.Second); !got.Equal(want) {
				t.Errorf("it serves from %s, want %s", FormatTime(got), FormatTime(want))
			}
		})
	}
}
