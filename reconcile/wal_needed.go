package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// need is a stretch of WAL that something still needs. From 0 is not known, and
// keeps everything; to 0 has no end.
type need struct {
	from, to wal.LSN
	who      string
	lines    lineage
	own      Snapshot // that it goes on from; unnamed is none
}

// lineage says which timelines a need goes along; empty is all of them.
type lineage struct {
	paths  []wal.Path
	newest wal.Timeline // of the standby: what is newer may be where the primary has gone to
}

// neededWAL lists all that may still need WAL: the standby itself, the kept
// snapshots, and the restores, from their base to their stop.
func (in *view) neededWAL() []need {
	list := append(in.neededByStandby(), in.neededBySnapshots()...)
	for _, c := range in.state.Clones {
		n := need{from: c.Marks.lsn(markBaseRedo), who: "restore " + c.Restore}
		if stop, ok := parseStop(c.Marks); ok && c.Marks[markState] == stateReady {
			n.to, n.lines = max(stop.LSN, c.Marks.lsn(markReachedLSN)), in.lineageOf(stop.Timeline)
		}
		list = append(list, n)
	}
	for _, c := range in.state.Drills {
		if c.Marks[markState] != stateKept { // that one does not replay any more
			list = append(list, need{from: c.Marks.lsn(markBaseRedo), who: "a restore drill"})
		}
	}
	snapshots := ours(in.site, in.state)
	for _, r := range in.site.Restores {
		if base, pending := in.pendingBase(snapshots, r); pending {
			list = append(list, need{from: base.Redo, who: "restore " + r.Name, own: base})
		}
	}
	return list
}

// neededByStandby is all from its redo on. A copy that still has its
// backup_label begins before what pg_control says; where is not known.
func (in *view) neededByStandby() []need {
	switch c := in.state.Cluster; {
	case c.BackupLabel:
		return []need{{who: "the standby, a copy that was not replayed yet"}}
	case c.Control != nil:
		return []need{{from: c.Control.RedoLSN, who: "the standby", lines: in.mainLine()}}
	}
	return nil
}

// neededBySnapshots is what the kept ones need, from redo to consistent and,
// through continuousFor, on to the next. Snapshots of this site on datasets that
// the file does not speak of any more are kept as well.
func (in *view) neededBySnapshots() []need {
	keep := in.keptSnapshots()
	base, bounded := in.continuousBase(keep)
	var list []need
	for _, s := range append(keep, in.elsewhere()...) {
		if bounded && in.isPoint(s, base) {
			list = append(list, in.pointNeed(s))
			continue
		}
		list = append(list, need{from: s.Redo, who: "snapshot " + s.Name, own: s, lines: in.lineageFrom(s)})
	}
	return list
}

// pointNeed is that of a single point.
func (in *view) pointNeed(s Snapshot) need {
	return need{from: s.Redo, to: max(s.Consistent, s.Replayed), who: "snapshot " + s.Name, own: s, lines: in.lineageFrom(s)}
}

// singlePoints are the needs of all snapshots that continuousFor makes such, of
// those as well that are to be destroyed.
func (in *view) singlePoints() map[string]need {
	points := map[string]need{}
	base, bounded := in.continuousBase(in.keptSnapshots())
	for _, s := range ours(in.site, in.state) {
		if bounded && in.isPoint(s, base) {
			points[s.Name] = in.pointNeed(s)
		}
	}
	return points
}

// keptSnapshots are those that stay: all that are there, but for those that this
// plan destroys before it removes WAL.
func (in *view) keptSnapshots() []Snapshot {
	var keep []Snapshot
	for _, k := range in.retention() {
		if k.keep || in.retained || !in.only.Wants(kindRetention, k.Name) {
			keep = append(keep, k.Snapshot)
		}
	}
	return keep
}

// continuousBase is the snapshot that each moment of continuousFor is had from:
// the newest that was old enough then, and that WAL goes on from. Those before
// it are single points. It is false where all are continuous: without
// continuousFor, or while none is that old.
func (in *view) continuousBase(kept []Snapshot) (base Snapshot, found bool) {
	a, path := in.site.Archive, in.state.Archive.Path
	if a == nil || a.ContinuousFor == 0 || len(path) == 0 {
		return base, false
	}
	since := in.now.Add(-a.ContinuousFor)
	c := coverageOf(in, path)
	for _, s := range kept {
		if !s.complete() || s.SystemID != in.systemID() || !s.onPath(path) || s.servesFrom().After(since) || found && s.Consistent < base.Consistent {
			continue
		}
		if _, lacks := c.lacks(s); !lacks {
			base, found = s, true
		}
	}
	return base, found
}

