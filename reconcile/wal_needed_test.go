package reconcile

import (
	"fmt"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/zfs"
)

// archived is a host whose archive holds segments 10 to 109, whose standby
// needs WAL from 100 on, and whose snapshots are those of redo 60, 70, 80 (3,
// 2 and half an hour old).
func archived(t testing.TB, edits ...string) (*view, *State) {
	site := givenSite(t, append([]string{"last: 2", "last: 3"}, edits...)...)
	state := converged(t, site)
	state.ZFS.Snapshots = nil
	addSnapshot(&state, site, ago(3*time.Hour), 60)
	addSnapshot(&state, site, ago(2*time.Hour), 70)
	addSnapshot(&state, site, ago(30*time.Minute), 80)
	state.Archive.Inventory.Segments = segments(1, 10, 109)
	return givenView(site, &state), &state
}

const (
	oldest = "zr-20261123T090000Z" // redo 60
	older  = "zr-20261123T100000Z" // redo 70
)

// left is what a WAL removal leaves of the archive, as runs.
func left(in *view) string {
	if len(diffWALRemoval(in)) == 0 {
		return "all"
	}
	gone := map[wal.Segment]bool{}
	for _, s := range unneeded(in.state.Archive.Inventory, in.neededWAL(), in.segmentSize()).segments {
		gone[s.Segment] = true
	}
	var rest wal.Inventory
	for _, s := range in.state.Archive.Inventory.Segments {
		if !gone[s.Segment] {
			rest.Segments = append(rest.Segments, s)
		}
	}
	text := ""
	for _, r := range rest.Ranges() {
		text += fmt.Sprintf(" %d:%d-%d", r.Timeline, r.From.Number, r.To.Number)
	}
	return text[1:]
}

func TestWALRemoval(t *testing.T) {
	const continuous = "dir: /arch/wal"
	mark := func(s *State, name, mark, value string) {
		snapshot(s, name).Properties[mark] = zfs.Value{Value: value, Source: "local"}
	}
	tests := map[string]struct {
		edits []string
		from  func(*view, *State)
		want  string
	}{
		"from the oldest snapshot's redo on":            {want: "1:60-109"},
		"a snapshot that this plan destroys needs none": {edits: []string{"last: 3", "last: 2"}, want: "1:70-109"},
		"but one that retention could not destroy":      {edits: []string{"last: 3", "last: 2"}, want: "1:60-109", from: func(in *view, _ *State) { in.retained = true }},
		"or one that --only leaves alone":               {edits: []string{"last: 3", "last: 2"}, want: "1:60-109", from: func(in *view, _ *State) { in.only = Only{kindWAL} }},
		"or one with a hold":                            {edits: []string{"last: 3", "last: 2"}, want: "1:60-109", from: func(_ *view, s *State) { snapshot(s, oldest).UserRefs = 1 }},
		"the standby's own need":                        {want: "1:40-109", from: func(_ *view, s *State) { s.Cluster.Control.RedoLSN = lsn(40) }},
		"all while the standby has a backup_label":      {want: "all", from: func(_ *view, s *State) { s.Cluster.BackupLabel = true }},
		"redo within a segment keeps it":                {want: "1:59-109", from: func(_ *view, s *State) { mark(s, oldest, markRedo, (lsn(60) - 1).String()) }},
		// Redo 60 is consistent at 61; the segment that ends there, and one more.
		"older than continuousFor are single points":    {edits: []string{continuous, continuous + "\n  continuousFor: 1h"}, want: "1:60-62 1:70-109"},
		"the newest before continuousFor is part of it": {edits: []string{continuous, continuous + "\n  continuousFor: 150m"}, want: "1:60-109"},
		"continuousFor with a snapshot that is not complete": {edits: []string{continuous, continuous + "\n  continuousFor: 1h"}, want: "1:60-109",
			from: func(_ *view, s *State) { delete(snapshot(s, oldest).Properties, markConsistent) }},
		"a restore, from its base to its stop": {want: "1:20-31 1:60-109", from: func(in *view, s *State) {
			addClone(s, in.site, "r", markBaseRedo, lsn(20).String(), markStop, "1 "+lsn(30).String()+" after")
		}},
		"a restore that was left unfinished, without end": {want: "1:20-109", from: func(in *view, s *State) {
			addClone(s, in.site, "r", markBaseRedo, lsn(20).String(), markStop, "1 "+lsn(30).String()+" after")
			s.Clones[0].Marks[markState] = stateMaking
		}},
		"a restore whose base is not known": {want: "all", from: func(in *view, s *State) { addClone(s, in.site, "r") }},
		"a restore whose base is not known, and whose stop is": {want: "all", from: func(in *view, s *State) {
			addClone(s, in.site, "r", markStop, "1 "+lsn(30).String()+" after")
		}},
		"a restore that is to be made": {edits: []string{"{last: 3}\n", "{last: 3}\nrestores: [{name: r, port: 1923, target: {latest: true}}]\n"}, want: "1:50-109",
			from: func(_ *view, s *State) { s.Resolved["r"] = Resolution{Base: Snapshot{Name: "x", Redo: lsn(50)}} }},
		"snapshots of ours on a dataset that the file left": {want: "1:30-109", from: func(in *view, s *State) {
			name := addSnapshot(s, in.site, ago(9*time.Hour), 30)
			snapshot(s, name).Dataset = "zp1/wal"
		}},
		"those of another site there need none": {want: "1:60-109", from: func(in *view, s *State) {
			name := addSnapshot(s, in.site, ago(9*time.Hour), 30)
			snapshot(s, name).Dataset = "zp1/wal"
			mark(s, name, markSite, "s2")
		}},
		"a snapshot whose redo can't be read": {want: "all", from: func(_ *view, s *State) { mark(s, oldest, markRedo, "?") }},
		"marks of a later format":             {want: "all", from: func(_ *view, s *State) { mark(s, oldest, markFormat, "2") }},
		"a clone with marks of a later format": {want: "all", from: func(_ *view, s *State) {
			addDataset(s, "zp1/x", nil)
			change(s, "zp1/x", local(markSite, "s1", markFormat, "2", markRestore, "r"))
		}},
		"an archive of another database": {want: "all", from: func(_ *view, s *State) { s.Archive.SystemID = 42 }},
		"another site's archive":         {want: "all", from: func(_ *view, s *State) { change(s, "zp1/wal", local(markSite, "s2")) }},
		"a promoted standby":             {want: "all", from: func(_ *view, s *State) { s.Cluster.Status.InRecovery = false }},
		// Both timelines hold WAL below the need, and both lose it; neither loses what is above.
		"other timelines": {want: "1:60-109 2:60-70", from: func(_ *view, s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 10, 109), segments(2, 50, 70)...)
		}},
		// pitfall 51
		"control data that was not read": {want: "all", from: func(_ *view, s *State) { s.Cluster.Control = nil }},
		"an archive that was not read":   {want: "all", from: func(_ *view, s *State) { s.fail(kindWAL, errTest) }},
		"restores that were not read":    {want: "all", from: func(_ *view, s *State) { s.fail(kindRestore, errTest) }},
		"a cluster that was not read":    {want: "all", from: func(_ *view, s *State) { s.failCluster(errTest) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in, state := archived(t, test.edits...)
			if test.from != nil {
				test.from(in, state)
			}
			if got := left(in); got != test.want {
				t.Errorf("left is %s, want %s", got, test.want)
			}
		})
	}
}

