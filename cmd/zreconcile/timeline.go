package main

import (
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// The cells of a drawn timeline.
const (
	cellWhole = '=' // each moment of the cell can be restored
	cellPart  = '-' // some of its moments can
	cellNone  = '.' // none can
	cellMark  = '^' // a snapshot was taken then
)

// scale maps moments to the cells of a line.
type scale struct {
	from, to time.Time
	cells    int
}

// cell is the cell that holds a moment; false for a moment off the line.
func (s scale) cell(t time.Time) (int, bool) {
	if t.Before(s.from) || t.After(s.to) {
		return 0, false
	}
	i := int(float64(t.Sub(s.from)) / float64(s.to.Sub(s.from)) * float64(s.cells))
	return min(i, s.cells-1), true
}

// edge is the moment at which a cell begins; the last one ends with the line,
// which rounding must not cut short.
func (s scale) edge(i int) time.Time {
	if i == s.cells {
		return s.to
	}
	return s.from.Add(time.Duration(float64(s.to.Sub(s.from)) / float64(s.cells) * float64(i)))
}

// timeline is the line of windows, drawn so that neither a short window nor a
// short gap disappears: a cell that is covered only in part shows it.
func (s scale) timeline(windows []reconcile.Window) string {
	line := []rune(strings.Repeat(string(cellNone), s.cells))
	for i := range line {
		begin, end := s.edge(i), s.edge(i+1)
		for _, w := range windows {
			if w.To.Before(begin) || w.From.After(end) || w.From.Equal(end) && i < s.cells-1 {
				continue
			}
			if !w.From.After(begin) && !w.To.Before(end) {
				line[i] = cellWhole
				break
			}
			line[i] = cellPart
		}
	}
	return string(line)
}

// marks is the line that goes below the timeline: where snapshots were taken.
func (s scale) marks(snapshots []reconcile.SnapshotStatus) string {
	line := []rune(strings.Repeat(" ", s.cells))
	for _, snap := range snapshots {
		if snap.TakenAt == nil {
			continue
		}
		if i, ok := s.cell(snap.TakenAt.Time); ok {
			line[i] = cellMark
		}
	}
	return strings.TrimRight(string(line), " ")
}
