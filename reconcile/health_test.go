package reconcile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// healthSite wants drills, and has the limits of the reference spec.
func healthSite(t testing.TB, edits ...string) *spec.Site {
	return givenSite(t, append([]string{"archive:\n", "verify: {every: 1d}\narchive:\n"}, edits...)...)
}

// healthy is a status in which all is well.
func healthy() Status {
	lagBytes, lagSeconds := int64(0), 0.0
	return Status{
		Pool: &PoolStatus{Name: "zp1", Health: "ONLINE", Size: 100 << 30, Free: 60 << 30},
		Standby: StandbyStatus{State: StandbyStreaming, Running: true, Connected: true, InRecovery: true,
			LagBytes: &lagBytes, LagSeconds: &lagSeconds, PendingRestart: []string{}},
		Snapshots: []SnapshotStatus{{Name: "zr-1", TakenAt: timePtr(ago(time.Hour)), Latest: &Moment{}}},
		Windows:   []Window{{From: Time{ago(72*time.Hour + 300*time.Millisecond)}, To: Time{ago(4 * time.Second)}}},
		LastDrill: &LastDrill{At: Time{ago(6 * time.Hour)}, OK: true, Snapshot: "zr-1"},
		Restores:  []RestoreStatus{{Name: "r", State: "running"}},
	}
}

