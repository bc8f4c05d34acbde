package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

const commitTime = "SELECT to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') FROM steps WHERE n = %d"

// TestPitfall9_NoCommitBehindRedo has a snapshot with no commit between redo and
// where it is consistent: a server asked to stop before the last commit that it
// holds would say that it did, with that commit in it. Nor does pg_control's own
// time tell: it is in whole seconds, and before both commits. The same snapshot
// serves what is later, also when it was taken after that; and so does one of a
// standby that has replayed nothing since its start. Pitfalls 8, 9, 10, 15.
func TestPitfall9_NoCommitBehindRedo(t *testing.T) {
	s := newSite(t, timedPrimary(t))
	s.converges(t)
	first := s.snapshotNames(t)[0]
	s.commitsWithinTheCheckpointsSecond(t)
	inTwo, inThree := s.onPrimary(t, fmt.Sprintf(commitTime, 2)), s.onPrimary(t, fmt.Sprintf(commitTime, 3))
	redo, behind := s.onPrimary(t, "SELECT redo_lsn::text FROM pg_control_checkpoint()"), s.onPrimary(t, insertedTo)
	s.goesOnWithoutACommit(t)
	command(t, "zfs", "destroy", s.Name+"/data@"+first) // it would serve all that is earlier
	s.run(t, "snapshot").exits(t, exitDone)
	s.servesFrom(t, redo, inThree)

	s.declare(t, entry{Name: "two", Target: fmt.Sprintf("time: %q", inTwo), Port: s.RestorePort})
	s.refuses(t, "two", "before what any snapshot serves", utc(t, inThree).Format("15:04:05.000000"))
	s.declare(t, entry{Name: "redo", Target: fmt.Sprintf("lsn: %s, stop: before", redo), Port: s.RestorePort})
	s.refuses(t, "redo", redo, "before what any snapshot serves", "the earliest LSN is")
	s.stampedTooLow(t, behind)

	// Pitfall 10: the target is before the snapshot was taken, and in what it serves.
	s.commit(t, 4)
	s.caughtUp(t)
	three := entry{Name: "three", Target: fmt.Sprintf("time: %q", inThree), Port: s.RestorePort}
	s.declare(t, three)
	s.converges(t)
	if got := s.on(t, "three", steps); got != "1 2 3" {
		t.Errorf("up to the commit of 3 it holds %s", got)
	}
	s.declare(t)
	s.converges(t)
	s.restartedStandby(t)
}

// stampedTooLow: whatever a snapshot was stamped with, its own pg_control says
// what it serves, before a server is started. Pitfall 8.
func (s *site) stampedTooLow(t *testing.T, lsn string) {
	t.Helper()
	snapshot := s.status(t).Snapshots[0]
	full := s.Name + "/data@" + snapshot.Name
	command(t, "zfs", "set", "zreconcile:consistent="+lsn, full)
	s.declare(t, entry{Name: "low", Target: fmt.Sprintf("lsn: %s, stop: before", lsn), Port: s.RestorePort})
	s.apply(t).exits(t, exitFailed).says(t, "is consistent only from "+snapshot.Earliest.LSN)
	command(t, "zfs", "set", "zreconcile:consistent="+snapshot.Earliest.LSN, full)
}

// restartedStandby takes a snapshot of a standby that has replayed no commit
// since its start, and so knows the time of none. Pitfall 15.
func (s *site) restartedStandby(t *testing.T) {
	t.Helper()
	inFour := s.onPrimary(t, fmt.Sprintf(commitTime, 4))
	must(t, s.Primary.Exec("CHECKPOINT"))
	s.goesOnWithoutACommit(t)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.converges(t)
	if known := s.standbyText(t, "SELECT pg_last_xact_replay_timestamp()::text"); known != "" {
		t.Fatalf("the standby has replayed a commit of %s since its start", known)
	}
	for _, name := range s.snapshotNames(t) {
		command(t, "zfs", "destroy", s.Name+"/data@"+name)
	}
	s.run(t, "snapshot").exits(t, exitDone)
	s.servesFrom(t, "0/0", inFour)
	s.declare(t, entry{Name: "late", Target: fmt.Sprintf("time: %q", s.onPrimary(t, fmt.Sprintf(commitTime, 3))), Port: s.RestorePort})
	s.refuses(t, "late", "before what any snapshot serves", utc(t, inFour).Format("15:04:05.000000"))
}

