package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"strings"
	"sync"

	"github.com/zreconcile/zreconcile/reconcile"
)

//go:embed status_page.html
var statusPageText string

// statusPageTemplate is parsed when it is asked for: most runs, those of wal push
// above all, need none.
var statusPageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("status").Parse(statusPageText))
})

// statusPage is a status as one page that needs nothing else. Its texts are
// printable; the template quotes them for HTML.
type statusPage struct {
	Site, At, Zone string
	Verdict        words
	Reasons        []string
	Headline       string
	Answers        []fact
	Failures       []string
	Pictures       []picture
	Stretches      []stretchRow
	Standby        *thing
	Archive        archivePart
	Snapshots      []snapshotRow
	Restores       []thing
	Drill          *thing
	Drilled        []snapshotRow // those of earlier drills that found something
	Pool           thing
	None           string // what is said where nothing is there
}

// thing is a part of a host with what is known of it.
type thing struct {
	Name  string
	State words
	Why   []string // lines
	Facts []fact
}

// stretchRow is a window, or a gap between two.
type stretchRow struct {
	From, To, Length string
	Restorable       bool
	Lost             bool
	Why              string
}

type archivePart struct {
	thing
	Gaps  []stretchRow
	Keeps []keepRow
}

type keepRow struct{ From, To, Size, Who string }

type snapshotRow struct {
	Name, Taken, Size, KeptBy, Label string
	Serves, Drill                    words
	Findings                         []string
}

// The widths of the timeline: on a desk and on paper, and on a phone.
const (
	wideTimeline   = 960
	narrowTimeline = 340
)

// writeStatusPage writes a status as a page.
func writeStatusPage(w io.Writer, v view, s reconcile.Status, as login) error {
	var page bytes.Buffer
	if err := statusPageTemplate().Execute(&page, newStatusPage(v, s, as)); err != nil {
		return err
	}
	_, err := w.Write(page.Bytes())
	return err
}

func newStatusPage(v view, s reconcile.Status, as login) statusPage {
	v.palette = false
	p := statusPage{
		None: none(s), Site: printable(s.Site), At: v.moment(v.now), Zone: v.zone.String(),
		Verdict: verdictOf(s.Verdict.Level), Headline: printable(s.Verdict.Headline), Reasons: allLines(s.Verdict.Reasons),
		Answers: answers(v, s), Failures: allLines(s.Failures), Stretches: stretchRows(v, s.Windows),
		Archive: archiveOf(s), Pool: poolOf(s.Pool), Drill: drillOf(v, s),
	}
	if wide, ok := newPicture(v, s, "wide", wideTimeline); ok {
		narrow, _ := newPicture(v, s, "narrow", narrowTimeline)
		p.Pictures = []picture{wide, narrow}
	}
	if s.Standby.State != "" {
		p.Standby = &thing{State: standbyState(s.Standby), Facts: standbyFacts(v, s.Standby, as)}
	}
	for i := len(s.Snapshots) - 1; i >= 0; i-- {
		row := snapshotRowOf(v, s.Snapshots[i])
		p.Snapshots = append(p.Snapshots, row)
		if len(row.Findings) > 0 && !ofLastDrill(s, s.Snapshots[i]) {
			p.Drilled = append(p.Drilled, row)
		}
	}
	for _, r := range s.Restores {
		p.Restores = append(p.Restores, thing{Name: printable(r.Name), State: restoreState(r), Why: lines(r.Why), Facts: restoreFacts(v, r, as)})
	}
	return p
}

// none says that there is nothing, where all was seen.
func none(s reconcile.Status) string {
	if len(s.Failures) > 0 {
		return "None was seen, and not all could be observed."
	}
	return "None."
}

func verdictOf(level reconcile.Level) words {
	switch level {
	case reconcile.LevelOK:
		return words{"SAFE", toneGood}
	case reconcile.LevelCritical:
		return words{verdictWord(level), toneBad}
	default:
		return words{verdictWord(level), toneWarn}
	}
}

// lines are those of a text of somebody else, each printable.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(indented("", text), "\n"), "\n")
}

