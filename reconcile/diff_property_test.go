package reconcile

import (
	"encoding/json"
	"errors"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// spoilers each take something of a converged host away, or add a stranger.
var spoilers = map[string]func(*State){
	"a property by hand":    func(s *State) { change(s, "zp1/data", local("recordsize", "4096")) },
	"a stranger's snapshot": func(s *State) { addStranger(s, "zp1/data", "nightly", nil) },
	"an inherited mark": func(s *State) {
		addStranger(s, "zp1/data", "zr-x", inherited("zp1/data", markSite, "s1", markFormat, "1"))
	},
	"another site's snapshot": func(s *State) { addStranger(s, "zp1/data", "zr-y", local(markSite, "s2", markFormat, "1")) },
	"another site's dataset":  func(s *State) { change(s, "zp1/wal", local(markSite, "s2", markFormat, "1")) },
	"data is not mounted":     func(s *State) { unmount(s, "zp1/data"); s.Cluster = Cluster{} },
	"the server is gone":      func(s *State) { s.Cluster.Process, s.Cluster.Status = postgres.Process{}, nil },
	"promoted": func(s *State) {
		if s.Cluster.Status != nil {
			s.Cluster.Status.InRecovery = false
		}
	},
	"strangers' files":    func(s *State) { s.Cluster.Content, s.Cluster.Strangers = DirStranger, []string{"thesis"} },
	"no conf":             func(s *State) { s.Cluster.Files = nil },
	"control unread":      func(s *State) { s.Cluster.Control = nil; s.failCluster(errors.New("no pg_control")) },
	"restores unread":     func(s *State) { s.fail(kindRestore, errors.New("no answer")) },
	"archive unread":      func(s *State) { s.fail(kindWAL, errors.New("no answer")) },
	"pool degraded":       func(s *State) { s.ZFS.Pool.Health = "DEGRADED" },
	"the port is taken":   func(s *State) { s.Ports[1922] = "nginx" },
	"no archive folder":   func(s *State) { s.Archive.Exists = false },
	"a restart is due":    func(s *State) { setPending(s, "max_connections") },
	"nothing of the pool": func(s *State) { s.ZFS = zfs.Inventory{}; s.Absent = &AbsentPool{}; s.Cluster = Cluster{} },
}

func setPending(s *State, name string) {
	if s.Cluster.Status != nil {
		s.Cluster.Status.PendingRestart = []string{name}
	}
}

// drawState is a converged host with snapshots of any age, spoilt in some ways.
func drawState(t *rapid.T, tb testing.TB) (*spec.Site, State) {
	site := givenSite(tb)
	state := converged(tb, site)
	for _, minutes := range rapid.SliceOfNDistinct(rapid.IntRange(31, 20000), 0, 8, rapid.ID[int]).Draw(t, "ages of snapshots") {
		addSnapshot(&state, site, ago(time.Duration(minutes)*time.Minute), rapid.IntRange(1, 100).Draw(t, "redo"))
	}
	names := make([]string, 0, len(spoilers))
	for name := range spoilers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 4, rapid.ID[string]).Draw(t, "spoilt by") {
		if state.ZFS.Pool != nil {
			spoilers[name](&state)
		}
	}
	return site, state
}

