package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zreconcile/zreconcile/reconcile"
)

// picture is a timeline laid out for SVG. All numbers are its user units, from
// its upper left corner on; a cell of its scale is pictureUnit wide.
type picture struct {
	Name          string // tells it from others of a page
	Width, Height int
	Bottom        int // of what is drawn
	About         string
	Bars          []bar
	Ticks         []mark // round moments
	Edges         []mark // times of ends, and of windows
	Taken         []int  // where snapshots were taken
	Snapshots     []mark
	Restores      []mark
	Now           int // -1 is off the line
}

// bar is a run of equal cells.
type bar struct {
	X, Width int
	Kind     string // whole, part, none
	Title    string
}

// mark is a thing at a moment; its label stands at LabelX.
type mark struct {
	X, Y, LabelX int
	Label        string
	Tone         tone
	Count        int    // of the things it stands for, where they are too close together
	Title        string // all that is known
}

// The measures of a picture. Its letters are of equal width, and no wider than
// letterWidth, in half units: a label takes no room that was not found for it.
const (
	pictureUnit   = 2
	letterWidth   = 15 // 12 units high, 0.6 of it wide
	markWidth     = 20 // of a snapshot or a restore
	edgeBaseline  = 12
	tickBaseline  = 62
	snapshotsY    = 84
	restoresY     = 126
	laneHeight    = 22
	mostLanes     = 6
	longestLabel  = 24 // letters
	titlesOfMarks = 12 // of one mark that stands for many
)

// Across is the width with room for the marks at its ends.
func (p picture) Across() int { return p.Width + markWidth }

// CountY is the baseline of a word beside or within a mark.
func (m mark) CountY() int { return m.Y + 4 }

// Counted is a count that fits into a mark.
func (m mark) Counted() string {
	if m.Count > 999 {
		return strconv.Itoa(m.Count/1000) + "k"
	}
	return strconv.Itoa(m.Count)
}

// LabelY is the baseline of a word below it.
func (m mark) LabelY() int { return m.Y + 22 }

var cellKinds = [3]string{"none", "part", "whole"}

// newPicture lays out the timeline of a status; false where there is none.
func newPicture(v view, s reconcile.Status, name string, width int) (picture, bool) {
	line := newScale(s, v.now, width/pictureUnit)
	if line.empty() {
		return picture{}, false
	}
	p := picture{Name: name, Width: width, About: aboutTimeline(v, s), Now: -1}
	p.addBars(v, line, s.Windows)
	p.addEdges(v, line, s.Windows)
	p.addTicks(v, line)
	p.addSnapshots(v, line, s.Snapshots)
	lanes := p.addRestores(v, line, s.Restores)
	if cell, ok := line.near(v.now); ok {
		p.Now = (cell + 1) * pictureUnit
	}
	p.Bottom = restoresY - laneHeight/2 + lanes*laneHeight
	p.Height = p.Bottom + 4
	return p, true
}

// aboutTimeline says in a sentence what the picture shows.
func aboutTimeline(v view, s reconcile.Status) string {
	var parts []string
	for _, w := range s.Windows {
		parts = append(parts, window(v, w))
	}
	text := "No moment can be restored."
	if n := len(parts); n > mostShown {
		text = "Moments of " + strconv.Itoa(n) + " windows can be restored, the newest of which is " + parts[n-1] + "."
	} else if n > 0 {
		text = "What can be restored: " + strings.Join(parts, "; ") + "."
	}
	return text + " " + plural(len(s.Snapshots), "snapshot") + ", " + plural(len(s.Restores), "restore") + "."
}

func (p *picture) addBars(v view, line scale, windows []reconcile.Window) {
	cells := line.timeline(windows)
	for from := 0; from < len(cells); {
		to := from
		for to < len(cells) && cells[to] == cells[from] {
			to++
		}
		span := v.moment(line.edge(from)) + " to " + v.moment(line.edge(to))
		title := map[cell]string{
			cellWhole: "each moment can be restored, from ", cellPart: "some moments can be restored, from ", cellNone: "nothing can be restored from ",
		}[cells[from]] + span
		if why := endedBy(windows, line.edge(to)); cells[from] == cellNone && why != "" {
			title += ": " + why
		}
		p.Bars = append(p.Bars, bar{from * pictureUnit, (to - from) * pictureUnit, cellKinds[cells[from]], title})
		from = to
	}
}

// endedBy says what ended the last window before a moment.
func endedBy(windows []reconcile.Window, before time.Time) (why string) {
	for _, w := range windows {
		if w.To.Before(before) {
			why = printable(w.Why)
		}
	}
	return why
}

// letters is how many cells a label takes.
func letters(label string) int {
	return (utf8.RuneCountInString(label)*letterWidth/2 + pictureUnit - 1) / pictureUnit
}

func (p *picture) lane() lane { return lane{cells: p.Width / pictureUnit, apart: 4} }