func secondsOf(d time.Duration) *float64 { return new(d.Seconds()) }

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		spoil   func(*Status)
		level   Level
		reasons []string
	}{
		"all is well":       {func(*Status) {}, LevelOK, nil},
		"pool not imported": {func(s *Status) { *s = Status{} }, LevelCritical, []string{"the pool zp1 is not imported"}},
		"pool degraded":     {func(s *Status) { s.Pool.Health = "DEGRADED" }, LevelCritical, []string{"the pool zp1 is DEGRADED"}},
		"pool suspended, and nothing else was looked at": {func(s *Status) {
			*s = suspendedStatus(healthSite(t), &zfs.Pool{Name: "zp1"}, givenNow, errors.New("it hangs"))
		}, LevelCritical, []string{"the pool zp1 is SUSPENDED", "could not be observed: it hangs"}},
		"room for 16 segments": {func(s *Status) { s.Pool.Available = new(int64(256 << 20)) }, LevelOK, nil},
		"all is reserved": {func(s *Status) { s.Pool.Available = new(int64(1 << 20)) }, LevelWarning,
			[]string{"only 1MiB can still be written to the pool zp1: it is full, or something is reserved"}},
		"room for 8 of 1 GiB": {func(s *Status) { s.Pool.Available, s.Pool.Segment = new(int64(8<<30)), 1<<30 }, LevelWarning,
			[]string{"only 8GiB can still be written to the pool zp1: it is full, or something is reserved"}},
		"a disk of the pool is gone": {func(s *Status) { s.Pool.Health, s.Pool.Faults = "DEGRADED", []string{"/disks/b is REMOVED"} }, LevelCritical, []string{"the pool zp1 is DEGRADED: /disks/b is REMOVED"}},
		"a disk had errors":          {func(s *Status) { s.Pool.Faults = []string{"/disks/b had errors"} }, LevelWarning, []string{"the pool zp1 is ONLINE, but /disks/b had errors"}},
		"the pool has lost data":     {func(s *Status) { s.Pool.DataErrors, s.Pool.Faults = true, []string{"3 data errors"} }, LevelCritical, []string{"the pool zp1 has lost data: 3 data errors"}},
		"as much free as the limit":  {func(s *Status) { s.Pool.Free = 15 << 30 }, LevelOK, nil},
		"less free":                  {func(s *Status) { s.Pool.Free = 14 << 30 }, LevelWarning, []string{"14% of the pool zp1 is free, less than 15%"}},

		"no standby":   {func(s *Status) { s.Standby = StandbyStatus{State: StandbyMissing} }, LevelCritical, []string{"there is no standby: it was not copied, or its dataset is not mounted"}},
		"standby down": {func(s *Status) { s.Standby = StandbyStatus{State: StandbyStopped} }, LevelCritical, []string{"the standby does not run"}},
		"promoted":     {func(s *Status) { s.Standby.State = StandbyPromoted }, LevelCritical, []string{"the standby was promoted, and follows the primary no more"}},
		"lost its WAL": {func(s *Status) {
			s.Standby.State, s.Standby.LostWAL = StandbyDisconnected, "requested WAL segment has already been removed"
		}, LevelCritical, []string{"the standby can't follow any more: requested WAL segment has already been removed", "the standby is not connected to its primary"}},
		"archiving fails":   {func(s *Status) { s.Standby.ArchiverFailing = "00000001000000000000006E" }, LevelCritical, []string{"archiving fails at 00000001000000000000006E"}},
		"no archive":        {func(s *Status) { s.Archive.Missing = "its directory is missing" }, LevelCritical, []string{"there is no archive of WAL: its directory is missing"}},
		"not connected":     {func(s *Status) { s.Standby.State = StandbyDisconnected }, LevelWarning, []string{"the standby is not connected to its primary"}},
		"answers nobody":    {func(s *Status) { s.Standby.State = StandbySilent }, LevelUnknown, []string{"the standby runs and answers nobody"}},
		"not looked at":     {func(s *Status) { s.Standby.State = StandbyUnknown }, LevelUnknown, []string{"whether the standby runs is not known"}},
		"lag at the limit":  {func(s *Status) { s.Standby.LagSeconds = secondsOf(5 * time.Minute) }, LevelOK, nil},
		"lag over it":       {func(s *Status) { s.Standby.LagSeconds = secondsOf(5*time.Minute + time.Second) }, LevelWarning, []string{"the standby is 5m 1s behind, more than 5m"}},
		"lag not known":     {func(s *Status) { s.Standby.LagSeconds, s.Standby.LagBytes = nil, nil }, LevelOK, nil},
		"pending restart":   {func(s *Status) { s.Standby.PendingRestart = []string{"max_connections"} }, LevelWarning, []string{"a restart is needed for max_connections"}},
		"slot keeps little": {func(s *Status) { s.Standby.SlotRetainedBytes = new(int64(1 << 30)) }, LevelOK, nil},
		"slot keeps much": {func(s *Status) { s.Standby.Slot, s.Standby.SlotRetainedBytes = "z", new(int64(12<<30)) }, LevelWarning,
			[]string{"the slot z retains 12 GiB of WAL on the primary"}},

		"snapshot too old": {func(s *Status) { s.Snapshots[0].TakenAt = timePtr(ago(27 * time.Hour)) }, LevelWarning, []string{"the newest snapshot is 1d 3h old, more than 1d 2h"}},
		"snapshot to come": {func(s *Status) { s.Snapshots[0].TakenAt = timePtr(ago(-27 * time.Hour)) }, LevelOK, nil}, // pitfall 50
		"an older one, too": {func(s *Status) {
			s.Snapshots = append(s.Snapshots, SnapshotStatus{TakenAt: timePtr(ago(99 * time.Hour))})
		}, LevelOK, nil},
		"snapshot is no base": {func(s *Status) {
			s.Snapshots[0].Lost, s.Snapshots[0].Latest, s.Snapshots[0].LatestWhy = true, nil, "WAL is missing"
		}, LevelCritical, []string{"the snapshot zr-1 can't be restored: WAL is missing"}},
		"a single point": {func(s *Status) {
			s.Windows = append([]Window{{From: Time{ago(99 * time.Hour)}, To: Time{ago(99 * time.Hour)}, Why: "a single point"}}, s.Windows...)
		}, LevelOK, nil},
		"no window":          {func(s *Status) { s.Windows, s.Snapshots[0].Latest = nil, nil }, LevelCritical, []string{"no moment can be restored"}},
		"nothing but a name": {func(s *Status) { s.Windows = nil }, LevelWarning, []string{"no time can be restored: no commit is known since the snapshots"}},
		"windows that could not be looked for": {func(s *Status) { s.Windows, s.WindowsUnknown, s.Failures = nil, true, []string{"x\nsecond line"} }, LevelUnknown,
			[]string{"could not be observed: x", "which moments can be restored is not known"}},
		"a hole": {func(s *Status) {
			s.Windows = append([]Window{{From: Time{ago(99 * time.Hour)}, To: Time{ago(98 * time.Hour)}, Why: "the WAL segment x is missing", Lost: true}}, s.Windows...)
		}, LevelCritical, []string{"moments from 2026-11-19 10:00:00Z to 2026-11-20 12:00:00Z are lost: the WAL segment x is missing"}},
		"a hole that the present falls into": {func(s *Status) {
			s.Windows[0].To, s.Windows[0].Lost, s.Windows[0].Why = Time{ago(time.Hour)}, true, "x"
		}, LevelCritical,
			[]string{"moments from 2026-11-23 11:00:00Z on can't be restored: x"}},
		"WAL that can't be read": {func(s *Status) { s.Windows[0].To = Time{ago(time.Hour)} }, LevelWarning,
			[]string{"the newest moment that can be restored is 1h old, more than 6m"}},
		"nothing new without the primary": {func(s *Status) { s.Windows[0].To, s.Standby.State = Time{ago(time.Hour)}, StandbyDisconnected }, LevelWarning,
			[]string{"the standby is not connected to its primary"}},

		"drill failed":   {func(s *Status) { s.LastDrill.OK = false }, LevelCritical, []string{"the last restore drill failed, that of zr-1"}},
		"drill too old":  {func(s *Status) { s.LastDrill.At = Time{ago(9 * 24 * time.Hour)} }, LevelWarning, []string{"the last restore drill was 9d ago, more than 8d"}},
		"no drill":       {func(s *Status) { s.LastDrill = nil }, LevelWarning, []string{"no restore drill was made yet"}},
		"restore failed": {func(s *Status) { s.Restores[0].State = "failed" }, LevelWarning, []string{"the restore r: failed"}},
		"restore refused": {func(s *Status) { s.Restores[0].State, s.Restores[0].Why = "refused", "a gap\nand more" }, LevelWarning,
			[]string{"the restore r: refused, a gap"}},
		"restore down":       {func(s *Status) { s.Restores[0].State = "stopped" }, LevelWarning, []string{"the restore r does not run"}},
		"restore to be gone": {func(s *Status) { s.Restores[0].State, s.Restores[0].Why = "stopped", "expired" }, LevelOK, nil},
		"not observed":       {func(s *Status) { s.Failures = []string{"x"} }, LevelUnknown, []string{"could not be observed: x"}},

		"the worst comes first": {func(s *Status) {
			s.Pool.Free, s.Failures, s.Standby.State = 0, []string{"x"}, StandbyStopped
		}, LevelCritical, []string{"the standby does not run", "could not be observed: x", "0% of the pool zp1 is free, less than 15%"}},
		"unknown is worse than a warning": {func(s *Status) { s.Pool.Free, s.Failures = 0, []string{"x"} }, LevelUnknown,
			[]string{"could not be observed: x", "0% of the pool zp1 is free, less than 15%"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			test.spoil(&s)
			got := Judge(healthSite(t), s, givenNow)
			if got.Level != test.level || !slices.Equal(got.Reasons, test.reasons) {
				t.Errorf("got %s for %q, want %s for %q", got.Level, got.Reasons, test.level, test.reasons)
			}
		})
	}
}

