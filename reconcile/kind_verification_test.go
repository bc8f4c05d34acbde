package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// drilled is a host whose last drill, of a snapshot that is gone, was then.
func drilled(state *State, at time.Time, outcome string) {
	change(state, state.Cluster.Dataset, local(markLastDrill, FormatTime(at)+" "+outcome+" zr-gone"))
}

// addDrill puts in the clone of a drill.
func addDrill(state *State, site *spec.Site, is string) string {
	name := site.Pool.Name + "/zreconcile/" + site.Name + "/" + drillName
	addDataset(state, name, nil)
	change(state, name, local(markSite, site.Name, markFormat, marksFormat, markRestore, drillName, markState, is, markBaseRedo, lsn(91).String()))
	d := *dataset(state, name)
	state.Drills = append(state.Drills, Clone{Restore: drillName, Dataset: d, Marks: localMarks(d.Properties)})
	return name
}

const (
	newestGiven = "zr-20261123T113000Z" // the snapshot of a fulfilled host
	dueGiven    = "zr-20261123T120000Z" // the one that is due now, where it is gone
)

func TestDiffVerification(t *testing.T) {
	daily := []string{"snapshots:\n", "verify: {every: 1d, amcheck: true, checksums: true, queries: [{sql: select 1, expect: 1}]}\nsnapshots:\n"}
	nightly := []string{"snapshots:\n", "verify: {schedule: \"30 4 * * *\"}\nsnapshots:\n"}
	only := Only{kindVerification}
	made := []string{"create verification/" + newestGiven}
	leftover := "zp1/zreconcile/s1/" + drillName
	never := func(s *State) { delete(dataset(s, "zp1/data").Properties, markLastDrill) }
	with := func(f func(s *State)) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { never(s); f(s) }
	}
	at := func(d time.Duration) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { drilled(s, ago(d), verdictOK) }
	}
	marked := func(mark string) func(testing.TB, *State) {
		return with(func(s *State) { change(s, "zp1/data", local(markLastDrill, mark)) })
	}
	checkDiffs(t, map[string]diffCase{
		"not asked for":                {only: only},
		"the first":                    {only: only, edits: daily, from: with(func(*State) {}), want: made},
		"not due yet":                  {only: only, edits: daily, from: at(23 * time.Hour)},
		"due":                          {only: only, edits: daily, from: at(25 * time.Hour), want: made},
		"one made up for many missed":  {only: only, edits: daily, from: at(300 * time.Hour), want: made},
		"by the calendar, not due":     {only: only, edits: nightly, from: at(7 * time.Hour)},
		"by the calendar, due":         {only: only, edits: nightly, from: at(8 * time.Hour), want: made},
		"a failed one counts":          {only: only, edits: daily, from: with(func(s *State) { drilled(s, ago(time.Hour), verdictFailed) })},
		"a clock that was set wrong":   {only: only, edits: daily, from: at(-time.Hour)},
		"of the snapshot of this plan": {only: Only{kindSnapshot, kindVerification}, edits: daily, from: with(func(s *State) { s.ZFS.Snapshots = nil }), want: []string{"create snapshot/" + dueGiven, "create verification/" + dueGiven}},
		"without the snapshot of this plan": {only: only, edits: daily, from: with(func(s *State) {
			snapshot(s, newestGiven).Properties[markTakenAt] = zfs.Value{Value: FormatTime(ago(5 * time.Hour)), Source: "local"}
		}), want: made},
		"there is no snapshot": {only: only, edits: daily, from: with(func(s *State) { s.ZFS.Snapshots = nil })},
		"the snapshot is another cluster's": {only: only, edits: daily, from: with(func(s *State) {
			snapshot(s, newestGiven).Properties[markSystemID] = zfs.Value{Value: foreignID, Source: "local"}
		})},
		"the snapshot is not complete": {only: only, edits: daily, from: with(func(s *State) { delete(snapshot(s, newestGiven).Properties, markConsistent) })},
		"the snapshot is completed before": {only: Only{kindSnapshot, kindVerification}, edits: daily, from: with(func(s *State) { delete(snapshot(s, newestGiven).Properties, markConsistent) }),
			want: []string{"update snapshot/" + newestGiven, "create verification/" + newestGiven}},

		"the stamp of the snapshot alone counts": {only: only, edits: daily, from: with(func(s *State) {
			for k, v := range local(markVerifiedAt, FormatTime(ago(time.Hour)), markVerified, verdictOK) {
				snapshot(s, newestGiven).Properties[k] = v
			}
		})},
		"of two marks the newer counts": {only: only, edits: daily, from: func(_ testing.TB, s *State) {
			drilled(s, ago(time.Hour), verdictOK)
			for k, v := range local(markVerifiedAt, FormatTime(ago(30*time.Hour)), markVerified, verdictOK) {
				snapshot(s, newestGiven).Properties[k] = v
			}
		}},
		// pitfall 54
		"an inherited stamp counts not": {only: only, edits: daily, want: made, from: with(func(s *State) {
			for k, v := range inherited("zp1/data", markVerifiedAt, FormatTime(ago(time.Hour)), markVerified, verdictOK) {
				snapshot(s, newestGiven).Properties[k] = v
			}
		})},
		"an inherited mark counts not": {only: only, edits: daily, want: made, from: with(func(s *State) {
			change(s, "zp1/data", inherited("zp1", markLastDrill, FormatTime(ago(time.Hour))+" ok zr-gone"))
		})},
		"a stamp without a known outcome counts not": {only: only, edits: daily, want: made, from: with(func(s *State) {
			for k, v := range local(markVerifiedAt, FormatTime(ago(time.Hour)), markVerified, "perhaps") {
				snapshot(s, newestGiven).Properties[k] = v
			}
		})},
		"a mark of another form counts not": {only: only, edits: daily, want: made, from: marked("yesterday ok zr-gone")},
		"a mark without an outcome neither": {only: only, edits: daily, want: made, from: marked(FormatTime(ago(time.Hour)) + " perhaps zr-gone")},
		"a mark with too little neither":    {only: only, edits: daily, want: made, from: marked(FormatTime(ago(time.Hour)) + " ok")},
		"the mark of a later format neither": {only: only, edits: daily, want: made, from: with(func(s *State) {
			change(s, "zp1/data", local(markFormat, "2"))
			drilled(s, ago(time.Hour), verdictOK)
		})},

		"a promoted standby pauses it":                           {only: only, edits: daily, from: with(func(s *State) { s.Cluster.Status.InRecovery = false })},
		"so does an unknown cluster":                             {only: only, edits: daily, from: with(func(s *State) { s.failCluster(errTest) })},
		"and what is left of drills":                             {only: only, edits: daily, from: with(func(s *State) { addDrill(s, givenSite(t), stateMaking); s.fail(kindVerification, errTest) })},
		"a restore that fails does not":                          {only: only, edits: daily, want: made, from: with(func(s *State) { s.fail(kindRestore, errTest) })},
		"neither does a stopped standby":                         {only: only, edits: daily, want: made, from: with(func(s *State) { s.Cluster.Status, s.Cluster.Process = nil, postgres.Process{} })},
		"below keepFree":                                         {only: only, edits: daily, want: []string{"block verification/" + newestGiven}, from: with(func(s *State) { s.ZFS.Pool.Free = 4 << 30 })},
		"its dataset is another's":                               {only: only, edits: daily, want: []string{"block verification/" + newestGiven}, from: with(func(s *State) { addDataset(s, leftover, nil) })},
		"what a killed one left goes, whether or not one is due": {only: only, want: []string{"delete verification/" + leftover}, from: with(func(s *State) { addDrill(s, givenSite(t), stateMaking) })},
		"and before the next":                                    {only: only, edits: daily, want: []string{"delete verification/" + leftover, "create verification/" + newestGiven}, from: with(func(s *State) { addDrill(s, givenSite(t), stateMaking) })},
		"what somebody made of it stays": {only: only, edits: daily, want: []string{"block verification/" + leftover, "block verification/" + newestGiven}, from: with(func(s *State) {
			addDrill(s, givenSite(t), stateMaking)
			addStranger(s, leftover, "precious", nil)
		})},
		"a kept one stays until the next":  {only: only, edits: daily, from: func(_ testing.TB, s *State) { addDrill(s, givenSite(t), stateKept) }},
		"a kept one is no reason for none": {only: only, edits: daily, want: made, from: with(func(s *State) { addDrill(s, givenSite(t), stateKept) })},
	})
}

