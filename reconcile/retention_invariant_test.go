package reconcile

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// The host of the retention invariant: WAL of one to three timelines up to
// segment invariantEnd, a minute each, and the snapshots, restores and copies of
// WAL that a draw puts on it.
const (
	invariantEnd = 60
	perSegment   = time.Minute
)

// timeAt is when a place of the WAL was written.
func timeAt(at wal.LSN) time.Time {
	return ago(time.Duration(float64(lsn(invariantEnd)-at) / givenSegment * float64(perSegment)))
}

// drawRetention draws a file with a tight retention.
func drawRetention(t testing.TB, rt *rapid.T) *spec.Site {
	edits := []string{"last: 2", fmt.Sprintf("last: %d", rapid.IntRange(1, 4).Draw(rt, "last"))}
	if rapid.Bool().Draw(rt, "continuousFor") {
		edits = append(edits, "dir: /arch/wal", fmt.Sprintf("dir: /arch/wal\n  continuousFor: %dm", rapid.IntRange(1, invariantEnd).Draw(rt, "minutes")))
	}
	edits = append(edits, "snapshots:", "restores: [{name: wanted, port: 1923, target: {latest: true}}]\nsnapshots:")
	return givenSite(t, edits...)
}

// drawPath draws the way to the standby's timeline, and writes its history files.
func drawPath(rt *rapid.T, dir string) wal.Path {
	var history []wal.HistoryEntry
	var text string
	for at, timeline := wal.LSN(0), wal.Timeline(1); int(timeline) < rapid.IntRange(1, 3).Draw(rt, "timelines"); timeline++ {
		at = max(at+1, lsn(rapid.IntRange(5, 50).Draw(rt, "switch"))+wal.LSN(rapid.IntRange(0, 3).Draw(rt, "in the segment")*givenSegment/4))
		history = append(history, wal.HistoryEntry{Timeline: timeline, SwitchAt: at})
		text += fmt.Sprintf("%d\t%s\tno recovery target specified\n", timeline, at)
		if err := os.WriteFile(filepath.Join(dir, wal.HistoryName(timeline+1)), []byte(text), 0o600); err != nil {
			rt.Fatal(err)
		}
	}
	return wal.PathOf(wal.Timeline(len(history)+1), history)
}

// drawFiles draws segments: those of each timeline, behind the switch away from
// it as well, but for holes.
func drawFiles(rt *rapid.T, path wal.Path, first, last int) []wal.SegmentFile {
	holes := rapid.SliceOfN(rapid.IntRange(1, invariantEnd), 0, 3).Draw(rt, "holes")
	var files []wal.SegmentFile
	for _, step := range path {
		end := last
		if step.To != 0 {
			end = min(last, int(step.To/givenSegment)+rapid.IntRange(0, 4).Draw(rt, "abandoned"))
		}
		for _, s := range segments(step.Timeline, max(first, int(step.From/givenSegment)), end) {
			if !slices.Contains(holes, int(s.Number)) {
				files = append(files, s)
			}
		}
	}
	return files
}

// drawArchive draws what the archive and the live pg_wal hold. The archiver is
// done with all but the last segment.
func drawArchive(rt *rapid.T, state *State, dir string) {
	path := drawPath(rt, dir)
	inv, err := wal.List(dir, givenSegment)
	if err != nil {
		rt.Fatal(err)
	}
	inv.Segments = drawFiles(rt, path, 1, invariantEnd-1)
	if n := len(inv.Segments); n > 0 && rapid.Bool().Draw(rt, "damaged") {
		bad := rapid.IntRange(0, n-1).Draw(rt, "which")
		inv.Damaged = []wal.SegmentFile{inv.Segments[bad]}
		inv.Damaged[0].Size = 7
		inv.Segments = slices.Delete(inv.Segments, bad, bad+1)
	}
	for range rapid.IntRange(0, 2).Draw(rt, "aside") {
		s := wal.Segment{Timeline: 1, Number: uint64(rapid.IntRange(1, invariantEnd).Draw(rt, "which"))}
		inv.Aside = append(inv.Aside, wal.AsideFile{Segment: s, Name: s.Name(givenSegment) + ".damaged-1", Size: givenSegment})
	}
	a := &state.Archive
	a.Path, a.Inventory = path, inv
	redo := rapid.IntRange(invariantEnd-8, invariantEnd-1).Draw(rt, "the standby's redo")
	a.Live.Segments = drawFiles(rt, path, rapid.IntRange(1, redo).Draw(rt, "live from"), invariantEnd)
	standby := path[len(path)-1].Timeline
	state.Cluster.Control.RedoLSN, state.Cluster.Control.MinRecoveryPoint = lsn(redo), lsn(invariantEnd-1)
	state.Cluster.Control.Timeline, state.Cluster.Control.MinRecoveryTimeline = standby, standby
	s := state.Cluster.Status
	s.Timeline, s.Received, s.Replayed, s.ReceiverLatestEnd = standby, lsn(invariantEnd), lsn(invariantEnd), lsn(invariantEnd)
}

