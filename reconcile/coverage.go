package reconcile

import (
	"math"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// coverage is the WAL that can be had along one path of timelines, and from
// where, told by names, sizes and stamps: what is in a file is for a reader to
// prove.
type coverage struct {
	size    int64
	path    wal.Path
	archive map[wal.Segment]bool
	live    map[wal.Segment]bool
	liveEnd wal.LSN    // the live pg_wal goes up to here
	held    []Snapshot // whose pg_wal can be drawn on
}

// walPlace is where a piece of WAL can be had.
type walPlace int

// The places, in the order in which they are asked.
const (
	inArchive walPlace = iota
	inLive
	inSnapshot
)

// supply is a run of WAL that one place has.
type supply struct {
	place       walPlace
	snapshot    Snapshot    // of inSnapshot
	first, last wal.Segment // the files
	from, to    wal.LSN
}

// segments is how many files it takes.
func (s supply) segments() uint64 { return s.last.Number - s.first.Number + 1 }

func coverageOf(in *view, path wal.Path) coverage {
	c := coverage{size: in.segmentSize(), path: path, archive: map[wal.Segment]bool{}, live: map[wal.Segment]bool{}, liveEnd: in.receivedTo()}
	for _, s := range in.state.Archive.Inventory.Segments {
		c.archive[s.Segment] = true
	}
	for _, s := range in.state.Archive.Live.Segments {
		c.live[s.Segment] = true
	}
	for _, s := range ours(in.site, in.state) {
		if s.SystemID == in.systemID() && s.WALFrom != 0 {
			c.held = append(c.held, s)
		}
	}
	return c
}

// receivedTo is how far the live pg_wal goes. Of a standby that does not run
// that is not known: then it is as far as its segments hold what they are called.
func (in *view) receivedTo() wal.LSN {
	if s := in.state.Cluster.Status; s != nil {
		return max(s.Received, s.Replayed, s.Written)
	}
	return math.MaxUint64
}

// at is the WAL at an LSN, from the first place that has it. Of the timelines
// whose file holds it the newest is best: it goes on where its ancestors end.
func (c coverage) at(lsn wal.LSN) (supply, bool) {
	number := uint64(lsn) / uint64(c.size)
	for place := inArchive; place <= inSnapshot; place++ {
		for i := len(c.path) - 1; i >= 0; i-- {
			step := c.path[i]
			file := wal.Segment{Timeline: step.Timeline, Number: number}
			end := file.End(c.size)
			if step.From >= end || step.To != 0 && step.To <= lsn {
				continue
			}
			if step.To != 0 {
				end = min(end, step.To)
			}
			if s, ok := c.in(place, file, end); ok && s.to > lsn {
				s.from = lsn
				return s, true
			}
		}
	}
	return supply{}, false
}

// in is the file of a segment in one place, which is of use up to end.
func (c coverage) in(place walPlace, file wal.Segment, end wal.LSN) (supply, bool) {
	s := supply{place: place, first: file, last: file, to: end}
	switch place {
	case inArchive:
		return s, c.archive[file]
	case inLive:
		s.to = min(end, c.liveEnd)
		return s, c.live[file]
	}
	for _, held := range c.held {
		if held.holds(file, c.size) {
			s.snapshot = held
			return s, true
		}
	}
	return s, false
}

// holds is true where a snapshot's pg_wal has a segment whole, by its stamps: a
// standby keeps its WAL from the segment of its redo LSN on.
func (s Snapshot) holds(file wal.Segment, size int64) bool {
	return file.End(size) > s.WALFrom && file.End(size) <= s.Replayed && file.Timeline <= s.Timeline
}

// follow goes on from an LSN as far as there is WAL, at the furthest to an LSN
// (0 is no bound). It lists the places in turn; the segment that is missing
// where it ended is the one at to of the last.
func (c coverage) follow(from, bound wal.LSN) (supplies []supply, end wal.LSN) {
	end = from
	for bound == 0 || end < bound {
		s, ok := c.at(end)
		if !ok {
			break
		}
		end = s.to
		if n := len(supplies); n > 0 && supplies[n-1].continues(s) {
			supplies[n-1].last, supplies[n-1].to = s.last, s.to
			continue
		}
		supplies = append(supplies, s)
	}
	return supplies, end
}

// continues is true where the next piece comes from the same place.
func (s supply) continues(next supply) bool {
	return s.place == next.place && s.snapshot.Name == next.snapshot.Name && s.last.Timeline == next.first.Timeline
}

// missing is the segment that should hold an LSN.
func (c coverage) missing(lsn wal.LSN) wal.Segment {
	return wal.SegmentAt(c.path.TimelineAt(lsn), lsn, c.size)
}

// readable is the coverage of what can be read now: without what only the
// pg_wal of snapshots holds, which an apply brings into the archive first.
func (c coverage) readable() coverage {
	c.held = nil
	return c
}

// onPath is true of a snapshot whose consistent point lies on the path: one of
// a timeline that the primary left before that is no base for what came after.
func (s Snapshot) onPath(path wal.Path) bool {
	for _, step := range path {
		if step.Timeline == s.Timeline {
			return s.Consistent >= step.From && (step.To == 0 || s.Consistent <= step.To)
		}
	}
	return false
}

// ownFrom is where the WAL that a snapshot brings along itself begins, of what it
// replays up to its consistent point; that point where it brings none.
func (s Snapshot) ownFrom() wal.LSN {
	if s.WALFrom == 0 {
		return s.Consistent
	}
	return min(s.Consistent, s.WALFrom)
}

// lacks is where the WAL that a snapshot replays up to its consistent point
// is missing; false where nothing is. What its own pg_wal has not, the archive or
// another place must have.
func (c coverage) lacks(s Snapshot) (wal.LSN, bool) {
	need := s.ownFrom()
	_, end := c.follow(s.Redo, need)
	return end, end < need
}
