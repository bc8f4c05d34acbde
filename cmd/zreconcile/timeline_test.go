package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/reconcile"
)

// windowsOf are windows, each given as how long ago it began and ended.
func windowsOf(pairs ...time.Duration) []reconcile.Window {
	var list []reconcile.Window
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, reconcile.Window{From: reconcile.Time{Time: testNow.Add(-pairs[i])}, To: reconcile.Time{Time: testNow.Add(-pairs[i+1])}})
	}
	return list
}

func snapshotsAt(ago ...time.Duration) []reconcile.SnapshotStatus {
	var list []reconcile.SnapshotStatus
	for _, d := range ago {
		list = append(list, reconcile.SnapshotStatus{TakenAt: &reconcile.Time{Time: testNow.Add(-d)}})
	}
	return list
}

// every is a run of ages, the oldest first.
func every(step, from, to time.Duration) []time.Duration {
	var list []time.Duration
	for d := from; d >= to; d -= step {
		list = append(list, d)
	}
	return list
}

// points are windows of one moment each.
func points(ages []time.Duration) []reconcile.Window {
	var list []reconcile.Window
	for _, d := range ages {
		list = append(list, windowsOf(d, d)...)
	}
	return list
}

// The pictures of timeline.txt are for eyes: look at them when they change.
func TestTimelinePictures(t *testing.T) {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	pictures := []struct {
		name      string
		windows   []reconcile.Window
		snapshots []reconcile.SnapshotStatus
	}{
		{"one minute", windowsOf(55*time.Second, 4*time.Second), snapshotsAt(55 * time.Second)},
		{"half an hour with a gap of a minute", windowsOf(30*time.Minute, 12*time.Minute, 11*time.Minute, 0), snapshotsAt(30*time.Minute, 11*time.Minute)},
		{"within a day", windowsOf(20*time.Hour, 9*time.Hour, 5*time.Hour, 3*time.Second), snapshotsAt(20*time.Hour, 12*time.Hour, 5*time.Hour)},
		{"three days, all of them", windowsOf(3*day, 4*time.Second), snapshotsAt(every(8*time.Hour, 3*day+time.Second, time.Hour)...)},
		{"two days with a gap of a night", windowsOf(47*time.Hour, 36*time.Hour, 23*time.Hour, 0), snapshotsAt(47*time.Hour, 23*time.Hour)},
		{"many gaps", windowsOf(9*day, 8*day, 7*day, 6*day, 5*day, 100*time.Hour, 4*day, 70*time.Hour, 50*time.Hour, 0), nil},
		{"gone for a day", windowsOf(5*day, day), snapshotsAt(every(day, 5*day, day)...)},
		{"single points, and a week without a gap", append(points(every(30*day, year, 30*day)), windowsOf(7*day, 0)...), snapshotsAt(append(every(30*day, year, 30*day), every(day, 7*day, 0)...)...)},
		{"one point", points([]time.Duration{2 * time.Hour}), snapshotsAt(2 * time.Hour)},
		{"ten years", append(points(every(year, 10*year, year)), windowsOf(30*day, 0)...), nil},
	}
	var out bytes.Buffer
	for _, p := range pictures {
		for _, width := range []int{40, 80, 120} {
			fmt.Fprintf(&out, "%s, %d columns\n", p.name, width)
			v := view{w: &out, width: width, utf8: width == 120, now: testNow, zone: time.UTC}
			s := reconcile.Status{Windows: p.windows, Snapshots: p.snapshots}
			drawTimeline(v, s, newScale(s, v.now, v.width-4))
			fmt.Fprintln(&out)
		}
	}
	golden(t, "timeline.txt", out.Bytes())
}

// No line is wider than the terminal, and the labels neither touch nor overlap.
func TestTimelineFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var ages []time.Duration
		for range 2 * rapid.IntRange(1, 6).Draw(rt, "windows") {
			ages = append(ages, time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(rt, "age")))
		}
		slices.Sort(ages)
		slices.Reverse(ages)
		s := reconcile.Status{Windows: windowsOf(ages...), Snapshots: snapshotsAt(ages...)}
		var out bytes.Buffer
		v := view{w: &out, width: rapid.IntRange(24, 130).Draw(rt, "width"), now: testNow, zone: time.UTC}
		line := newScale(s, v.now, v.width-4)
		drawTimeline(v, s, line)
		for l := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(strings.TrimRight(l, "\n")) > v.width-2 && !strings.Contains(l, "snapshot") {
				rt.Fatalf("%q is wider than %d", l, v.width)
			}
		}
		if line.empty() {
			return
		}
		for _, label := range strings.Fields(line.labels(s.Windows, v.zone)) {
			if _, err := time.Parse(time.TimeOnly, label); err == nil {
				continue
			}
			ok := false
			for _, layout := range []string{time.DateOnly, "01-02", "15:04"} {
				_, err := time.Parse(layout, label)
				ok = ok || err == nil
			}
			if !ok {
				rt.Fatalf("%q is no label in\n%s", label, &out)
			}
		}
	})
}

// A cell says "all of it" only where all of it can be restored, and "nothing"
// only where nothing can: a moment is never promised that cannot be had, and a
// short window never disappears.
func TestTimelineTellsTheTruth(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		line := scale{from: start, to: start.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "span")) * time.Second), cells: rapid.IntRange(1, 40).Draw(t, "cells")}
		var windows []reconcile.Window
		edge := start
		for range rapid.IntRange(0, 4).Draw(t, "windows") {
			from := edge.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "gap")) * time.Second)
			edge = from.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "length")) * time.Second)
			windows = append(windows, reconcile.Window{From: reconcile.Time{Time: from}, To: reconcile.Time{Time: edge}})
		}
		drawn := line.timeline(windows)
		if len(drawn) != line.cells {
			t.Fatalf("%d cells, want %d", len(drawn), line.cells)
		}
		for i, cell := range drawn {
			inside := line.edge(i).Add(line.edge(i+1).Sub(line.edge(i)) / 2)
			covered := false
			for _, w := range windows {
				covered = covered || !inside.Before(w.From.Time) && !inside.After(w.To.Time)
			}
			if cell == cellWhole && !covered || cell == cellNone && covered {
				t.Fatalf("cell %d of %v is %d, its middle is covered: %v", i, drawn, cell, covered)
			}
		}
		for _, w := range windows {
			i, ok := line.cell(w.From.Time)
			if !ok {
				continue
			}
			// Rounding may put a moment on an edge into the cell beside it.
			around := drawn[max(0, i-1):min(len(drawn), i+2)]
			if !slices.ContainsFunc(around, func(c cell) bool { return c != cellNone }) {
				t.Fatalf("the window %s to %s is not in %v", w.From, w.To, drawn)
			}
		}
	})
}
