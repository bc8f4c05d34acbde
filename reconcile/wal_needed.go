package reconcile

import (
	"fmt"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// need is a stretch of WAL that something still needs; To 0 has no end.
type need struct {
	from, to wal.LSN
	who      string
}

// neededWAL lists all that may still need WAL: the standby itself, the kept
// snapshots, from redo to consistent and, through continuousFor, on to the
// next, and the restores, from their base to their stop.
func (in *view) neededWAL() []need {
	var list []need
	if c := in.state.Cluster.Control; c != nil {
		list = append(list, need{from: c.RedoLSN, who: "the standby"})
	}
	horizon := in.site.Archive.ContinuousFor
	for _, k := range in.retention() {
		if !k.keep && !in.retained && in.only.Wants(kindRetention, k.Name) {
			continue // this plan destroys it before
		}
		n := need{from: k.Redo, who: "snapshot " + k.Name}
		single := horizon > 0 && k.TakenAt.Before(in.now.Add(-horizon))
		if single && k.Consistent != 0 {
			n.to = max(k.Consistent, k.Replayed)
		}
		list = append(list, n)
	}
	for _, c := range in.state.Clones {
		n := need{from: c.Marks.lsn(markBaseRedo), who: "restore " + c.Restore}
		if stop, ok := parseStop(c.Marks); ok && c.Marks[markState] == stateReady {
			n.to = max(stop.LSN, c.Marks.lsn(markReachedLSN))
		}
		list = append(list, n)
	}
	for name, r := range in.state.Resolved {
		if r.Refused == "" {
			list = append(list, need{from: r.Base.Redo, who: "restore " + name})
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
		if first.who == "" || n.from < first.from {
			first = n
		}
	}
	return fmt.Sprintf("%s, from %s", first.who, first.from)
}