func TestNextCountsTheNextDrill(t *testing.T) {
	site := givenSite(t, "every: 1h", "every: 9d", "snapshots:\n", "verify: {every: 1d}\nsnapshots:\n")
	state := converged(t, site)
	drilled(&state, ago(20*time.Hour), verdictOK)
	if plan := Diff(site, state, givenNow, nil); plan.Next == nil || !plan.Next.Equal(givenNow.Add(4*time.Hour)) {
		t.Errorf("next is %v", plan.Next)
	}
	state.Cluster.Status.InRecovery = false
	if plan := Diff(site, state, givenNow, nil); plan.Next != nil {
		t.Errorf("of a promoted standby, next is %v", plan.Next)
	}
}

// The WAL of a drill at work stays; a kept clone does not replay any more.
func TestDrillNeedsItsWAL(t *testing.T) {
	site := givenSite(t)
	for is, want := range map[string]bool{stateMaking: true, stateKept: false} {
		state := converged(t, site)
		addDrill(&state, site, is)
		needs := givenView(site, &state).neededWAL()
		if got := slices.ContainsFunc(needs, func(n need) bool { return n.from == lsn(91) && n.to == 0 && n.who == "a restore drill" }); got != want {
			t.Errorf("%s: needed %v, want %v: %+v", is, got, want, needs)
		}
	}
}

