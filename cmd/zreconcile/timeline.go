package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zreconcile/zreconcile/reconcile"
)

// cell is a stretch of a drawn timeline.
type cell int

// What can be said of a cell.
const (
	cellNone  cell = iota // none of its moments can be restored
	cellPart              // some can
	cellWhole             // each can
)

// strokes are what a timeline is drawn with.
type strokes struct {
	cells [3]string // by cell
	mark  string    // a snapshot was taken then
}

var (
	asciiStrokes = strokes{[3]string{".", "-", "="}, "^"}
	blockStrokes = strokes{[3]string{"·", "▒", "█"}, "▲"}
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
	first, last := s.Windows[0].From.Time, s.Windows[0].To.Time
	for _, w := range s.Windows {
		if w.To.After(last) {
			last = w.To.Time
		}
	}
	line := scale{from: first, to: last, cells: cells}
	if now.After(last) {
		line.to = now
	}
	for _, snap := range s.Snapshots {
		if snap.TakenAt != nil && snap.TakenAt.Before(line.from) {
			line.from = snap.TakenAt.Time
		}
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

// marks is the line that goes below the timeline: where snapshots were taken.
// One that was taken just off the line is marked at its end.
func (s scale) marks(snapshots []reconcile.SnapshotStatus, mark string) string {
	taken := make([]bool, s.cells)
	for _, snap := range snapshots {
		if snap.TakenAt == nil {
			continue
		}
		t := snap.TakenAt.Time
		if before := s.from.Sub(t); before > 0 && before <= s.width() {
			t = s.from
		}
		if after := t.Sub(s.to); after > 0 && after <= s.width() {
			t = s.to
		}
		if i, ok := s.cell(t); ok {
			taken[i] = true
		}
	}
	var line strings.Builder
	for _, yes := range taken {
		if yes {
			line.WriteString(mark)
		} else {
			line.WriteByte(' ')
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// axis is a line of labels; each stands where there is room for it.
type axis []rune

func newAxis(cells int) axis { return axis(strings.Repeat(" ", cells)) }

// put writes a label from a cell on, or up to it where it is to end there; one
// that would touch another is left out.
func (a axis) put(label string, at int, endsThere bool) {
	n := utf8.RuneCountInString(label)
	if endsThere {
		at -= n - 1
	}
	at = max(0, min(at, len(a)-n))
	if n > len(a) || strings.TrimSpace(string(a[max(0, at-1):min(len(a), at+n+1)])) != "" {
		return
	}
	copy(a[at:], []rune(label))
}

// ends writes the times of the ends of the line.
func (s scale) ends(now time.Time, zone *time.Location) string {
	line := newAxis(s.cells)
	line.put(s.end(now, zone), s.cells-1, true)
	line.put(s.from.In(zone).Format(time.DateTime), 0, false)
	return string(line)
}

// labels writes where windows end and begin, the newest first.
func (s scale) labels(windows []reconcile.Window, zone *time.Location) string {
	line, layout := newAxis(s.cells), s.layout()
	for i := len(windows) - 1; i >= 0; i-- {
		from, fromHere := s.cell(windows[i].From.Time)
		to, toHere := s.cell(windows[i].To.Time)
		if toHere && to != from && to < s.cells-1 {
			line.put(windows[i].To.In(zone).Format(layout), to, true)
		}
		if fromHere && from > 0 {
			line.put(windows[i].From.In(zone).Format(layout), from, false)
		}
	}
	return strings.TrimRight(string(line), " ")
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

// drawTimeline draws the windows as a picture: the line with the times of its
// ends above it, and the snapshots and the times of its gaps below.
func drawTimeline(v view, s reconcile.Status, line scale) {
	if !line.to.After(line.from) {
		return
	}
	shape := asciiStrokes
	if v.utf8 {
		shape = blockStrokes
	}
	cells := line.timeline(s.Windows)
	v.printf("  %s\n", line.ends(v.now, v.zone))
	v.printf("  %s\n", paintCells(v, shape, cells))
	marks := line.marks(s.Snapshots, shape.mark)
	if marks != "" {
		v.printf("  %s\n", marks)
	}
	if labels := line.labels(s.Windows, v.zone); labels != "" {
		v.printf("  %s\n", labels)
	}
	v.printf("  %s\n", v.faint(legend(shape, cells, marks != "")))
}

// paintCells paints each run of equal cells at once.
func paintCells(v view, shape strokes, cells []cell) string {
	paint := [3]func(string) string{v.faint, v.warn, v.good}
	var out strings.Builder
	for from := 0; from < len(cells); {
		to := from
		for to < len(cells) && cells[to] == cells[from] {
			to++
		}
		out.WriteString(paint[cells[from]](strings.Repeat(shape.cells[cells[from]], to-from)))
		from = to
	}
	return out.String()
}

// legend explains what was drawn, and nothing else.
func legend(shape strokes, cells []cell, marks bool) string {
	words := [3]string{"nothing", "parts of it", "all of it"}
	var drawn [3]bool
	for _, c := range cells {
		drawn[c] = true
	}
	var list []string
	for c := cellWhole; c >= cellNone; c-- {
		if drawn[c] {
			list = append(list, shape.cells[c]+" "+words[c])
		}
	}
	if marks {
		list = append(list, shape.mark+" a snapshot")
	}
	return strings.Join(list, ", ")
}