// observed is the part of an observation that follows from what is there.
func observed(in *view) {
	a, done := &in.state.Archive, map[string]bool{}
	for _, s := range a.Live.Segments {
		done[s.Name(givenSegment)] = true
	}
	a.Unpushed = unpushed(a.Inventory, a.Live, done, in.walFloor(), lsn(invariantEnd), givenSegment)
}

// drawTimeline puts in snapshots in the order of WAL, of the standby's path and
// of what was left of it.
func drawTimeline(rt *rapid.T, site *spec.Site, state *State) {
	state.ZFS.Snapshots = nil
	quarters := 4 * rapid.IntRange(1, 10).Draw(rt, "first redo")
	path := state.Archive.Path
	for range rapid.IntRange(1, 7).Draw(rt, "snapshots") {
		quarter := func(n int) wal.LSN { return wal.LSN(n) * givenSegment / 4 }
		consistent := quarters + rapid.IntRange(0, 9).Draw(rt, "to consistent")
		replayed := consistent + rapid.IntRange(0, 3).Draw(rt, "to replayed")
		if replayed >= 4*(invariantEnd-1) {
			return
		}
		timeline := path.TimelineAt(quarter(consistent))
		if timeline > 1 && rapid.IntRange(0, 3).Draw(rt, "on the branch that was left") == 0 {
			timeline--
		}
		name := addSnapshot(state, site, timeAt(quarter(replayed)).Truncate(time.Second).Add(time.Duration(len(state.ZFS.Snapshots))*time.Second), 0)
		snap := snapshot(state, name)
		set := func(mark, value string) { snap.Properties[mark] = zfs.Value{Value: value, Source: "local"} }
		set(markRedo, quarter(quarters).String())
		set(markConsistent, quarter(consistent).String())
		set(markReplayed, quarter(replayed).String())
		set(markTimeline, fmt.Sprint(timeline))
		set(markEarliestAt, FormatTime(timeAt(quarter(consistent))))
		if back := rapid.IntRange(-1, 8).Draw(rt, "its pg_wal goes back"); back >= 0 {
			set(markWALFrom, wal.SegmentAt(1, quarter(max(4, quarters-4*back)), givenSegment).Start(givenSegment).String())
		}
		switch rapid.IntRange(0, 11).Draw(rt, "fate") {
		case 0:
			snap.UserRefs = 1
		case 1:
			snap.Clones = 1
		case 2:
			delete(snap.Properties, markConsistent)
		}
		quarters += rapid.IntRange(0, 40).Draw(rt, "to the next")
	}
}

// drawRestores puts in restores that are there, and one that is to be made.
func drawRestores(rt *rapid.T, in *view) {
	list := usable(in)
	if len(list) == 0 {
		return
	}
	pick := func() Snapshot { return list[rapid.IntRange(0, len(list)-1).Draw(rt, "base")] }
	if rapid.Bool().Draw(rt, "ready") {
		base := pick()
		stop := base.Consistent + lsn(rapid.IntRange(0, 9).Draw(rt, "to the stop"))
		addClone(in.state, in.site, "ready", markBaseRedo, base.Redo.String(), markStop, fmt.Sprintf("%d %s after", base.Timeline, stop), markKeep, "on")
	}
	if rapid.IntRange(0, 3).Draw(rt, "unfinished") == 0 {
		addClone(in.state, in.site, "unfinished", markBaseRedo, pick().Redo.String(), markState, stateMaking, markKeep, "on")
	}
	if rapid.IntRange(0, 3).Draw(rt, "wanted") == 0 {
		in.state.Resolved["wanted"] = Resolution{Base: pick()}
	} else {
		in.state.Resolved["wanted"] = Resolution{Refused: "not now"}
	}
}