// A limit of 0 is no limit, and what the file does not ask for is not missed.
func TestJudgeWithoutLimits(t *testing.T) {
	s := healthy()
	s.Pool.Free, s.Standby.LagSeconds = 0, secondsOf(time.Hour)
	s.Snapshots[0].TakenAt, s.LastDrill, s.Windows[0].To = timePtr(ago(1e6*time.Hour)), nil, Time{ago(time.Hour)}
	unlimited := healthSite(t, "version: 1\n", "version: 1\nhealth: {lag: 0s, snapshotAge: 0s, drillAge: 0s, free: 0%}\n")
	if got := Judge(unlimited, s, givenNow); got.Level != LevelOK {
		t.Errorf("without limits: %+v", got)
	}
	if got := Judge(healthSite(t), s, givenNow); len(got.Reasons) != 5 {
		t.Errorf("with limits: %+v", got)
	}
	s = healthy()
	s.LastDrill = nil
	if got := Judge(givenSite(t), s, givenNow); got.Level != LevelOK {
		t.Errorf("without drills: %+v", got)
	}
	site := healthSite(t)
	site.Snapshots, s.Windows, s.Snapshots, s.LastDrill = nil, nil, nil, healthy().LastDrill
	if got := Judge(site, s, givenNow); got.Level != LevelOK {
		t.Errorf("without snapshots: %+v", got)
	}
}