// TestDiffProperties holds of any host: the plan is the same for the same host
// however the tools listed it (pitfall 53), it survives its JSON, it speaks of
// kinds that there are, and it destroys nothing that this site did not mark
// (pitfalls 51, 54).
func TestDiffProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site, state := drawState(rt, t)
		plan := Diff(site, state, givenNow, nil)

		shuffled := state
		shuffled.ZFS.Snapshots = slices.Clone(state.ZFS.Snapshots)
		shuffle := rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed")))
		shuffle.Shuffle(len(shuffled.ZFS.Snapshots), func(i, j int) {
			list := shuffled.ZFS.Snapshots
			list[i], list[j] = list[j], list[i]
		})
		if diff := cmp.Diff(plan, Diff(site, shuffled, givenNow, nil)); diff != "" {
			rt.Fatalf("the order of the listing shows in the plan:\n%s", diff)
		}

		text, err := json.Marshal(plan)
		if err != nil {
			rt.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(text, &back); err != nil {
			rt.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(text) {
			rt.Fatalf("the JSON changes on its way back: %v\n%s\n%s", err, text, again)
		}

		for _, c := range plan.Changes {
			if !slices.Contains(KindNames(), c.Kind) || !slices.Contains(Actions, c.Action) || c.Why == "" {
				rt.Fatalf("not a change that the contract knows: %+v", c)
			}
			if c.Action == Block && c.Mend == "" {
				rt.Fatalf("blocked without a way out: %+v", c)
			}
			if c.Kind == kindRetention && !markedOurs(site, state, c.Name) {
				rt.Fatalf("the plan destroys %s, which is not ours", c.Name)
			}
		}
	})
}

// markedOurs is true of a snapshot that this site marked itself.
func markedOurs(site *spec.Site, state State, name string) bool {
	return slices.ContainsFunc(state.ZFS.Snapshots, func(s zfs.Snapshot) bool {
		return s.Name == name && localMarks(s.Properties).ours(site.Name)
	})
}

// TestNothingIsRemovedInTheDark holds of any host of which something that
// removal decides from was not observed, or whose standby was promoted.
func TestNothingIsRemovedInTheDark(t *testing.T) {
	for _, dark := range []string{"control unread", "restores unread", "promoted", "data is not mounted"} {
		t.Run(dark, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				site, state := drawState(rt, t)
				if state.ZFS.Pool == nil {
					return
				}
				spoilers[dark](&state)
				if dark == "promoted" && (state.Cluster.Status == nil || state.Cluster.Content != DirCluster) {
					return // no server is there that could have been promoted
				}
				for _, c := range Diff(site, state, givenNow, nil).Changes {
					if c.Action == Delete {
						rt.Fatalf("removed all the same: %+v", c)
					}
				}
			})
		})
	}
}

// TestRemovalKeepsWhatSnapshotsNeed holds of any snapshots, policy and archive:
// what retention keeps can still be recovered from the WAL that stays
// (pitfalls 3 and 20).
func TestRemovalKeepsWhatSnapshotsNeed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		site, state := drawState(rt, t)
		site.Snapshots.Retention = spec.Retention{Last: rapid.IntRange(0, 3).Draw(rt, "last"), Daily: rapid.IntRange(0, 3).Draw(rt, "daily")}
		site.Archive.ContinuousFor = time.Duration(rapid.IntRange(0, 300).Draw(rt, "hours of continuousFor")) * time.Hour
		state.Archive.Inventory.Segments = segments(1, 1, 109)
		in := givenView(site, &state)
		if in.state.Cluster.Control == nil {
			return
		}
		gone := map[uint64]bool{}
		for _, s := range unneeded(state.Archive.Inventory.Segments, in.neededWAL(), givenSegment) {
			gone[s.Number] = true
		}
		for _, k := range in.retention() {
			if !k.keep {
				continue
			}
			for n := uint64(k.Redo) / givenSegment; n <= uint64(max(k.Consistent, k.Replayed))/givenSegment; n++ {
				if gone[n] {
					rt.Fatalf("snapshot %s is kept, and segment %d, which it needs, is removed", k.Name, n)
				}
			}
			if site.Archive.ContinuousFor == 0 && slices.Max(append(goneNumbers(gone), 0)) >= uint64(k.Redo)/givenSegment {
				rt.Fatalf("WAL behind snapshot %s is removed without continuousFor", k.Name)
			}
		}
	})
}

func goneNumbers(gone map[uint64]bool) []uint64 {
	var list []uint64
	for n := range gone {
		list = append(list, n)
	}
	return list
}