// applied does to the state what an apply of the healing, the retention and the
// removal of WAL does to a host.
func applied(in *view) (removed removal) {
	a := &in.state.Archive
	heal := in.healing()
	for _, s := range heal.aside {
		a.Inventory.Damaged = slices.DeleteFunc(a.Inventory.Damaged, func(d wal.SegmentFile) bool { return d.Segment == s })
		a.Inventory.Aside = append(a.Inventory.Aside, wal.AsideFile{Segment: s, Name: s.Name(givenSegment) + ".damaged-1"})
		if !slices.Contains(heal.live, s) && !heal.fetches(s) { // the archiver brings it
			heal.live = append(heal.live, s)
		}
	}
	add := func(s wal.Segment) {
		a.Inventory.Segments = append(a.Inventory.Segments, wal.SegmentFile{Segment: s, Size: givenSegment})
	}
	for _, s := range heal.live {
		add(s)
	}
	for _, run := range heal.held {
		for s := run.first; s.Number <= run.last.Number; s.Number++ {
			add(s)
		}
	}
	slices.SortFunc(a.Inventory.Segments, func(x, y wal.SegmentFile) int {
		return int(x.Timeline)*1000 + int(x.Number) - int(y.Timeline)*1000 - int(y.Number)
	})
	going := map[string]bool{}
	for _, c := range diffRetention(in) {
		going[c.Name] = true
	}
	in.state.ZFS.Snapshots = slices.DeleteFunc(in.state.ZFS.Snapshots, func(s zfs.Snapshot) bool { return going[s.Name] })
	in.retained = true
	if len(diffWALRemoval(in)) > 0 {
		removed = unneeded(a.Inventory, in.neededWAL(), givenSegment)
	}
	gone := removed.names(givenSegment)
	a.Inventory.Segments = slices.DeleteFunc(a.Inventory.Segments, func(s wal.SegmentFile) bool { return slices.Contains(gone, s.Name(givenSegment)) })
	a.Inventory.Damaged = slices.DeleteFunc(a.Inventory.Damaged, func(s wal.SegmentFile) bool { return slices.Contains(gone, s.Name(givenSegment)) })
	a.Inventory.Aside = slices.DeleteFunc(a.Inventory.Aside, func(s wal.AsideFile) bool { return slices.Contains(gone, s.Name) })
	in.retained = false
	observed(in)
	return removed
}

// served is how far each snapshot leads on, by name; one that is no base is absent.
func served(in *view) map[string]wal.LSN {
	list := ours(in.site, in.state)
	spans := in.spans(in.state.Archive.Path, list)
	ends := map[string]wal.LSN{}
	for i := len(spans) - 1; i >= 0; i-- {
		switch {
		case !spans[i].base:
		case spans[i].joins > i:
			ends[list[i].Name] = ends[list[spans[i].joins].Name]
		default:
			ends[list[i].Name] = spans[i].end
		}
	}
	return ends
}

// drawInvariantHost draws all of it.
func drawInvariantHost(t *testing.T, rt *rapid.T) *view {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		rt.Fatal(err)
	}
	site := drawRetention(t, rt)
	state := converged(t, site)
	drawArchive(rt, &state, dir)
	drawTimeline(rt, site, &state)
	in := givenView(site, &state)
	drawRestores(rt, in)
	observed(in)
	return in
}

// Retention invariant: each moment that a kept snapshot leads to before a prune
// can be had after it. What continuousFor gives up is only what lies before the
// snapshot that it counts from: an older one still leads as far as it was
// replayed when it was taken. Pitfalls 3, 12, 16, 20.
func TestRetentionInvariant(t *testing.T) {
	removals, points, timelines := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		in := drawInvariantHost(t, rt)
		before := served(in)
		base, bounded := in.continuousBase(in.keptSnapshots())
		removed := applied(in)
		after := served(in)
		if len(removed.segments) > 0 {
			removals++
			timelines += len(in.state.Archive.Path) - 1
		}
		for _, s := range ours(in.site, in.state) {
			was, wasBase := before[s.Name]
			end, isBase := after[s.Name]
			want := was
			if bounded && in.isPoint(s, base) {
				want = min(was, max(s.Consistent, s.Replayed))
				points++
			}
			if wasBase && (!isBase || end < want) {
				rt.Fatalf("%s (timeline %d, redo %s, consistent %s) led to %s, and now to %s (%v); removed %v", s.Name, s.Timeline, s.Redo, s.Consistent, was, end, isBase, removed.names(givenSegment))
			}
		}
	})
	if removals == 0 || points == 0 || timelines == 0 {
		t.Errorf("too little was tried: %d removals, %d single points, %d switches", removals, points, timelines)
	}
}

