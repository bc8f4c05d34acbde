package reconcile

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// drawSite draws a valid file.
func drawSite(t testing.TB, rt *rapid.T) *spec.Site {
	retention := fmt.Sprintf("last: %d, hourly: %d", rapid.IntRange(1, 3).Draw(rt, "last"), rapid.IntRange(0, 3).Draw(rt, "hourly"))
	edits := []string{"last: 2", strings.ReplaceAll(retention, ", hourly: 0", "")}
	option := func(name string, pair ...string) {
		if rapid.Bool().Draw(rt, name) {
			edits = append(edits, pair...)
		}
	}
	option("continuousFor", "dir: /arch/wal", "dir: /arch/wal\n  continuousFor: "+rapid.SampledFrom([]string{"30m", "90m", "5h"}).Draw(rt, "for"))
	option("walDir", "  port: 1922", "  port: 1922\n  walDir: /walds/pg_wal", "  - name: wal", "  - name: walds\n    properties: {mountpoint: /walds}\n  - name: wal")
	option("cron", "every: 1h", `schedule: "15 * * * *"`)
	option("verify", "snapshots:\n", "verify: {every: 3h}\nsnapshots:\n")
	option("mirror", givenDevices, mirrors)
	option("null", "recordsize: 8K", "recordsize: null")
	option("limit", "atime: off", "atime: no\n      quota: none\n      refquota: 50G")
	return givenSite(t, edits...)
}

// drawSnapshots puts in snapshots of ours and of strangers, the later the
// higher in the WAL.
func drawSnapshots(rt *rapid.T, site *spec.Site, s *State) {
	redo := 5
	for i := range rapid.IntRange(0, 6).Draw(rt, "snapshots") {
		redo += rapid.IntRange(0, 15).Draw(rt, "redo")
		name := addSnapshot(s, site, ago(time.Duration(12-i)*37*time.Minute), redo)
		snap := snapshot(s, name)
		set := func(mark, value string) { snap.Properties[mark] = zfs.Value{Value: value, Source: "local"} }
		switch rapid.IntRange(0, 12).Draw(rt, "what") {
		case 0:
			set(markSite, "s2")
		case 1:
			snap.Properties = inherited("zp1", markSite, site.Name, markFormat, marksFormat)
		case 2:
			set(markFormat, "2")
		case 3:
			snap.UserRefs = 1
		case 4:
			snap.Clones = 1
		case 5:
			delete(snap.Properties, markConsistent)
		case 6:
			set(markSystemID, foreignID)
		case 7:
			set(markTakenAt, "2027-01-01T00:00:00.000000Z")
		}
	}
}

// drawClones puts in restores that left the file, one each.
func drawClones(rt *rapid.T, site *spec.Site, s *State) {
	for _, name := range []string{"c", "a", "b"} {
		if !rapid.Bool().Draw(rt, "clone "+name) {
			continue
		}
		from := rapid.IntRange(5, 90).Draw(rt, "from")
		addClone(s, site, name, markBaseRedo, lsn(from).String(), markStop, "1 "+lsn(from+3).String()+" after",
			markGrace, rapid.SampledFrom([]string{"0", "3600"}).Draw(rt, "grace"), markKeep, rapid.SampledFrom([]string{"on", "off"}).Draw(rt, "keep"),
			markState, rapid.SampledFrom([]string{stateMaking, stateReady}).Draw(rt, "state"))
	}
}

