package reconcile

import (
	"slices"
	"testing"
	"time"
)

// TestRetentionSpares tells why each of four snapshots stays, where the policy
// alone keeps the two newest.
func TestRetentionSpares(t *testing.T) {
	oldest := snapshotName("zr", ago(5*time.Hour))
	tests := map[string]struct {
		edits []string
		from  func(*State)
		why   string // the oldest stays; "" it goes
	}{
		"nothing speaks for it":  {},
		"a hold":                 {from: func(s *State) { snapshot(s, oldest).UserRefs = 1 }, why: "has a hold"},
		"a clone":                {from: func(s *State) { snapshot(s, oldest).Clones = 1 }, why: "has a clone"},
		"a restore aims at it":   {edits: []string{"retention: {last: 2}\n", "retention: {last: 2}\nrestores:\n  - {name: r, target: {snapshot: " + oldest + "}, port: 1923}\n"}, why: "restore r"},
		"a wider policy":         {edits: []string{"{last: 2}", "{last: 2, within: 6h}"}, why: "within 6h"},
		"the clock was set back": {from: func(s *State) { s.At = ago(10 * time.Hour) }},
		"a stranger took it":     {from: func(s *State) { snapshot(s, oldest).Properties = nil }, why: "not ours"},
		"its mark is handed down": {from: func(s *State) {
			snapshot(s, oldest).Properties = inherited("zp1/data", markSite, "s1", markFormat, "1")
		}, why: "not ours"},
		"a mark of a later format": {from: func(s *State) { snapshot(s, oldest).Properties = local(markSite, "s1", markFormat, "2") }, why: "not ours"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t, test.edits...)
			state := converged(t, site)
			for _, hours := range []time.Duration{5, 4, 3} {
				addSnapshot(&state, site, ago(hours*time.Hour), 90)
			}
			if test.from != nil {
				test.from(&state)
			}
			goes := slices.ContainsFunc(Diff(site, state, givenNow, nil).Changes, func(c Change) bool {
				return c.Kind == kindRetention && c.Action == Delete && c.Name == oldest
			})
			if goes != (test.why == "") {
				t.Fatalf("destroyed: %v", goes)
			}
			for _, k := range givenView(site, &state).retention() {
				if k.Name == oldest && test.why != "" && !slices.Contains(k.reasons, test.why) {
					t.Errorf("kept by %q, want %q", k.reasons, test.why)
				}
			}
		})
	}
}
