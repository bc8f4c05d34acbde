package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// diffHealing wants in the archive what the server's archiver never sees: the
// WAL that a base backup brought along (pitfall 19), segments that went missing
// and that the live pg_wal or a snapshot still has, and a sound copy in the place
// of one that is damaged.
func diffHealing(in *view) []Change {
	a := in.site.Archive
	if a == nil || in.state.failed(kindWAL) || in.promoted() || !in.state.Archive.Exists {
		return nil
	}
	heal := in.healing()
	c := Change{Name: a.Dir, Action: Update, Why: "WAL that the archiver will not bring is missing from the archive"}.at(a.Pos)
	size := in.segmentSize()
	if n := len(heal.live); n > 0 {
		c.Attrs = append(c.Attrs, Attr{Name: "segments", After: fmt.Sprintf("%d from the live pg_wal, %s to %s", n, heal.live[0].Name(size), heal.live[n-1].Name(size))})
	}
	for _, name := range heal.histories {
		c.Attrs = append(c.Attrs, Attr{Name: "history", After: name + " from the live pg_wal"})
	}
	for _, s := range heal.held {
		c.Attrs = append(c.Attrs, Attr{Name: "segments", After: fmt.Sprintf("%d from the snapshot %s, %s to %s", s.segments(), s.snapshot.Name, s.first.Name(size), s.last.Name(size))})
	}
	for _, s := range heal.aside {
		c.Attrs = append(c.Attrs, Attr{Name: "damaged", Before: s.Name(size), After: "set aside, for a sound copy"})
	}
	if len(c.Attrs) == 0 {
		return nil
	}
	return []Change{c}
}

// healing is what can be done for the archive.
type healing struct {
	live      []wal.Segment // to archive from the live pg_wal
	histories []string      // of timelines, from there as well
	held      []supply      // to fetch from snapshots
	aside     []wal.Segment // damaged ones that a sound copy takes the place of
}

func (in *view) healing() healing {
	needs := in.neededWAL()
	heal := healing{histories: in.state.Archive.UnpushedHistories, held: in.heldHoles(needs, coverageOf(in, in.state.Archive.Path))}
	for _, s := range in.state.Archive.Unpushed {
		if neededSegment(s, needs, in.segmentSize()) { // the rest would be removed again
			heal.live = append(heal.live, s)
		}
	}
	c := coverageOf(in, in.state.Archive.Path)
	for _, s := range in.state.Archive.Inventory.Damaged {
		whole := c.live[s.Segment] && s.End(c.size) <= c.liveEnd && in.state.Cluster.Status != nil
		if whole && neededSegment(s.Segment, needs, c.size) || slices.Contains(heal.live, s.Segment) || heal.fetches(s.Segment) {
			heal.aside = append(heal.aside, s.Segment)
		}
	}
	return heal
}

func (h healing) fetches(segment wal.Segment) bool {
	for _, s := range h.held {
		if s.first.Timeline == segment.Timeline && s.first.Number <= segment.Number && segment.Number <= s.last.Number {
			return true
		}
	}
	return false
}

// heldHoles are the runs of WAL that kept snapshots need, to begin with or to go
// on to later moments, and that only the pg_wal of another snapshot has. What no
// one needs any more is no hole: retention has removed it.
func (in *view) heldHoles(needs []need, c coverage) []supply {
	path := c.path
	if len(path) == 0 || in.state.failed(kindRetention, kindRestore) {
		return nil
	}
	var holes []supply
	var done wal.LSN // what came before was looked at
	for _, n := range ownStretches(needs, path) {
		supplies, end := c.follow(max(n.from, done), n.to)
		done = max(done, end)
		for _, s := range supplies {
			if s.place != inSnapshot {
				continue
			}
			if n := len(holes); n > 0 && holes[n-1].last.Timeline == s.first.Timeline { // two stretches may meet in a segment
				s.first.Number = max(s.first.Number, holes[n-1].last.Number+1)
			}
			if s.first.Number <= s.last.Number {
				holes = append(holes, s)
			}
		}
	}
	return holes
}

// ownStretches are the parts of the needs of snapshots for which their own pg_wal
// may not do, in order: what it does not go back to, and what comes from where
// they are consistent on, since its last segment is not whole.
func ownStretches(needs []need, path wal.Path) []need {
	var list []need
	for _, n := range needs {
		s := n.own
		if s.Consistent == 0 || !s.onPath(path) {
			continue
		}
		if from := s.ownFrom(); from > s.Redo {
			list = append(list, need{from: s.Redo, to: from})
		}
		list = append(list, need{from: s.Consistent, to: n.to})
	}
	slices.SortFunc(list, func(a, b need) int { return cmp.Compare(a.from, b.from) })
	return list
}

func applyHealing(ctx context.Context, h *Host, in *view, _ Change) error {
	if err := h.copyProgram(in.state.Paths.Helper); err != nil {
		return err
	}
	heal := in.healing()
	for _, segment := range heal.aside {
		if err := h.setAside(in, segment); err != nil {
			return err
		}
	}
	for _, segment := range heal.live {
		if err := h.push(ctx, in, segment.Name(in.segmentSize())); err != nil {
			return err
		}
	}
	for _, name := range heal.histories {
		if err := h.push(ctx, in, name); err != nil {
			return err
		}
	}
	for _, s := range heal.held {
		if err := h.fetchWAL(ctx, in, s.snapshot, s.first, s.last); err != nil {
			return fmt.Errorf("getting WAL from the snapshot %s: %w", s.snapshot.Name, err)
		}
	}
	return nil
}

const pushDeadline = 5 * time.Minute

// push archives one file of the live pg_wal as the server would.
func (h *Host) push(ctx context.Context, in *view, name string) error {
	ctx, cancel := context.WithTimeout(ctx, pushDeadline)
	defer cancel()
	args := pushArgs(in, in.state.Paths.Helper)
	args[len(args)-1] = filepath.Join("pg_wal", name)
	return postgres.RunAs(ctx, h.Run, in.state.Server.User, in.site.Standby.DataDir, args...)
}

// unpushed are the complete segments of the live pg_wal that the archive lacks
// and that the archiver will not bring: it was never told of them. The segment
// that is being received is not complete: it may be written anew.
func unpushed(archive, live wal.Inventory, done map[string]bool, from, before wal.LSN, size int64) []wal.Segment {
	there := map[wal.Segment]bool{}
	for _, s := range archive.Segments {
		there[s.Segment] = true
	}
	var list []wal.Segment
	for _, s := range live.Segments {
		if !there[s.Segment] && s.Size == size && done[s.Name(size)] && s.End(size) <= before && s.End(size) > from {
			list = append(list, s.Segment)
		}
	}
	return list
}