// allLines are texts of somebody else, each with its lines.
func allLines(texts []string) []string {
	var list []string
	for _, text := range texts {
		list = append(list, strings.Join(lines(text), "\n"))
	}
	return list
}

// stretchRows are the windows and the gaps between them, the newest first.
func stretchRows(v view, windows []reconcile.Window) []stretchRow {
	var list []stretchRow
	for i := len(windows) - 1; i >= 0; i-- {
		w := windows[i]
		if i+1 < len(windows) {
			next := windows[i+1]
			list = append(list, stretchRow{From: v.moment(w.To.Time), To: v.moment(wholeSecond(next.From.Time)),
				Length: span(next.From.Sub(w.To.Time)), Lost: w.Lost, Why: printable(w.Why)})
		}
		from, to := windowEnds(v, w)
		row := stretchRow{From: from, To: to, Length: span(w.To.Sub(w.From.Time)), Restorable: true}
		if i == len(windows)-1 {
			row.Why, row.Lost = printable(w.Why), w.Lost
		}
		list = append(list, row)
	}
	return list
}

func archiveOf(s reconcile.Status) archivePart {
	a := s.Archive
	part := archivePart{thing: thing{State: words{plural(a.Segments, "segment") + ", " + size(a.Bytes), tonePlain}}}
	if a.Segments == 0 && len(s.Failures) > 0 {
		part.State.Text = none(s)
	}
	add := func(name, value string, t tone) {
		if value != "" {
			part.Facts = append(part.Facts, fact{Name: name, Value: printable(value), Tone: t})
		}
	}
	if a.Missing != "" {
		part.State = words{"there is none: " + printable(a.Missing), toneBad}
	}
	add("first", a.First, tonePlain)
	add("last", a.Last, tonePlain)
	add("damaged", strings.Join(a.Damaged, ", "), toneBad)
	add("the oldest is kept for", a.NeededBy, tonePlain)
	for _, g := range a.Gaps {
		part.Gaps = append(part.Gaps, stretchRow{From: printable(g.From), To: printable(g.To)})
	}
	for _, k := range a.Keeps {
		part.Keeps = append(part.Keeps, keepRow{printable(k.From), printable(k.To), size(k.Bytes), keptFor(k)})
	}
	return part
}

func poolOf(p *reconcile.PoolStatus) thing {
	if p == nil {
		return thing{State: words{"not known", toneBad}}
	}
	pool := thing{Name: printable(p.Name), State: words{printable(p.Health), toneGood}}
	if p.Size > 0 { // of a suspended pool nobody tells it
		pool.Facts = append(pool.Facts, fact{Name: "free", Value: size(p.Free) + " of " + size(p.Size)})
	}
	if p.Health != "ONLINE" {
		pool.State.Tone = toneBad
	}
	for _, f := range p.Faults {
		pool.Facts = append(pool.Facts, fact{Name: "fault", Value: printable(f)})
	}
	if p.Words != "" {
		pool.Facts = append(pool.Facts, fact{Name: "zpool status", Value: printable(p.Words)})
	}
	return pool
}

func snapshotRowOf(v view, s reconcile.SnapshotStatus) snapshotRow {
	row := snapshotRow{Name: printable(s.Name), Size: size(s.Used), KeptBy: keptBy(s), Serves: serves(v, s), Drill: drillOutcome(v, s.Verified)}
	row.Serves.Text = strings.TrimPrefix(row.Serves.Text, "serves ") // so is the column called
	if s.TakenAt != nil {
		row.Taken = v.moment(s.TakenAt.Time)
	}
	if s.Label != "" {
		row.Label = printable(s.Label)
	}
	if s.Verified != nil {
		row.Findings = allLines(s.Verified.Findings)
	}
	return row
}

// drillOf is the last drill; nil is none.
func drillOf(v view, s reconcile.Status) *thing {
	if s.LastDrill == nil {
		return nil
	}
	outcome := lastDrill(*s.LastDrill)
	outcome.Text += ago(v.now.Sub(s.LastDrill.At.Time))
	return &thing{State: outcome, Why: allLines(lastFindings(s)), Facts: []fact{
		{Name: "of", Value: printable(s.LastDrill.Snapshot)}, {Name: "ended", Value: v.moment(s.LastDrill.At.Time)}}}
}
