package reconcile

import (
	"cmp"
	"slices"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// mostWho bounds the names of a run: each snapshot needs all that later ones
// need as well, and a thousand of them are no explanation.
const mostWho = 4

// keepsOf says what keeps the archive as big as it is: runs of segments that the
// same things need, in the order of the archive. The things are named by how far
// back they reach, the least first: that is the last to let the run go.
func keepsOf(archived []wal.SegmentFile, needs []need, size int64) []ArchiveKeep {
	needs = slices.Clone(needs)
	slices.SortFunc(needs, func(a, b need) int { return cmp.Or(cmp.Compare(b.from, a.from), cmp.Compare(a.who, b.who)) })
	var runs []ArchiveKeep
	var last wal.Segment
	var lastWho []int // indices into needs
	for _, s := range archived {
		var who []int
		for i, n := range needs {
			if n.covers(s.Segment, size) {
				who = append(who, i)
			}
		}
		next := wal.Segment{Timeline: last.Timeline, Number: last.Number + 1}
		if len(runs) == 0 || s.Segment != next || !slices.Equal(who, lastWho) {
			runs = append(runs, ArchiveKeep{Timeline: s.Timeline, From: s.Name(size), Who: names(needs, who), Needs: len(who)})
		}
		run := &runs[len(runs)-1]
		run.To, run.Segments, run.Bytes = s.Name(size), run.Segments+1, run.Bytes+s.Size
		last, lastWho = s.Segment, who
	}
	return runs
}

// names are those of the first few needs.
func names(needs []need, which []int) []string {
	list := []string{}
	for _, i := range which[:min(len(which), mostWho)] {
		list = append(list, needs[i].who)
	}
	return list
}