func TestDiffWALRemoval(t *testing.T) {
	checkDiffs(t, map[string]diffCase{
		"below every need": {want: []string{"delete wal//arch/wal"}, from: func(_ testing.TB, s *State) { s.Archive.Inventory.Segments = segments(1, 10, 109) }},
		"without snapshots in the file nothing is removed": {edits: []string{"snapshots:\n  every: 1h\n  retention: {last: 2}\n", ""}, from: func(_ testing.TB, s *State) {
			s.Archive.Inventory.Segments = segments(1, 10, 109)
		}},
	})
}

func TestUnneededWithoutNeeds(t *testing.T) {
	if got := unneeded(wal.Inventory{Segments: segments(1, 1, 9)}, nil, givenSegment); got.names(givenSegment) != nil {
		t.Errorf("where nothing is known to need WAL, these go: %v", got)
	}
}

// pitfall 53
func TestFirstNeedOfEquals(t *testing.T) {
	a, b, late := need{from: lsn(1), who: "a"}, need{from: lsn(1), who: "b"}, need{from: lsn(2), who: "0"}
	for _, list := range [][]need{{a, b, late}, {late, b, a}} {
		if got := firstNeed(list); got != "a, from 0/1000000" {
			t.Errorf("the first of %v is %s", list, got)
		}
	}
}

// A damaged file, and one that was set aside, go when a segment of that name
// would, and not before.
func TestDamagedFilesGoWithTheirSegment(t *testing.T) {
	in, state := archived(t)
	inv := &state.Archive.Inventory
	inv.Segments = segments(1, 60, 109)
	inv.Damaged = append(segments(1, 59, 59), segments(1, 60, 60)...)
	for _, s := range append(segments(1, 58, 58), segments(1, 61, 61)...) {
		inv.Aside = append(inv.Aside, wal.AsideFile{Segment: s.Segment, Name: s.Name(givenSegment) + ".damaged-1"})
	}
	got := fmt.Sprint(unneeded(*inv, in.neededWAL(), givenSegment).names(givenSegment))
	if want := "[00000001000000000000003B 00000001000000000000003A.damaged-1]"; got != want {
		t.Errorf("%s go, want %s", got, want)
	}
	if changes := diffWALRemoval(in); len(changes) != 1 || len(changes[0].Attrs) != 2 {
		t.Errorf("the plan is %+v", changes)
	}
}
