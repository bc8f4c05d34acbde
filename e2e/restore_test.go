package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// entry is one restore of the file; More are further lines of it.
type entry struct {
	Name, Target string
	Port         int
	More         []string
}

// declare writes the file with these restores and no other.
func (s *site) declare(t testing.TB, entries ...entry) {
	t.Helper()
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "  - name: %s\n    target: {%s}\n    port: %d\n", e.Name, e.Target, e.Port)
		for _, line := range e.More {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	s.Restores = b.String()
	s.write(t)
}

// on runs a query of one text on a restore.
func (s *site) on(t testing.TB, restore, query string) string {
	t.Helper()
	for _, r := range s.status(t).Restores {
		if r.Name == restore {
			if r.State != "running" {
				t.Fatalf("restore %s is %s", restore, r.State)
			}
			return socketText(t, r.Connect, s.Primary.Superuser, query)
		}
	}
	t.Fatalf("status shows no restore %s", restore)
	return ""
}

// onPrimary runs a query of one text on the primary.
func (s *site) onPrimary(t testing.TB, query string) string {
	t.Helper()
	var text string
	must(t, s.Primary.QueryRow(query, &text))
	return text
}

const (
	clockNow   = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')"
	insertedTo = "SELECT pg_current_wal_insert_lsn()::text"
	steps      = "SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), 'none') FROM steps"
)

// stepTable begins a table of numbered commits on the primary; commit adds one
// and says which transaction it was.
func (s *site) stepTable(t testing.TB) {
	t.Helper()
	must(t, s.Primary.Exec("DROP TABLE IF EXISTS steps", "CREATE TABLE steps (n int)"))
}

func (s *site) commit(t testing.TB, n int) (xid string) {
	t.Helper()
	return s.onPrimary(t, fmt.Sprintf("WITH i AS (INSERT INTO steps VALUES (%d)) SELECT txid_current()::text", n))
}

// TestRestoreTargets makes a restore for each kind of target in one apply: each
// holds every transaction up to its target and none after it.
func TestRestoreTargets(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	snapshot := slices.Max(s.snapshotNames(t))
	s.commit(t, 2)
	moment := s.onPrimary(t, clockNow)
	second := s.commit(t, 3)
	must(t, s.Primary.Exec("SELECT pg_create_restore_point('before-four')"))
	lsn := s.onPrimary(t, insertedTo)
	s.commit(t, 4)
	s.commit(t, 5)
	s.caughtUp(t)

	want := map[string]string{"at-time": "1 2", "at-snapshot": "1", "at-latest": "1 2 3 4 5", "before-xid": "1 2", "after-xid": "1 2 3",
		"before-lsn": "1 2 3", "at-point": "1 2 3"}
	entries := []entry{
		{Name: "at-time", Target: fmt.Sprintf("time: %q", moment)},
		{Name: "at-snapshot", Target: "snapshot: " + snapshot},
		{Name: "at-latest", Target: "latest: true"},
		{Name: "before-xid", Target: fmt.Sprintf("xid: %s, stop: before", second)},
		{Name: "after-xid", Target: fmt.Sprintf("xid: %s, stop: after", second)},
		{Name: "before-lsn", Target: fmt.Sprintf("lsn: %s, stop: before", lsn)},
		{Name: "at-point", Target: "restorePoint: before-four"},
	}
	for i := range entries {
		entries[i].Port = freePort(t)
	}
	s.declare(t, entries...)
	s.converges(t)
	for name, rows := range want {
		if got := s.on(t, name, steps); got != rows {
			t.Errorf("%s holds %s, want %s", name, got, rows)
		}
		if got := s.on(t, name, "SELECT pg_get_wal_replay_pause_state()"); got != "paused" {
			t.Errorf("%s is %s", name, got)
		}
	}
	s.commit(t, 6)
	s.caughtUp(t)
	s.secondRunChangesNothing(t)
	if got := s.on(t, "at-latest", steps); got != want["at-latest"] {
		t.Errorf("the latest moment moved on to %s", got)
	}
	s.lsnInsideTheBase(t)
}

// lsnInsideTheBase: what no snapshot can go back to is refused, and not taken
// for the first record that is there.
func (s *site) lsnInsideTheBase(t *testing.T) {
	t.Helper()
	s.declare(t, entry{Name: "too-early", Target: "lsn: 0/28, stop: before", Port: s.RestorePort})
	s.refuses(t, "too-early", "before", "earliest", "zr-")
	s.declare(t, entry{Name: "no-such", Target: "xid: 3999999999, stop: after", Port: s.RestorePort})
	s.refuses(t, "no-such", "3999999999", "WAL is here")
	s.declare(t, entry{Name: "no-point", Target: "restorePoint: never-made", Port: s.RestorePort})
	s.refuses(t, "no-point", "never-made")
	s.declare(t, entry{Name: "no-snapshot", Target: "snapshot: zr-19990101T000000Z", Port: s.RestorePort})
	s.refuses(t, "no-snapshot", "zr-19990101T000000Z", "nearest")
}

// refuses proves that a restore is a block in plan and apply, with what it
// says, and that no dataset of it is made.
func (s *site) refuses(t testing.TB, name string, says ...string) {
	t.Helper()
	if p := s.plan(t).exits(t, exitRefused).says(t, says...).plan(t); !slices.Contains(p.changes(), "block restore/"+name) {
		t.Errorf("the plan is %q", p.changes())
	}
	s.apply(t).exits(t, exitRefused).says(t, says...)
	if out := command(t, "zfs", "list", "-H", "-o", "name", "-r", s.Name); strings.Contains(out, "/"+name+"\n") {
		t.Errorf("a dataset of the refused restore was made:\n%s", out)
	}
}