// timedPrimary keeps the times of commits, and commits nothing by itself.
func timedPrimary(t *testing.T) *primary.Primary {
	t.Helper()
	p := ownPrimary(t, primary.Plain)
	must(t, p.Exec("ALTER SYSTEM SET track_commit_timestamp = on", "ALTER SYSTEM SET autovacuum = off"))
	must(t, p.Stop())
	must(t, p.Start())
	return p
}

// commitsWithinTheCheckpointsSecond commits the steps 1, 2 and 3, and makes a
// checkpoint behind them whose time, in whole seconds, is before 2.
func (s *site) commitsWithinTheCheckpointsSecond(t *testing.T) {
	t.Helper()
	for range 10 {
		s.stepTable(t)
		must(t, s.Primary.Exec("INSERT INTO steps VALUES (1)", "SELECT pg_sleep(1.05 - extract(epoch FROM clock_timestamp())::numeric % 1)",
			"INSERT INTO steps VALUES (2)", "INSERT INTO steps VALUES (3)", "CHECKPOINT"))
		if s.onPrimary(t, "SELECT (checkpoint_time < pg_xact_commit_timestamp(xmin))::text FROM pg_control_checkpoint(), steps WHERE n = 2") == "true" {
			return
		}
	}
	t.Fatal("this machine is too slow for two commits and a checkpoint in one second")
}

// goesOnWithoutACommit lets the standby replay a checkpoint, and be consistent
// only behind records that no transaction belongs to.
func (s *site) goesOnWithoutACommit(t *testing.T) {
	t.Helper()
	s.caughtUp(t)
	s.asOSUser(t, "psql", "-h", s.Dir+"/s", "-p", text(s.Port), "-qXc", "CHECKPOINT", "postgres")
	must(t, s.Primary.Exec("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 100000))"))
	s.caughtUp(t)
}

// servesFrom proves that the only snapshot is consistent beyond an LSN, and
// serves from the moment of that commit on.
func (s *site) servesFrom(t *testing.T, redo, at string) {
	t.Helper()
	list := s.status(t).Snapshots
	if len(list) != 1 || list[0].Earliest == nil || list[0].Earliest.Time == nil {
		t.Fatalf("the snapshots are %+v", list)
	}
	if e := list[0].Earliest; !e.Time.Equal(utc(t, at)) {
		t.Errorf("it serves from %s, and the newest commit that it holds is of %s", e.Time, at)
	}
	if beyond := s.onPrimary(t, fmt.Sprintf("SELECT ('%s'::pg_lsn > '%s')::text", list[0].Earliest.LSN, redo)); beyond != "true" {
		t.Errorf("it is consistent at %s, which is not beyond %s", list[0].Earliest.LSN, redo)
	}
}

// utc reads a time as commitTime and clockNow write it.
func utc(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05.999999+00", text)
	must(t, err)
	return at
}