// addEdges writes the ends of the line, and where windows end and begin.
func (p *picture) addEdges(v view, line scale, windows []reconcile.Window) {
	row := p.lane()
	put := func(label string, cell int, end bool) {
		if from, ok := row.place(letters(label), cell, end); ok {
			p.Edges = append(p.Edges, mark{X: cell * pictureUnit, Y: edgeBaseline, LabelX: from * pictureUnit, Label: label})
		}
	}
	put(line.end(v.now, v.zone), line.cells-1, true)
	put(line.from.In(v.zone).Format(time.DateTime), 0, false)
	for _, e := range line.edges(windows) {
		put(e.at.In(v.zone).Format(line.layout()), e.cell, e.end)
	}
}

// addTicks writes round moments below the line, as many as have room.
func (p *picture) addTicks(v view, line scale) {
	row := p.lane()
	for _, t := range line.ticks(v.zone, p.Width/100) {
		cell, _ := line.cell(t.at)
		m := mark{X: cell * pictureUnit, Y: tickBaseline}
		if from, ok := row.place(letters(t.label), cell-letters(t.label)/2, false); ok {
			m.LabelX, m.Label = from*pictureUnit, t.label
		}
		p.Ticks = append(p.Ticks, m)
	}
}

// addSnapshots marks where snapshots were taken, with what keeps them where
// there is room, and their drills.
func (p *picture) addSnapshots(v view, line scale, snapshots []reconcile.SnapshotStatus) {
	var cells []int
	var drawn []reconcile.SnapshotStatus
	for _, snap := range snapshots {
		if snap.TakenAt == nil {
			continue
		}
		if cell, ok := line.near(snap.TakenAt.Time); ok {
			cells, drawn = append(cells, cell), append(drawn, snap)
			p.Taken = append(p.Taken, cell*pictureUnit)
		}
	}
	p.Taken = slices.Compact(p.Taken)
	row := p.lane()
	groups := clusters(cells, markWidth/pictureUnit)
	for _, group := range slices.Backward(groups) { // the newest is the first to have its label
		first := group[0]
		m := mark{X: cells[first] * pictureUnit, Y: snapshotsY, Count: len(group)}
		var titles []string
		for i, at := range group {
			m.Tone = worse(m.Tone, drillOutcome(v, drawn[at].Verified).Tone)
			if i < titlesOfMarks {
				titles = append(titles, aboutSnapshot(v, drawn[at]))
			}
		}
		if more := len(group) - len(titles); more > 0 {
			titles = append(titles, plural(more, "more snapshot"))
		}
		m.Title = strings.Join(titles, "\n")
		if label := shortened(keptBy(drawn[first])); len(group) == 1 {
			if from, ok := row.place(letters(label), cells[first]-letters(label)/2, false); ok {
				m.LabelX, m.Label = from*pictureUnit, label
			}
		}
		p.Snapshots = append(p.Snapshots, m)
	}
}

// worse is the tone that a mark for several things has.
func worse(a, b tone) tone {
	return slices.MaxFunc([]tone{a, b}, func(a, b tone) int {
		order := []tone{tonePlain, toneGood, toneWarn, toneBad}
		return cmp.Compare(slices.Index(order, a), slices.Index(order, b))
	})
}

func aboutSnapshot(v view, s reconcile.SnapshotStatus) string {
	text := printable(s.Name) + ", kept by: " + keptBy(s)
	if s.Label != "" {
		text += ", " + printable(`"`+s.Label+`"`)
	}
	if drill := drillOutcome(v, s.Verified); drill.Text != "" {
		text += ", " + drill.Text
	}
	return text
}

// shortened is a text as a label.
func shortened(text string) string {
	if letters := []rune(text); len(letters) > longestLabel {
		return string(letters[:longestLabel-1]) + "…"
	}
	return text
}

// addRestores marks the moments that restores reached, each with its name in the
// first lane that has room. Those that found none share a last lane, without.
func (p *picture) addRestores(v view, line scale, restores []reconcile.RestoreStatus) (lanes int) {
	rows := []lane{}
	for _, r := range restores {
		if r.Reached == nil || r.Reached.Time == nil {
			continue
		}
		cell, ok := line.near(r.Reached.Time.Time)
		if !ok {
			continue
		}
		m := mark{X: cell * pictureUnit, Tone: restoreState(r).Tone, Count: 1,
			Title: printable(r.Name) + ", " + restoreState(r).Text + ", reached " + reached(v, *r.Reached)}
		label, at := shortened(printable(r.Name)), 0
		for ; at < mostLanes; at++ {
			if at == len(rows) {
				rows = append(rows, p.lane())
			}
			if x, ok := beside(&rows[at], cell, letters(label)); ok {
				m.Label, m.LabelX = label, x*pictureUnit
				break
			}
		}
		m.Y = restoresY + at*laneHeight
		lanes = max(lanes, at+1)
		p.Restores = append(p.Restores, m)
	}
	return lanes
}

// beside finds room for a mark and its label, on its right or else on its left;
// it gives the cell where the label begins.
func beside(row *lane, cell, length int) (labelAt int, ok bool) {
	const half = markWidth / pictureUnit / 2
	whole := length + 2*half
	if from := cell - half; from+whole <= row.cells {
		if from, ok := row.place(whole, max(0, from), false); ok {
			return from + 2*half, true
		}
	}
	if from := cell + half - whole; from >= 0 {
		if from, ok := row.place(whole, from, false); ok {
			return from, true
		}
	}
	return 0, false
}
