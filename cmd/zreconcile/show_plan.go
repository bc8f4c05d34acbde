package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"

	"github.com/zreconcile/zreconcile/reconcile"
)

// glyphs are the marks of the actions, as OpenTofu shows them, and their colours.
var glyphs = map[reconcile.Action]struct {
	mark   string
	colour color.Attribute
}{
	reconcile.Create:  {"+", color.FgGreen},
	reconcile.Update:  {"~", color.FgYellow},
	reconcile.Replace: {"-/+", color.FgRed},
	reconcile.Delete:  {"-", color.FgRed},
	reconcile.Start:   {">", color.FgGreen},
	reconcile.Stop:    {"x", color.FgYellow},
	reconcile.Block:   {"!", color.FgRed},
}

// counted are the words of a summary for each action.
var counted = map[reconcile.Action]string{
	reconcile.Create:  "to create",
	reconcile.Update:  "to update",
	reconcile.Replace: "to replace",
	reconcile.Delete:  "to delete",
	reconcile.Start:   "to start",
	reconcile.Stop:    "to stop",
	reconcile.Block:   "blocked",
}

// view is how a person reads: where to, in colour or not, from when, in which zone.
type view struct {
	w io.Writer
	palette
	width int
	utf8  bool // the terminal shows more than ASCII
	now   time.Time
	zone  *time.Location
}

func (v view) printf(format string, args ...any) { fmt.Fprintf(v.w, format, args...) }

// moment writes a time to the second in the zone of the site, in a form that
// --at and the target of a restore read.
func (v view) moment(t time.Time) string {
	return t.In(v.zone).Format("2006-01-02 15:04:05Z07:00")
}

// showPlan shows what an apply would do.
func showPlan(v view, p reconcile.Plan) {
	if len(p.Changes) > 0 {
		v.printf("%s\n\n", v.strong("site "+printable(p.Site)+": what apply will do"))
	}
	for _, c := range p.Changes {
		showChange(v, c)
	}
	showNotes(v, p)
	switch {
	case len(p.Changes) > 0:
		v.printf("%s\n", v.strong("Plan: "+countActions(p.Summary)+"."))
	case len(p.Failures) == 0:
		v.printf("%s\n", v.good("site "+printable(p.Site)+": nothing to change."))
	default:
		v.printf("%s\n", v.bad("site "+printable(p.Site)+": no change found, but not all could be observed."))
	}
	showNext(v, p)
}

// showChange shows one change: what, why, where it is asked for, and how the values differ.
func showChange(v view, c reconcile.Change) {
	showHead(v, c, "")
	v.printf("%s", indented("        ", because(c)))
	showAttrs(v, c.Action, c.Attrs)
	if c.Mend != "" {
		showMend(v, c.Mend)
	}
	v.printf("\n")
}

func showMend(v view, mend string) {
	v.printf("%s\n", v.warn(strings.TrimSuffix(indented("        ", "mend: "+mend), "\n")))
}

func showHead(v view, c reconcile.Change, end string) {
	g := glyphs[c.Action]
	v.printf("  %s %s%s\n", v.paint(fmt.Sprintf("%3s", g.mark), g.colour), v.strong(printable(c.Kind+" "+c.Name)), end)
}

// because is the reason of a change and the line that asks for it.
func because(c reconcile.Change) string {
	switch {
	case c.File != "" && c.Line > 0:
		return c.Why + " (" + c.File + ":" + strconv.Itoa(c.Line) + ")"
	case c.Line > 0:
		return c.Why + " (line " + strconv.Itoa(c.Line) + ")"
	default:
		return c.Why
	}
}

// widestPadded keeps one long value from pushing all arrows off the screen.
const widestPadded = 40

// showAttrs lists values; what is new in something new has no arrow from nothing.
func showAttrs(v view, action reconcile.Action, attrs []reconcile.Attr) {
	isNew := func(a reconcile.Attr) bool { return a.Before == "" && (action == reconcile.Create || allNew(attrs)) }
	name, before := 0, 0
	for _, a := range attrs {
		name = max(name, min(widestPadded, utf8.RuneCountInString(printable(a.Name))))
		if !isNew(a) {
			before = max(before, min(widestPadded, utf8.RuneCountInString(value(a.Before))))
		}
	}
	for _, a := range attrs {
		if isNew(a) {
			v.printf("          %-*s  %s\n", name, printable(a.Name), value(a.After))
			continue
		}
		v.printf("          %-*s  %-*s %s %s\n", name, printable(a.Name), before, value(a.Before), v.faint("->"), value(a.After))
	}
}

// allNew is true where nothing was there before.
func allNew(attrs []reconcile.Attr) bool {
	return !slices.ContainsFunc(attrs, func(a reconcile.Attr) bool { return a.Before != "" })
}

// value is one side of a changed attribute.
func value(text string) string {
	if text == "" {
		return "(none)"
	}
	return printable(text)
}

func showNotes(v view, p reconcile.Plan) {
	showList(v, v.warn("Note:"), p.Notes)
	showList(v, v.bad("Failed:"), p.Failures)
}

func showList(v view, title string, items []string) {
	if len(items) == 0 {
		return
	}
	v.printf("%s\n", title)
	for _, item := range items {
		text := indented("    ", item)
		v.printf("  -%s", strings.TrimPrefix(text, "   "))
	}
	v.printf("\n")
}

// countActions is a summary in words: 3 to create, 1 blocked.
func countActions(s reconcile.Summary) string {
	numbers := map[reconcile.Action]int{
		reconcile.Create: s.Create, reconcile.Update: s.Update, reconcile.Replace: s.Replace,
		reconcile.Delete: s.Delete, reconcile.Start: s.Start, reconcile.Stop: s.Stop, reconcile.Block: s.Block,
	}
	var parts []string
	for _, a := range reconcile.Actions {
		if n := numbers[a]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+counted[a])
		}
	}
	return strings.Join(parts, ", ")
}

func showNext(v view, p reconcile.Plan) {
	if p.Next == nil {
		return
	}
	v.printf("Next due: %s%s\n", v.moment(p.Next.Time), away(p.Next.Sub(v.now)))
}

// away says how far off a moment is; nothing for one that is here or gone.
func away(d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return " (in " + span(d) + ")"
}

// span writes a duration by its two largest units: 3d 4h, 5m 10s.
func span(d time.Duration) string { return reconcile.FormatSpan(d) }