// TestPitfall13_CleanlyStopped takes a snapshot of a standby that was stopped in
// order, behind a primary that is gone: no record follows at which a server could
// stop. Each kind of target that lies there is served all the same.
func TestPitfall13_CleanlyStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t, timedPrimary(t))
	s.converges(t)
	first := s.snapshotNames(t)[0]
	s.stepTable(t)
	s.commit(t, 1)
	s.commit(t, 2)
	inOne := s.onPrimary(t, fmt.Sprintf(commitTime, 1))
	inTwo := s.onPrimary(t, fmt.Sprintf(commitTime, 2))
	s.caughtUp(t)
	must(t, s.Primary.Stop())
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.run(t, "snapshot").exits(t, exitDone)
	last := slices.Max(s.snapshotNames(t))

	want := map[string]string{"snap": "1 2", "latest": "1 2", "one": "1"}
	s.declare(t,
		entry{Name: "snap", Target: "snapshot: " + last, Port: freePort(t)},
		entry{Name: "latest", Target: "latest: true", Port: freePort(t)},
		entry{Name: "one", Target: fmt.Sprintf("time: %q", inOne), Port: freePort(t)})
	s.converges(t)
	for name, rows := range want {
		if got := s.on(t, name, steps); got != rows {
			t.Errorf("%s holds %s, want %s", name, got, rows)
		}
	}
	for _, r := range s.status(t).Restores {
		if base := map[string]string{"snap": last, "latest": last, "one": first}[r.Name]; r.Snapshot != base {
			t.Errorf("%s is made from %s, want %s", r.Name, r.Snapshot, base)
		}
	}
	s.atTheEndOfWAL(t)
	// Whether the primary committed more until then is not known.
	s.declare(t, entry{Name: "two", Target: fmt.Sprintf("time: %q", inTwo), Port: s.RestorePort})
	s.refuses(t, "two", "not connected", "WAL is here up to")
	must(t, s.Primary.Start())
	s.caughtUp(t)
	s.converges(t)
	if got := s.on(t, "two", steps); got != "1 2" {
		t.Errorf("with a primary that tells that it was quiet, it holds %s", got)
	}
}

// atTheEndOfWAL: a server compares where records begin, so the LSN at which WAL
// ends is one that it never comes to. What is before it can be had, and what
// would begin there is not there. Pitfall 12.
func (s *site) atTheEndOfWAL(t *testing.T) {
	t.Helper()
	end := s.standbyText(t, "SELECT pg_last_wal_replay_lsn()::text")
	s.declare(t, entry{Name: "end", Target: fmt.Sprintf("lsn: %s, stop: after", end), Port: s.RestorePort})
	s.refuses(t, "end", "LSN "+end+" is later than all WAL")
	s.declare(t, entry{Name: "end", Target: fmt.Sprintf("lsn: %s, stop: before", end), Port: s.RestorePort})
	s.converges(t)
	if got := s.on(t, "end", steps); got != "1 2" {
		t.Errorf("before the end of WAL it holds %s", got)
	}
}

// TestPitfall14_NoBase: what a promoted standby or a copy that was not replayed
// yet holds is no base for a restore. No snapshot is taken of it, and one that
// somebody made and marked all the same is not used.
func TestPitfall14_NoBase(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	snapshots := s.snapshotNames(t)
	stop := func() { s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir()) }
	refused := func(what, says string) {
		t.Helper()
		s.run(t, "snapshot").exits(t, exitRefused).says(t, says)
		if got := s.snapshotNames(t); !slices.Equal(got, snapshots) {
			t.Errorf("%s: the snapshots are %q, and were %q", what, got, snapshots)
		}
	}
	stop()
	label := filepath.Join(s.DataDir(), "backup_label")
	must(t, os.WriteFile(label, []byte("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n"), 0o600))
	refused("a copy that was not replayed yet", "backup_label")
	must(t, os.Remove(label))

	s.converges(t)
	s.asOSUser(t, "pg_ctl", "promote", "-w", "-D", s.DataDir())
	refused("a promoted standby", "promoted")
	stop()
	refused("one that was stopped then", "promoted")

	forged := s.Name + "/data@zr-20300101T000000Z"
	command(t, "zfs", "snapshot", forged)
	for _, line := range strings.Split(command(t, "zfs", "get", "-H", "-o", "property,value,source", "all", s.Name+"/data@"+snapshots[0]), "\n") {
		if field := strings.Split(line, "\t"); strings.HasPrefix(line, "zreconcile:") && field[2] == "local" {
			command(t, "zfs", "set", field[0]+"="+field[1], forged)
		}
	}
	s.declare(t, entry{Name: "forged", Target: "snapshot: zr-20300101T000000Z", Port: s.RestorePort})
	r := s.apply(t).exits(t, exitFailed).says(t, "is no base for a restore")
	for _, c := range r.plan(t).Changes {
		if c.Kind == "restore" && c.Result != "failed" {
			t.Errorf("the restore is %s: %s", c.Result, c.Error)
		}
	}
}
