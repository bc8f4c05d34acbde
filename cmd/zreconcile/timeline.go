package main

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zreconcile/zreconcile/reconcile"
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

// marks is the line that goes below the timeline: where snapshots were taken.
func (s scale) marks(snapshots []reconcile.SnapshotStatus, mark string) string {
	line := strings.Split(strings.Repeat(" ", s.cells), "")
	for _, snap := range snapshots {
		if snap.TakenAt == nil {
			continue
		}
		if i, ok := s.near(snap.TakenAt.Time); ok {
			line[i] = mark
		}
	}
	return strings.TrimRight(strings.Join(line, ""), " ")
}

// axis is a line of labels; each stands where there is room for it.
type axis struct {
	lane
	text []rune
}

func newAxis(cells int) axis {
	return axis{lane{cells: cells, apart: 1}, []rune(strings.Repeat(" ", cells))}
}

// put writes a label from a cell on, or up to it where it is to end there; one
// that would touch another is left out.
func (a *axis) put(label string, at int, endsThere bool) {
	if at, ok := a.place(utf8.RuneCountInString(label), at, endsThere); ok {
		copy(a.text[at:], []rune(label))
	}
}

// ends writes the times of the ends of the line.
func (s scale) ends(now time.Time, zone *time.Location) string {
	line := newAxis(s.cells)
	line.put(s.end(now, zone), s.cells-1, true)
	line.put(s.from.In(zone).Format(time.DateTime), 0, false)
	return string(line.text)
}

// labels writes where windows end and begin.
func (s scale) labels(windows []reconcile.Window, zone *time.Location) string {
	line := newAxis(s.cells)
	for _, e := range s.edges(windows) {
		line.put(e.at.In(zone).Format(s.layout()), e.cell, e.end)
	}
	return strings.TrimRight(string(line.text), " ")
}

// drawTimeline draws the windows as a picture: the line with the times of its
// ends above it, and the snapshots and the times of its gaps below.
func drawTimeline(v view, s reconcile.Status, line scale) {
	if line.empty() {
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