func TestHeadline(t *testing.T) {
	tests := map[string]struct {
		spoil func(*Status)
		want  string
	}{
		"one window": {func(*Status) {}, "any moment from 2026-11-20 20:00:00+08:00 to 4s ago; proven 6h ago"},
		"up to now":  {func(s *Status) { s.Windows[0].To = Time{givenNow} }, "any moment from 2026-11-20 20:00:00+08:00 to now; proven 6h ago"},
		"never proven": {func(s *Status) { s.LastDrill = nil },
			"any moment from 2026-11-20 20:00:00+08:00 to 4s ago; never proven"},
		"failed": {func(s *Status) { s.LastDrill.OK = false },
			"any moment from 2026-11-20 20:00:00+08:00 to 4s ago; the last drill failed 6h ago"},
		"two": {func(s *Status) {
			s.Windows = append([]Window{{From: Time{ago(99 * time.Hour)}, To: Time{ago(98 * time.Hour)}}}, s.Windows...)
		},
			"any moment from 2026-11-20 20:00:00+08:00 to 4s ago, and parts of what was before, back to 2026-11-19 17:00:00+08:00; proven 6h ago"},
		"within a second": {func(s *Status) { s.Windows[0].From = Time{ago(4*time.Second + time.Millisecond)} },
			"any moment from 2026-11-23 19:59:56+08:00 to 4s ago; proven 6h ago"},
		"a single point": {func(s *Status) {
			s.Windows[0].From, s.Windows[0].To = Time{ago(3700 * time.Millisecond)}, Time{ago(3600 * time.Millisecond)}
		}, "the moment 2026-11-23T11:59:56.300000Z, 3s ago; proven 6h ago"},
		"by its name": {func(s *Status) { s.Windows = nil }, "only what the snapshot zr-1 holds, by its name; proven 6h ago"},
		"none":        {func(s *Status) { s.Windows, s.Snapshots[0].Latest = nil, nil }, "nothing to go back to; proven 6h ago"},
		"not known":   {func(s *Status) { s.Windows, s.WindowsUnknown = nil, true }, "how far back it goes is not known; proven 6h ago"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			test.spoil(&s)
			site := healthSite(t, "site: s1\n", "site: s1\ntimezone: Asia/Shanghai\n")
			if got := Judge(site, s, givenNow).Headline; got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// worsenings each make one thing worse than it is.
var worsenings = map[string]func(*rapid.T, *Status){
	"pool gone": func(_ *rapid.T, s *Status) { s.Pool = nil },
	"degraded": func(_ *rapid.T, s *Status) {
		if s.Pool != nil {
			s.Pool.Health = "DEGRADED"
		}
	},
	"fuller": func(rt *rapid.T, s *Status) {
		if s.Pool != nil {
			s.Pool.Free -= rapid.Int64Range(0, s.Pool.Free).Draw(rt, "used")
		}
	},
	"standby": func(rt *rapid.T, s *Status) {
		order := []StandbyState{StandbyStreaming, StandbyDisconnected, StandbySilent, StandbyUnknown, StandbyStopped, StandbyMissing, StandbyPromoted}
		now := slices.Index(order, s.Standby.State)
		s.Standby.State = order[rapid.IntRange(now, len(order)-1).Draw(rt, "state")]
	},
	"lost WAL": func(_ *rapid.T, s *Status) { s.Standby.LostWAL = "x" },
	"archive":  func(_ *rapid.T, s *Status) { s.Archive.Missing = "x" },
	"archiver": func(_ *rapid.T, s *Status) { s.Standby.ArchiverFailing = "x" },
	"lag": func(rt *rapid.T, s *Status) {
		s.Standby.LagSeconds = new(*s.Standby.LagSeconds + rapid.Float64Range(0, 600).Draw(rt, "lag"))
	},
	"restart": func(_ *rapid.T, s *Status) { s.Standby.PendingRestart = append(s.Standby.PendingRestart, "x") },
	"slot": func(rt *rapid.T, s *Status) {
		retained := rapid.Int64Range(9, 11).Draw(rt, "slot") << 30
		if before := s.Standby.SlotRetainedBytes; before != nil {
			retained += *before // less than before would not be worse
		}
		s.Standby.SlotRetainedBytes = &retained
	},
	"older":     func(rt *rapid.T, s *Status) { *s.Snapshots[0].TakenAt = Time{s.Snapshots[0].TakenAt.Add(-hours(rt))} },
	"no base":   func(_ *rapid.T, s *Status) { s.Snapshots[0].Lost, s.Snapshots[0].Latest = true, nil },
	"no window": func(_ *rapid.T, s *Status) { s.Windows, s.WindowsUnknown, s.Snapshots[0].Latest = nil, false, nil },
	"hole": func(rt *rapid.T, s *Status) {
		if n := len(s.Windows); n > 0 {
			s.Windows[rapid.IntRange(0, n-1).Draw(rt, "hole")].Lost = true
		}
	},
	"one more": func(_ *rapid.T, s *Status) {
		if len(s.Windows) > 0 {
			first := s.Windows[0].From.Add(-time.Hour)
			s.Windows = append([]Window{{From: Time{first}, To: Time{first}}}, s.Windows...)
		}
	},
	"ends earlier": func(rt *rapid.T, s *Status) {
		if n := len(s.Windows); n > 0 {
			s.Windows[n-1].To = Time{s.Windows[n-1].To.Add(-hours(rt))}
		}
	},
	"drill": func(_ *rapid.T, s *Status) { s.LastDrill.OK = false },
	"old drill": func(rt *rapid.T, s *Status) {
		s.LastDrill.At = Time{s.LastDrill.At.Add(-hours(rt) * 10)}
	},
	"restore": func(rt *rapid.T, s *Status) {
		s.Restores = append(s.Restores, RestoreStatus{State: rapid.SampledFrom([]string{"running", "recovering", "stopped", "failed", "refused"}).Draw(rt, "state")})
	},
	"not observed": func(_ *rapid.T, s *Status) { s.Failures = append(s.Failures, "x") },
}

func hours(rt *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 48).Draw(rt, "hours")) * time.Hour
}

// What gets worse never makes the level better, nor hides a reason that was
// there, unless there is no pool to look at any more.
func TestWorseNeverGetsBetter(t *testing.T) {
	site := healthSite(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := healthy()
		before := Judge(site, s, givenNow)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			what := rapid.SampledFrom(sortedKeys(worsenings)).Draw(rt, "what")
			worsenings[what](rt, &s)
			after := Judge(site, s, givenNow)
			if severity[after.Level] < severity[before.Level] || (after.Level == LevelOK) != (len(after.Reasons) == 0) {
				rt.Fatalf("%s makes %+v of %+v", what, after, before)
			}
			before = after
		}
	})
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Pitfall 51: a standby that could not be looked at is not one that is down.
func TestPitfall51_StandbyState(t *testing.T) {
	tests := map[StandbyState]func(*State){
		StandbyStreaming:    func(*State) {},
		StandbyDisconnected: func(s *State) { s.Cluster.Status.ReceiverState = "" },
		StandbyPromoted:     func(s *State) { s.Cluster.Status.InRecovery = false },
		StandbySilent:       func(s *State) { s.Cluster.Status = nil; s.fail(kindStandby, errors.New("starting up")) },
		StandbyStopped:      func(s *State) { s.Cluster.Status, s.Cluster.Process = nil, postgres.Process{} },
		StandbyMissing:      func(s *State) { s.Cluster = Cluster{} },
		StandbyUnknown: func(s *State) {
			s.Cluster = Cluster{}
			s.failCluster(errors.New("permission denied"))
		},
	}
	for want, spoil := range tests {
		t.Run(string(want), func(t *testing.T) {
			site := givenSite(t)
			state := converged(t, site)
			spoil(&state)
			if got := givenView(site, &state).standbyStatus().State; got != want {
				t.Errorf("it is %s", got)
			}
		})
	}
	site := givenSite(t)
	site.Standby = nil
	if got := givenView(site, &State{}).standbyState(); got != "" {
		t.Errorf("without a standby in the file it is %s", got)
	}
}

