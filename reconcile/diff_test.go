package reconcile

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// diffCase is a host that differs from its file in one way.
type diffCase struct {
	edits []string                 // of the file: old text, new text
	from  func(testing.TB, *State) // spoils the fulfilled state
	bare  bool                     // starts from a bare host instead
	empty bool                     // starts from a pool without a cluster
	only  Only                     // the changes to look at
	want  []string                 // the changes, briefly; testdata/diff has them whole
}

// planned is the case's plan.
func (c diffCase) planned(t testing.TB) Plan {
	site := givenSite(t, c.edits...)
	var state State
	switch {
	case c.bare:
		state = bareHost(site)
	case c.empty:
		state = emptyPool(site)
	default:
		state = converged(t, site)
	}
	if c.from != nil {
		c.from(t, &state)
	}
	return Diff(site, state, givenNow, c.only)
}

// checkDiffs compares plans with what the table says, briefly, and word by word
// with the test's golden file.
func checkDiffs(t *testing.T, cases map[string]diffCase) {
	t.Helper()
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			plan := cases[name].planned(t)
			if diff := cmp.Diff(append([]string{}, cases[name].want...), briefly(plan)); diff != "" {
				t.Errorf("the changes differ (-want +got):\n%s", diff)
			}
			if len(plan.Changes) > 0 {
				all.WriteString("# " + name + "\n" + rendered(plan) + "\n")
			}
		})
	}
	golden(t, all.String())
}

// golden compares with testdata/diff/TEST.golden.
func golden(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("testdata", "diff", t.Name()+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func TestDiffWhole(t *testing.T) {
	checkDiffs(t, map[string]diffCase{
		"a bare host is made from the bottom up": {bare: true, want: []string{
			"create pool/zp1", "create dataset/zp1/data", "create dataset/zp1/wal", "create basebackup//data/pg", "create wal//arch/wal",
			"create conf/standby", "start standby/standby", "create snapshot/zr-20261123T120000Z"}},
		"a converged host needs nothing": {want: nil},
	})
}

func TestEveryChangeOfTheFileHasItsLine(t *testing.T) {
	for _, c := range (diffCase{bare: true}).planned(t).Changes {
		if c.File != "site.yaml" || c.Line == 0 {
			t.Errorf("%s %s/%s points at %s:%d", c.Action, c.Kind, c.Name, c.File, c.Line)
		}
	}
}

func TestNextMoment(t *testing.T) {
	every, horizon := "every: 1h", "dir: /arch/wal"
	at := func(p Plan) string {
		if p.Next == nil {
			return "never"
		}
		return p.Next.Format("15:04")
	}
	tests := map[string]struct {
		diffCase
		want string
	}{
		"the schedule":                          {diffCase{}, "12:30"},
		"a cron schedule":                       {diffCase{edits: []string{every, `schedule: "15 13 * * *"`}}, "13:15"},
		"one that is due now counts anew":       {diffCase{edits: []string{every, "every: 15m"}}, "12:15"},
		"a snapshot becomes a single point":     {diffCase{edits: []string{horizon, horizon + "\n  continuousFor: 40m"}}, "12:10"},
		"a promoted standby takes no snapshots": {diffCase{from: func(_ testing.TB, s *State) { s.Cluster.Status.InRecovery = false }}, "never"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := at(test.planned(t)); got != test.want {
				t.Errorf("next is %s, want %s", got, test.want)
			}
		})
	}
}

func TestNextMomentOfARestore(t *testing.T) {
	site := givenSite(t, "retention: {last: 2}\n", `retention: {last: 2}
restores:
  - {name: r, target: {latest: true}, port: 1923, expiresAfter: 20m}
`)
	state := converged(t, site)
	addClone(&state, site, "r", markMadeAt, FormatTime(ago(15*time.Minute)))
	if next := givenView(site, &state).next(); !next.Equal(givenNow.Add(5 * time.Minute)) {
		t.Errorf("next is %s, and the restore expires in five minutes", next)
	}
}