// TestRestoreOnAQuietPrimary tells a quiet primary from one that is gone, and
// serves what needs no further record. Pitfalls 4, 8, 12, 13, 33.
func TestRestoreOnAQuietPrimary(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	before := s.onPrimary(t, clockNow)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	time.Sleep(1100 * time.Millisecond) // the moment must be later than the commit by the margin that proves quiet
	quiet := s.onPrimary(t, clockNow)
	time.Sleep(1100 * time.Millisecond)

	s.declare(t, entry{Name: "quiet", Target: fmt.Sprintf("time: %q", quiet), Port: s.RestorePort})
	s.converges(t)
	if got := s.on(t, "quiet", steps); got != "1" {
		t.Errorf("the restore to a quiet moment holds %s", got)
	}
	s.declare(t)
	s.converges(t)
	s.declare(t, entry{Name: "future", Target: `time: "2090-01-01 00:00:00+00"`, Port: s.RestorePort})
	s.refuses(t, "future", "not come yet", "WAL is here up to")
	s.declare(t, entry{Name: "early", Target: fmt.Sprintf("time: %q", before), Port: s.RestorePort})
	s.refuses(t, "early", "before what any snapshot serves", "zr-")

	must(t, s.Primary.Stop())
	eventually(t, "the standby to lose its primary", func() bool {
		return s.standbyText(t, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0"
	})
	gone := time.Now().UTC().Format("2006-01-02 15:04:05.000000+00")
	s.declare(t, entry{Name: "unknown", Target: fmt.Sprintf("time: %q", gone), Port: s.RestorePort})
	s.refuses(t, "unknown", "not connected", "WAL is here up to")
	s.atTheShutdownCheckpoint(t)
}

// TestPitfall12_ConnectedIsNotReceived: a standby that looks connected may lack
// what its primary has written. Whether there was a commit in between is for the
// primary to say, and for its WAL to come in first.
func TestPitfall12_ConnectedIsNotReceived(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	receiver, err := strconv.Atoi(s.standbyText(t, "SELECT pid::text FROM pg_stat_wal_receiver"))
	must(t, err)
	must(t, syscall.Kill(receiver, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(receiver, syscall.SIGCONT) })
	s.commit(t, 2)
	time.Sleep(1100 * time.Millisecond) // the margin that proves quiet
	s.declare(t, entry{Name: "r", Target: fmt.Sprintf("time: %q", s.onPrimary(t, clockNow)), Port: s.RestorePort})
	s.apply(t).exits(t, exitRefused).says(t, "the standby lags")

	must(t, syscall.Kill(receiver, syscall.SIGCONT))
	s.caughtUp(t)
	s.converges(t)
	if got := s.on(t, "r", steps); got != "1 2" {
		t.Errorf("it holds %s", got)
	}
}

// atTheShutdownCheckpoint: the primary's shutdown checkpoint is the last record
// that there is, and the snapshot's own checkpoint. No record follows at which
// a server could stop, and it begins behind the one that is left; so does, when
// it starts again, the server of a restore from an older snapshot.
func (s *site) atTheShutdownCheckpoint(t *testing.T) {
	t.Helper()
	older := entry{Name: "older", Target: "latest: true", Port: freePort(t)}
	s.declare(t, older)
	s.converges(t)
	s.run(t, "snapshot").exits(t, exitDone)
	list := s.snapshotNames(t)
	ports := []int{freePort(t), freePort(t), freePort(t)}
	s.declare(t, older,
		entry{Name: "snap", Target: "snapshot: " + slices.Max(list), Port: ports[0]},
		entry{Name: "latest", Target: "latest: true", Port: ports[1]},
		entry{Name: "first", Target: "snapshot: " + slices.Min(list), Port: ports[2]})
	s.converges(t)
	for name, want := range map[string]string{"older": "1", "snap": "1", "latest": "1"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}
	place := func(name string) string { return s.on(t, name, "SELECT pg_last_wal_replay_lsn()::text") }
	stood := map[string]string{}
	for _, name := range []string{"older", "snap", "latest", "first"} {
		stood[name] = place(name)
	}
	must(t, s.Primary.Start())
	s.commit(t, 2)
	s.caughtUp(t)
	for name := range stood { // pitfall 33: never back, and not forward
		s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.cloneDir(t, name))
	}
	if p := s.plan(t).exits(t, exitPending).plan(t); p.Summary["start"] != len(stood) {
		t.Errorf("the plan is %q", p.changes())
	}
	s.converges(t)
	for name, want := range map[string]string{"older": "1", "snap": "1", "latest": "1"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("after a restart %s holds %s, want %s", name, got, want)
		}
	}
	for name, was := range stood {
		if now := place(name); now != was {
			t.Errorf("after a restart %s stands at %s, and stood at %s", name, now, was)
		}
	}
	s.declare(t,
		entry{Name: "snap", Target: "snapshot: " + slices.Max(list), Port: ports[0], More: []string{"action: promote"}},
		entry{Name: "latest", Target: "latest: true", Port: ports[1]})
	s.converges(t)
	if got := s.on(t, "snap", "SELECT pg_is_in_recovery()::text"); got != "false" {
		t.Error("the restore that waited was not promoted")
	}
}

// cloneDir is the data directory of a restore.
func (s *site) cloneDir(t testing.TB, name string) string {
	t.Helper()
	return s.on(t, name, "SHOW data_directory")
}

// snapshotNames are in the order of status.
func (s *site) snapshotNames(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, snapshot := range s.status(t).Snapshots {
		names = append(names, snapshot.Name)
	}
	return names
}