// Pitfall 56: an archive that is not mounted looks empty, and is none.
func TestPitfall56_ArchiveThatIsNotMounted(t *testing.T) {
	for want, spoil := range map[string]func(*State){
		"":                           func(*State) {},
		"its dataset is not mounted": func(s *State) { s.Archive = Archive{} },
		"its directory is missing":   func(s *State) { s.Archive = Archive{Mounted: true} },
	} {
		site := givenSite(t)
		state := converged(t, site)
		spoil(&state)
		if got := givenView(site, &state).archiveStatus().Missing; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		state.fail(kindWAL, errors.New("permission denied"))
		if got := givenView(site, &state).archiveStatus().Missing; got != "" {
			t.Errorf("what could not be read is called %q", got)
		}
	}
}

// The reasons are one line each, whatever a program said.
func TestReasonsAreLines(t *testing.T) {
	s := healthy()
	s.Failures = []string{"zfs list failed:\ncannot open\n"}
	for _, r := range Judge(healthSite(t), s, givenNow).Reasons {
		if strings.Contains(r, "\n") {
			t.Errorf("%q", r)
		}
	}
}

// Missing WAL is told from WAL that retention took, and from all that there is.
func TestLostMoments(t *testing.T) {
	site := givenSite(t, "dir: /arch/wal", "dir: /arch/wal\n  continuousFor: 40m", "{last: 2}", "{last: 9}")
	state := converged(t, site)
	var names []string
	for i, at := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Hour} {
		names = append(names, addSnapshot(&state, site, ago(at), 40+10*i))
	}
	a := &state.Archive
	a.Inventory.Segments = slices.Concat(segments(1, 40, 42), segments(1, 50, 52), segments(1, 60, 80), segments(1, 85, 110))
	a.Live.Segments = nil
	in := givenView(site, &state)
	r, err := reachOf(in)
	if err != nil {
		t.Fatal(err)
	}
	list := ours(in.site, in.state)
	var got []string
	for i, s := range in.spans(r.path, list) {
		got = append(got, fmt.Sprintf("%d lost=%v joins=%v %s", slices.Index(names, list[i].Name), s.lost, s.joins != 0, s.why))
	}
	want := []string{
		"0 lost=false joins=false a single point: archive.continuousFor keeps no WAL from 00000001000000000000002B on",
		"1 lost=false joins=false a single point: archive.continuousFor keeps no WAL from 000000010000000000000035 on",
		"2 lost=true joins=false the WAL segment 000000010000000000000051 is missing",
		"-1 lost=false joins=false all WAL that was received",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A pool whose devices are gone hangs who reads it: status asks zpool alone, and
// says so instead of failing.
func TestStatusOfASuspendedPool(t *testing.T) {
	answers := map[string]string{
		"zpool get -Hp all zp1": "zp1\tsize\t1000\t-\nzp1\tfree\t600\t-\nzp1\thealth\tSUSPENDED\t-\nzp1\tguid\t1\t-\nzp1\taltroot\t-\tdefault\nzp1\tallocated\t400\t-\n",
		"zpool status zp1":      "  pool: zp1\n state: SUSPENDED\nstatus: One or more devices are faulted in response to IO failures.\nconfig:\n\n\tNAME STATE READ WRITE CKSUM\n\tzp1 UNAVAIL 0 0 0\n\nerrors: No known data errors\n",
	}
	host := NewHost(slog.New(slog.DiscardHandler))
	host.ZFS = zfs.New(func(c *exec.Cmd) error {
		out, ok := answers[strings.Join(c.Args, " ")]
		if !ok {
			return fmt.Errorf("%q would hang", c.Args)
		}
		_, err := io.WriteString(c.Stdout, out)
		return err
	})
	s, err := host.Status(t.Context(), healthSite(t), givenNow)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict.Level != LevelCritical || s.Verdict.Reasons[0] != "the pool zp1 is SUSPENDED" || s.Standby.State != StandbyUnknown || len(s.Failures) != 1 {
		t.Errorf("%+v", s)
	}
}
