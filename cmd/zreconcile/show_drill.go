package main

import (
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// showDrill shows what came of a restore drill, check by check.
func showDrill(v view, d reconcile.Drill, as login) {
	outcome := v.good("passed")
	if !d.OK {
		outcome = v.bad("FAILED")
	}
	v.printf("%s %s\n", v.strong("restore drill of "+printable(d.Snapshot)+":"), outcome)
	for _, c := range d.Checks {
		showCheck(v, c)
	}
	if k := d.Kept; k != nil {
		v.printf("\nThe clone is kept until the next drill:\n")
		v.printf("  dataset    %s\n", printable(k.Dataset))
		if k.DataDir != "" {
			v.printf("  directory  %s\n", printable(k.DataDir))
		}
		v.printf("  log        %s\n", printable(k.Log))
		if k.Connect != "" {
			v.printf("  connect    %s\n", psql(k.Connect, as.of(k.Role)))
		}
	}
}

func showCheck(v view, c reconcile.Check) {
	outcome := v.good("ok")
	switch {
	case !c.OK:
		outcome = v.bad("FAILED")
	case len(c.Findings) > 0:
		outcome = v.warn("ok, but")
	}
	v.printf("  %-11s %s\n", printable(c.Name), outcome)
	for i, f := range c.Findings {
		if i == mostShown {
			v.printf("    and %d more: -o json has them\n", len(c.Findings)-i)
			break
		}
		v.printf("%s", indented("    ", f))
	}
}

// showLastDrill shows the newest drill, whose snapshot may be gone, and why it
// failed, as far as its snapshot tells.
func showLastDrill(v view, s reconcile.Status) {
	last := s.LastDrill
	if last == nil {
		return
	}
	outcome := lastDrill(*last)
	v.printf("  last drill: %s%s\n", v.toned(outcome.Tone, outcome.Text), ago(v.now.Sub(last.At.Time))+", of "+printable(last.Snapshot))
	for _, f := range lastFindings(s) {
		v.printf("%s", indented("    ", f))
	}
}

// lastDrill says how it went.
func lastDrill(last reconcile.LastDrill) words {
	if last.OK {
		return words{"passed", toneGood}
	}
	return words{"FAILED", toneBad}
}

// lastFindings are those of the last drill, while its snapshot is there.
func lastFindings(s reconcile.Status) []string {
	at := slices.IndexFunc(s.Snapshots, func(snap reconcile.SnapshotStatus) bool { return ofLastDrill(s, snap) })
	if at < 0 {
		return nil
	}
	return s.Snapshots[at].Verified.Findings
}

// ofLastDrill is true of the snapshot that the last drill restored.
func ofLastDrill(s reconcile.Status, snap reconcile.SnapshotStatus) bool {
	return s.LastDrill != nil && snap.Name == s.LastDrill.Snapshot && snap.Verified != nil
}

// drillOutcome is the drill of a snapshot in a few words; none is "".
func drillOutcome(v view, drill *reconcile.Verification) words {
	switch {
	case drill == nil:
		return words{}
	case drill.OK:
		return words{"verified" + ago(v.now.Sub(drill.At.Time)), toneGood}
	default:
		return words{"drill FAILED" + ago(v.now.Sub(drill.At.Time)), toneBad}
	}
}

// ago says how long something is past; nothing for what is to come, by a clock
// that was set wrong.
func ago(d time.Duration) string {
	if d < 0 {
		return ""
	}
	return " " + span(d) + " ago"
}