// misfortunes each make one thing of a host other than it should be.
var misfortunes = map[string]func(*rapid.T, *spec.Site, *State){
	"pool gone":    func(_ *rapid.T, _ *spec.Site, s *State) { s.ZFS = zfs.Inventory{} },
	"suspended":    func(_ *rapid.T, _ *spec.Site, s *State) { s.ZFS.Pool.Suspended = true },
	"degraded":     func(_ *rapid.T, _ *spec.Site, s *State) { s.ZFS.Pool.Health = "DEGRADED" },
	"altroot":      func(_ *rapid.T, _ *spec.Site, s *State) { s.ZFS.Pool.AltRoot = "/mnt" },
	"unmounted":    func(_ *rapid.T, _ *spec.Site, s *State) { unmount(s, "zp1/data") },
	"dataset gone": func(_ *rapid.T, _ *spec.Site, s *State) { without(s, "zp1/wal") },
	"property":     func(_ *rapid.T, _ *spec.Site, s *State) { change(s, "zp1/data", local("atime", "on")) },
	"claimed":      func(_ *rapid.T, _ *spec.Site, s *State) { change(s, "zp1/data", local(markSite, "s2")) },
	"content": func(rt *rapid.T, _ *spec.Site, s *State) {
		s.Cluster.Content = Content(rapid.IntRange(0, 4).Draw(rt, "content"))
	},
	"no cluster":    func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster = Cluster{Mounted: true} },
	"nothing known": func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster = Cluster{} },
	"no control":    func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster.Control = nil },
	"stopped": func(_ *rapid.T, _ *spec.Site, s *State) {
		s.Cluster.Status, s.Cluster.Process = nil, postgres.Process{}
	},
	"silent":     func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster.Status = nil },
	"promoted":   func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster.Status = &postgres.Status{} },
	"no archive": func(_ *rapid.T, _ *spec.Site, s *State) { s.Archive = Archive{} },
	"no server":  func(_ *rapid.T, _ *spec.Site, s *State) { s.Server = Server{} },
	"no primary": func(_ *rapid.T, _ *spec.Site, s *State) { s.Primary = nil },
	"files gone": func(_ *rapid.T, _ *spec.Site, s *State) { s.Cluster.Files = nil },
	"rejected": func(_ *rapid.T, _ *spec.Site, s *State) {
		s.Cluster.Rejected.Parameters = map[string]string{"rds_x": "unknown"}
	},
	"port taken": func(_ *rapid.T, _ *spec.Site, s *State) { s.Ports[1922] = "nginx" },
	"failure": func(rt *rapid.T, _ *spec.Site, s *State) {
		s.fail(rapid.SampledFrom(append(KindNames(), "")).Draw(rt, "failure"), errTest)
	},
}

// drawHost draws a host that may be like nothing on earth.
func drawHost(t testing.TB, rt *rapid.T, site *spec.Site) State {
	state := converged(t, site)
	state.ZFS.Snapshots = nil
	state.Archive.Inventory.Segments = segments(1, rapid.IntRange(1, 30).Draw(rt, "first"), 109)
	drawSnapshots(rt, site, &state)
	drawClones(rt, site, &state)
	if rapid.Bool().Draw(rt, "drill") {
		addDrill(&state, site, rapid.SampledFrom([]string{stateMaking, stateKept}).Draw(rt, "drill is"))
	}
	names := []string{}
	for name := range misfortunes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(rt, "misfortunes") {
		if state.ZFS.Pool != nil && (state.Cluster.Status != nil || name != "promoted") {
			misfortunes[name](rt, site, &state)
		}
	}
	return state
}

func asJSON(rt *rapid.T, p Plan) string {
	b, err := json.Marshal(p)
	if err != nil {
		rt.Fatal(err)
	}
	return string(b)
}

// pitfall 53
func TestPlanIsTheSameWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		state := drawHost(t, rt, site)
		first := asJSON(rt, Diff(site, state, givenNow, nil))
		shuffled := state
		random := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "order")))
		shuffled.Clones, shuffled.Mounts, shuffled.ZFS.Snapshots = mixed(random, state.Clones), mixed(random, state.Mounts), mixed(random, state.ZFS.Snapshots)
		if diff := cmp.Diff(first, asJSON(rt, Diff(site, shuffled, givenNow, nil))); diff != "" {
			rt.Fatalf("the plan depends on the order (-first +shuffled):\n%s", diff)
		}
	})
}

func mixed[T any](random *rand.Rand, list []T) []T {
	out := slices.Clone(list)
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func TestPlanKeepsTheOrderOfStages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		plan := Diff(site, drawHost(t, rt, site), givenNow, nil)
		at := 0
		list := stages()
		for _, c := range plan.Changes {
			for at < len(list) && list[at].kind != c.Kind {
				at++
			}
			if at == len(list) {
				rt.Fatalf("%s/%s stands too late in %v", c.Kind, c.Name, briefly(plan))
			}
			if c.Why == "" || c.Name == "" || c.Action == Block && c.Mend == "" {
				rt.Fatalf("it is not explained: %+v", c)
			}
		}
	})
}

func TestFulfilledSiteNeedsNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		state := converged(t, site)
		if plan := Diff(site, state, givenNow, nil); site.Snapshots.Every != 0 && !plan.Converged {
			rt.Fatalf("the plan is not empty:\n%s", rendered(plan))
		}
	})
}

