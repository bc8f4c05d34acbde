package main

import (
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// The geometry of a timeline, whatever it is drawn with: a line of cells, which
// are columns of a terminal or steps of a picture.

// cell is a stretch of a drawn timeline.
type cell int

// What can be said of a cell.
const (
	cellNone  cell = iota // none of its moments can be restored
	cellPart              // some can
	cellWhole             // each can
)

// scale maps moments to the cells of a line.
type scale struct {
	from, to time.Time
	cells    int
}

// newScale is the line from the first moment, or the first snapshot, to now. An
// end that lies less than a cell beyond the windows is cut off, so that what is
// whole looks whole.
func newScale(s reconcile.Status, now time.Time, cells int) scale {
	line := scale{from: now, to: now, cells: cells}
	for _, snap := range s.Snapshots {
		if snap.TakenAt != nil && snap.TakenAt.Before(line.from) {
			line.from = snap.TakenAt.Time
		}
	}
	if len(s.Windows) == 0 {
		return line
	}
	first, last := s.Windows[0].From.Time, s.Windows[0].To.Time
	for _, w := range s.Windows {
		if w.To.After(last) {
			last = w.To.Time
		}
	}
	if first.Before(line.from) {
		line.from = first
	}
	if last.After(line.to) {
		line.to = last
	}
	width := line.width()
	if first.Sub(line.from) < width {
		line.from = first
	}
	if line.to.Sub(last) < width {
		line.to = last
	}
	return line
}

// empty is a line of no length, on which nothing can be drawn.
func (s scale) empty() bool { return !s.to.After(s.from) }

// width is the time that a cell stands for.
func (s scale) width() time.Duration { return s.to.Sub(s.from) / time.Duration(s.cells) }

// cell is the cell that holds a moment; false for a moment off the line.
func (s scale) cell(t time.Time) (int, bool) {
	if t.Before(s.from) || t.After(s.to) {
		return 0, false
	}
	i := int(float64(t.Sub(s.from)) / float64(s.to.Sub(s.from)) * float64(s.cells))
	return min(i, s.cells-1), true
}

// near is the cell of a moment that may lie just off the line, where its end was
// cut off: up to a cell away it is that of the end.
func (s scale) near(t time.Time) (int, bool) {
	if before := s.from.Sub(t); before > 0 && before <= s.width() {
		t = s.from
	}
	if after := t.Sub(s.to); after > 0 && after <= s.width() {
		t = s.to
	}
	return s.cell(t)
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
func (s scale) timeline(windows []reconcile.Window) []cell {
	line := make([]cell, s.cells)
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
	return line
}

// windowEdge is where a window ends or begins on the line.
type windowEdge struct {
	cell int
	at   time.Time
	end  bool // of a window; what is said of it belongs to its left
}

// edges are the ends and beginnings of windows within the line, the newest first:
// they are the most interesting ones, where there is no room for all.
func (s scale) edges(windows []reconcile.Window) []windowEdge {
	var list []windowEdge
	for i := len(windows) - 1; i >= 0; i-- {
		from, fromHere := s.cell(windows[i].From.Time)
		to, toHere := s.cell(windows[i].To.Time)
		if toHere && to != from && to < s.cells-1 {
			list = append(list, windowEdge{to, windows[i].To.Time, true})
		}
		if fromHere && from > 0 {
			list = append(list, windowEdge{from, windows[i].From.Time, false})
		}
	}
	return list
}

// end is what stands above the right end of the line.
func (s scale) end(now time.Time, zone *time.Location) string {
	switch d := now.Sub(s.to); {
	case d < 0:
		return s.to.In(zone).Format("15:04:05")
	case d < time.Second:
		return "now"
	default:
		return strings.TrimSpace(ago(d))
	}
}

// layout is as short as the line's length lets a time be.
func (s scale) layout() string {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	switch d := s.to.Sub(s.from); {
	case d < time.Hour:
		return "15:04:05"
	case d < day:
		return "15:04"
	case d < 60*day:
		return "01-02 15:04"
	case d < year:
		return "01-02"
	default:
		return time.DateOnly
	}
}

// lane is a row of cells on which things stand without touching each other.
type lane struct {
	cells, apart int // apart is how many cells stay free between two
	taken        []stretch
}

// stretch is some cells, from the first to before the other.
type stretch struct{ from, to int }

// place finds room for a thing of some cells that is to begin at a cell, or to
// end there; false where it would come too near another. At the ends of the lane
// it is moved inwards.
func (l *lane) place(length, at int, endsThere bool) (from int, ok bool) {
	if endsThere {
		at -= length - 1
	}
	at = max(0, min(at, l.cells-length))
	if length > l.cells {
		return 0, false
	}
	for _, other := range l.taken {
		if at < other.to+l.apart && other.from < at+length+l.apart {
			return 0, false
		}
	}
	l.taken = append(l.taken, stretch{at, at + length})
	return at, true
}

// clusters groups cells, given in order, so that no group is wider than some
// cells: what stands closer together than it can be drawn. They are indices.
func clusters(cells []int, width int) [][]int {
	var groups [][]int
	for i, cell := range cells {
		if n := len(groups); n > 0 && cell-cells[groups[n-1][0]] < width {
			groups[n-1] = append(groups[n-1], i)
			continue
		}
		groups = append(groups, []int{i})
	}
	return groups
}