// servesFrom is when the moments begin that a snapshot serves, by whichever clock
// is later.
func (s Snapshot) servesFrom() time.Time {
	if s.EarliestAt.After(s.TakenAt) {
		return s.EarliestAt
	}
	return s.TakenAt
}

// isPoint is true of a snapshot that continuousFor keeps as a single point: what
// comes after it is had from the base, which is later in the WAL. It was taken
// earlier as well: one of a clock that was set wrong is not pruned early
// (pitfall 50).
func (in *view) isPoint(s, base Snapshot) bool {
	if !s.complete() || s.TakenAt.After(base.TakenAt) {
		return false
	}
	return s.Consistent < base.Consistent || !s.onPath(in.state.Archive.Path) && s.TakenAt.Before(base.TakenAt)
}

// elsewhere are this site's snapshots of a cluster that lay on other datasets
// before the file changed: no retention touches them, and none of their WAL.
func (in *view) elsewhere() []Snapshot {
	here := map[string]bool{}
	for _, p := range clusterDatasets(in.site, in.state) {
		here[p.Dataset] = true
	}
	var list []Snapshot
	for _, s := range in.state.ZFS.Snapshots {
		if !here[s.Dataset] && localMarks(s.Properties).ours(in.site.Name) {
			list = append(list, newSnapshot(s))
		}
	}
	return list
}

// mainLine is the path to the standby's timeline; all where it is not known.
func (in *view) mainLine() lineage {
	path := in.state.Archive.Path
	if len(path) == 0 {
		return lineage{}
	}
	return lineage{paths: []wal.Path{path}, newest: path[len(path)-1].Timeline}
}

// lineageOf is the path to a timeline; all where its history is not known.
func (in *view) lineageOf(timeline wal.Timeline) lineage {
	lines := in.mainLine()
	if len(lines.paths) == 0 || timeline == lines.newest {
		return lines
	}
	path, _, known := in.pathTo(timeline)
	switch {
	case timeline == 1: // which has no history
		path = wal.PathOf(1, nil)
	case !known:
		return lineage{}
	}
	lines.paths = []wal.Path{path}
	return lines
}

// lineageFrom is where recovery from a snapshot can go: along its own timeline,
// also behind a switch, where that holds what a failover lost, and along that of
// the standby, where that goes through it.
func (in *view) lineageFrom(s Snapshot) lineage {
	lines := in.lineageOf(s.Timeline)
	if main := in.state.Archive.Path; len(lines.paths) > 0 && (s.onPath(main) || s.Consistent == 0) {
		lines.paths = append(lines.paths, main)
	}
	return lines
}

// has is true of a segment that holds WAL of the lineage.
func (l lineage) has(s wal.Segment, size int64) bool {
	if len(l.paths) == 0 || s.Timeline > l.newest {
		return true
	}
	for _, path := range l.paths {
		for _, step := range path {
			if step.Timeline == s.Timeline && step.From < s.End(size) && (step.To == 0 || step.To >= s.Start(size)) {
				return true
			}
		}
	}
	return false
}

// covers is true of a segment that the need asks for. The one that it ends in
// counts, and one more: the page that recovery reads ahead may lie there.
func (n need) covers(s wal.Segment, size int64) bool {
	if n.from == 0 {
		return true
	}
	return s.End(size) > n.from && (n.to == 0 || s.Start(size) <= n.to+wal.LSN(size)) && n.lines.has(s, size)
}

// neededSegment is true of a segment that something needs, or that may be
// needed, since nothing is known to need any.
func neededSegment(s wal.Segment, needs []need, size int64) bool {
	return len(needs) == 0 || slices.ContainsFunc(needs, func(n need) bool { return n.covers(s, size) })
}

// firstNeed names who needs the oldest WAL, for a person.
func firstNeed(needs []need) string {
	var first need
	for _, n := range needs {
		if first.who == "" || n.from < first.from || n.from == first.from && n.who < first.who {
			first = n
		}
	}
	if first.from == 0 {
		return first.who + ", and from where on is not known"
	}
	return fmt.Sprintf("%s, from %s", first.who, first.from)
}