// Nothing goes that a restore, the standby or the base of a snapshot needs, along
// the timelines that each goes along.
func TestRemovalLeavesWhatIsNeeded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := drawInvariantHost(t, rt)
		removed := applied(in)
		intact := func(who string, timeline wal.Timeline, from, to wal.LSN) {
			for _, s := range removed.segments {
				if s.Start(givenSegment) < to && s.End(givenSegment) > from && leadsTo(in.state.Archive.Path, timeline, s.Segment) {
					rt.Fatalf("%s needs %s to %s of timeline %d, and %d:%d is removed", who, from, to, timeline, s.Timeline, s.Number)
				}
			}
		}
		main := in.timeline()
		intact("the standby", main, in.state.Cluster.Control.RedoLSN, math.MaxInt64)
		for _, s := range ours(in.site, in.state) {
			intact(s.Name, s.Timeline, s.Redo, max(s.Consistent, s.Replayed))
		}
		for _, c := range in.state.Clones {
			stop, ok := parseStop(c.Marks)
			if !ok {
				stop = StopPoint{LSN: math.MaxInt64, Timeline: main}
			}
			intact(c.Restore, stop.Timeline, c.Marks.lsn(markBaseRedo), stop.LSN)
		}
		if r := in.state.Resolved["wanted"]; r.Base.Name != "" {
			intact("wanted", main, r.Base.Redo, math.MaxInt64)
		}
	})
}

// leadsTo is true of a segment whose timeline is that one, or one of its
// ancestors up to where that was left. The path holds all timelines there are.
func leadsTo(path wal.Path, timeline wal.Timeline, s wal.Segment) bool {
	for _, step := range path {
		if step.Timeline == s.Timeline {
			return s.Timeline == timeline || s.Timeline < timeline && s.Start(givenSegment) < step.To
		}
	}
	return false
}

// What is left has a reason, and a second apply has nothing to do: what was
// removed is not brought back, and what was brought is not removed.
func TestPruneIsDoneOnce(t *testing.T) {
	healed := 0
	rapid.Check(t, func(rt *rapid.T) {
		in := drawInvariantHost(t, rt)
		healed += len(diffHealing(in))
		applied(in)
		for _, stage := range []func(*view) []Change{diffHealing, diffRetention, diffWALRemoval} {
			if left := stage(in); len(left) > 0 {
				rt.Fatalf("the second time there is still: %+v", left)
			}
		}
		for _, run := range keepsOf(in.state.Archive.Inventory.Segments, in.neededWAL(), givenSegment) {
			if len(run.Who) == 0 {
				rt.Fatalf("nobody needs %+v", run)
			}
		}
		abandonedGo(rt, in)
	})
	if healed == 0 {
		t.Error("nothing was ever healed")
	}
}

// abandonedGo: WAL behind the switch away from a timeline is there only while a
// snapshot or a restore may lead to it.
func abandonedGo(rt *rapid.T, in *view) {
	for _, n := range in.neededWAL() {
		if len(n.lines.paths) == 0 {
			return // it may go along any timeline
		}
	}
	for _, step := range in.state.Archive.Path {
		used := step.To == 0
		for _, s := range ours(in.site, in.state) {
			used = used || s.Timeline == step.Timeline
		}
		for _, c := range in.state.Clones {
			stop, _ := parseStop(c.Marks)
			used = used || stop.Timeline == step.Timeline
		}
		for _, s := range in.state.Archive.Inventory.Segments {
			if !used && s.Timeline == step.Timeline && s.Start(givenSegment) > step.To {
				rt.Fatalf("segment %d of timeline %d, which was left at %s, is kept for nobody", s.Number, s.Timeline, step.To)
			}
		}
	}
}
