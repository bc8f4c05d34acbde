package reconcile

import (
	"fmt"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// need is a stretch of WAL that something still needs; To 0 has no end.
type need struct {
	from, to wal.LSN
	who      string
	own      Snapshot // whose pg_wal has the beginning; unnamed is none
}

// neededWAL lists all that may still need WAL: the standby itself, the kept
// snapshots, and the restores, from their base to their stop.
func (in *view) neededWAL() []need {
	list := append(in.neededByStandby(), in.neededBySnapshots()...)
	for _, c := range in.state.Clones {
		n := need{from: c.Marks.lsn(markBaseRedo), who: "restore " + c.Restore}
		if stop, ok := parseStop(c.Marks); ok && c.Marks[markState] == stateReady {
			n.to = max(stop.LSN, c.Marks.lsn(markReachedLSN))
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
			list = append(list, need{from: base.Redo, who: "restore " + r.Name})
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
		return []need{{from: c.Control.RedoLSN, who: "the standby"}}
	}
	return nil
}

// neededBySnapshots is what the kept ones need, from redo to consistent and,
// through continuousFor, on to the next. So that each moment of that time can
// be had, the newest snapshot before it counts as part of it. Snapshots of this
// site on datasets that the file does not speak of any more are kept as well.
func (in *view) neededBySnapshots() []need {
	var keep []Snapshot
	for _, k := range in.retention() {
		if k.keep || in.retained || !in.only.Wants(kindRetention, k.Name) {
			keep = append(keep, k.Snapshot)
		} // else this plan destroys it before
	}
	from, bounded := in.continuousFrom(keep)
	var list []need
	for _, s := range append(keep, in.elsewhere()...) {
		n := need{from: s.Redo, who: "snapshot " + s.Name, own: s}
		if bounded && s.TakenAt.Before(from) && s.Consistent != 0 {
			n.to = max(s.Consistent, s.Replayed)
		}
		list = append(list, n)
	}
	return list
}

// continuousFrom is when the newest snapshot was taken that is not younger than
// continuousFor; those before it are single points. It is false where all are
// continuous: without continuousFor, or while none is that old.
func (in *view) continuousFrom(kept []Snapshot) (from time.Time, bounded bool) {
	horizon := in.site.Archive.ContinuousFor
	if horizon == 0 {
		return from, false
	}
	for _, s := range kept {
		if !s.TakenAt.After(in.now.Add(-horizon)) && s.TakenAt.After(from) {
			from, bounded = s.TakenAt, true
		}
	}
	return from, bounded
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

// unneeded are the archived segments that nothing needs, in order. A need whose
// beginning is not known keeps everything.
func unneeded(archived []wal.SegmentFile, needs []need, size int64) []wal.SegmentFile {
	if len(needs) == 0 {
		return nil
	}
	for _, n := range needs {
		if n.from == 0 {
			return nil
		}
	}
	var out []wal.SegmentFile
	for _, s := range archived {
		if !neededSegment(s, needs, size) {
			out = append(out, s)
		}
	}
	return out
}

// neededSegment counts the segment that a need ends in, and one more: the page
// that recovery reads ahead may lie there.
func neededSegment(s wal.SegmentFile, needs []need, size int64) bool {
	for _, n := range needs {
		if s.End(size) > n.from && (n.to == 0 || s.Start(size) <= n.to+wal.LSN(size)) {
			return true
		}
	}
	return false
}

// firstNeed names who needs the oldest WAL, for a person.
func firstNeed(needs []need) string {
	var first need
	for _, n := range needs {
		if first.who == "" || n.from < first.from || n.from == first.from && n.who < first.who {
			first = n
		}
	}
	return fmt.Sprintf("%s, from %s", first.who, first.from)
}