func TestKeptDrillIsNoted(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	name := addDrill(&state, site, stateKept)
	if plan := Diff(site, state, givenNow, nil); !plan.Converged || len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], name) {
		t.Errorf("notes %q, %s", plan.Notes, rendered(plan))
	}
}

// The clone of a drill can't be mistaken for a restore, harms nobody, and takes
// what restoreDefaults say.
func TestDrillEntry(t *testing.T) {
	site := givenSite(t, "snapshots:\n", "restoreDefaults: {conf: {set: {FSYNC: \"on\", work_mem: 8MB}}, properties: {refquota: 50G}}\nsnapshots:\n")
	state := converged(t, site)
	r := givenView(site, &state).drillEntry("zr-x")
	settings := map[string]string{}
	for _, s := range r.Conf {
		settings[strings.ToLower(s.Name)] = s.Value
	}
	want := map[string]string{"fsync": "on", "work_mem": "8MB", "shared_buffers": "256MB", "autovacuum": "off"}
	if diff := cmp.Diff(want, settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if r.Name != drillName || r.Dataset != "zp1/zreconcile/s1/:drill" || r.ListenAddresses != "" || r.HBA == nil || len(r.HBA) > 0 ||
		r.Action != "promote" || r.Mountpoint != "" || len(r.Properties) != 1 || r.Target != (spec.Target{Snapshot: "zr-x"}) {
		t.Errorf("the entry is %+v", r)
	}
	files, err := givenView(site, &state).cloneConf(r, StopPoint{LSN: 1, Timeline: 1}, 15, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := effective(files.files[managedFile])
	for name, value := range map[string]string{"listen_addresses": "", "archive_mode": "off", "primary_conninfo": "", "unix_socket_directories": "/run/zreconcile/s1/:drill"} {
		if v, set := got[name]; !set || v != value {
			t.Errorf("%s is %q, want %q", name, v, value)
		}
	}
	change(&state, "zp1", local("mountpoint", "none"))
	if r := givenView(site, &state).drillEntry("zr-x"); r.Mountpoint != "/run/zreconcile/s1/:drill-data" {
		t.Errorf("below a dataset that is not mounted it is mounted at %q", r.Mountpoint)
	}
}

func TestFindingsFitIntoAMark(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := rapid.SliceOfN(rapid.StringN(0, 600, -1), 0, 20).Draw(rt, "findings")
		mark := findingsText(given)
		if len(mark) > longestFindings || strings.ContainsAny(mark, "\n\t") {
			rt.Fatalf("no mark: %q", mark)
		}
		got := parseFindings(mark)
		if len(given) > 0 && len(got) == 0 {
			rt.Fatal("all findings were left out")
		}
		for i, f := range got {
			if left := len(given) - i; f == fmt.Sprintf("and %d more", left) && i == len(got)-1 {
				break
			}
			if f != shortened(given[i], longestFinding) {
				rt.Fatalf("finding %d is %q, was %q", i, f, given[i])
			}
		}
	})
}

func TestParseFindings(t *testing.T) {
	for mark, want := range map[string][]string{
		"": {}, "[]": {}, `["a < b","c"]`: {"a < b", "c"}, "by hand": {"by hand"},
	} {
		if diff := cmp.Diff(want, parseFindings(mark)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", mark, diff)
		}
	}
}

// What the host is to blame for says nothing about a snapshot.
func TestNoVerdict(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		ctx  context.Context
		err  error
		want bool
	}{
		{t.Context(), errors.New("the snapshot is consistent only from 0/1 on"), false},
		{t.Context(), &postgres.StartError{LastWords: "PANIC:  could not locate a valid checkpoint record"}, false},
		{t.Context(), &postgres.StartError{LastWords: "FATAL:  could not write lock file: No space left on device"}, true},
		{t.Context(), fmt.Errorf("making the clone harmless: %w", syscall.ENOSPC), true},
		{t.Context(), fmt.Errorf("cloning: %w", &zfs.Error{Kind: zfs.ErrBusy}), true},
		{t.Context(), hostError{errors.New("the server programs of PostgreSQL 12 were not found")}, true},
		{over, errors.New("it was killed"), true},
	}
	for _, test := range tests {
		if got := noVerdict(test.ctx, test.err); got != test.want {
			t.Errorf("%v: no verdict %v, want %v", test.err, got, test.want)
		}
	}
}

func TestFailureNamesWhatFailedFirst(t *testing.T) {
	d := Drill{Snapshot: "zr-x", Checks: []Check{
		{Name: "collations", OK: true, Findings: []string{"another version"}},
		{Name: "amcheck", Findings: []string{"a", "b", "c", "d"}},
	}}
	want := "the restore drill of zr-x failed: amcheck: a; amcheck: b; amcheck: c; and 2 more: zreconcile status -o json"
	if got := d.failure().Error(); got != want {
		t.Errorf("got %q", got)
	}
	d.OK = true
	if d.failure() != nil {
		t.Error("a good drill is a failure")
	}
}