// Nothing is destroyed but what is marked, locally, as this site's own.
func TestOnlyOurOwnIsDeleted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		state := drawHost(t, rt, site)
		for _, c := range Diff(site, state, givenNow, nil).Changes {
			switch {
			case c.Action != Delete:
			case c.Kind == kindRetention:
				s := snapshot(&state, c.Name)
				if p := s.Properties[markSite]; p.Value != site.Name || p.Source != "local" || s.Properties[markFormat].Value != marksFormat || s.UserRefs+s.Clones > 0 {
					rt.Fatalf("%s is not ours, or held: %+v", c.Name, *s)
				}
			case c.Kind == kindRestore:
				if !slices.ContainsFunc(state.Clones, func(clone Clone) bool { return clone.Restore == c.Name && clone.Marks.ours(site.Name) }) {
					rt.Fatalf("%s is no restore of ours", c.Name)
				}
			case c.Kind == kindVerification:
				if !slices.ContainsFunc(state.Drills, func(clone Clone) bool {
					return clone.Dataset.Name == c.Name && clone.Marks.ours(site.Name) && clone.Marks[markState] != stateKept
				}) {
					rt.Fatalf("%s is no drill of ours that was left over", c.Name)
				}
			case c.Kind != kindWAL:
				rt.Fatalf("a %s is deleted: %+v", c.Kind, c)
			}
		}
	})
}

// pitfall 51
func TestPitfall51_NothingIsDeletedFromAFailedReading(t *testing.T) {
	decides := map[string][]string{kindRestore: {kindRestore, kindRetention, kindWAL}, kindRetention: {kindRetention, kindWAL}, kindWAL: {kindWAL}}
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		state := drawHost(t, rt, site)
		kind := rapid.SampledFrom([]string{kindRestore, kindRetention, kindWAL}).Draw(rt, "failed")
		state.fail(kind, errTest)
		plan := Diff(site, state, givenNow, nil)
		for _, c := range plan.Changes {
			if c.Action == Delete && slices.Contains(decides[kind], c.Kind) {
				rt.Fatalf("%s could not be read, and %s/%s is deleted", kind, c.Kind, c.Name)
			}
		}
		if !slices.Contains(plan.Failures, errTest.Error()) {
			rt.Fatal("the failure is not told")
		}
	})
}

// What is kept can be restored: the WAL from each kept snapshot to where it is
// consistent stays, and all that continuousFor promises.
func TestRemovalKeepsTheWALOfKeptSnapshots(t *testing.T) {
	removed := 0
	rapid.Check(t, func(rt *rapid.T) {
		site := drawSite(t, rt)
		state := drawHost(t, rt, site)
		plan := Diff(site, state, givenNow, nil)
		deleted := map[string]bool{}
		for _, c := range plan.Changes {
			if c.Action == Delete {
				deleted[c.Kind+"/"+c.Name] = true
			}
		}
		if !deleted[kindWAL+"/"+site.Archive.Dir] {
			return
		}
		removed++
		in := givenView(site, &state)
		gone := map[wal.Segment]bool{}
		for _, s := range unneeded(state.Archive.Inventory, in.neededWAL(), givenSegment).segments {
			gone[s.Segment] = true
		}
		from, horizon := lsn(1000), site.Archive.ContinuousFor
		var base time.Time
		for _, s := range ours(site, &state) {
			if deleted[kindRetention+"/"+s.Name] {
				continue
			}
			stillThere(rt, gone, s.Name, s.Redo, s.Consistent)
			old := !s.TakenAt.After(givenNow.Add(-horizon))
			if horizon == 0 || !old {
				from = min(from, s.Redo)
			} else if s.TakenAt.After(base) {
				base = s.TakenAt
			}
		}
		for _, s := range ours(site, &state) {
			if s.TakenAt.Equal(base) && !deleted[kindRetention+"/"+s.Name] {
				from = min(from, s.Redo) // the moments of continuousFor before the first snapshot in it
			}
		}
		stillThere(rt, gone, "continuousFor", min(from, state.Cluster.Control.RedoLSN), lsn(109))
		for _, c := range state.Clones {
			if stop, ok := parseStop(c.Marks); ok {
				stillThere(rt, gone, c.Restore, c.Marks.lsn(markBaseRedo), stop.LSN)
			}
		}
	})
	if removed == 0 {
		t.Error("no case removed any WAL, so nothing was tried")
	}
}

func stillThere(rt *rapid.T, gone map[wal.Segment]bool, who string, from, to wal.LSN) {
	for n := wal.SegmentAt(1, from, givenSegment).Number; n <= wal.SegmentAt(1, to, givenSegment).Number; n++ {
		if gone[wal.Segment{Timeline: 1, Number: n}] {
			rt.Fatalf("%s needs %s to %s, and segment %d is removed", who, from, to, n)
		}
	}
}
