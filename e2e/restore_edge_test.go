package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestRestoreAtTheEndOfWAL: an LSN in the middle of the last record lets that
// record in, which begins before it. And status shows no moment beyond what WAL
// proves, once the primary is gone, so that each can be had. Pitfall 12.
func TestRestoreAtTheEndOfWAL(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.commit(t, 2)
	var middle string
	must(t, s.Primary.QueryRow("SELECT (pg_current_wal_insert_lsn() - 8)::text", &middle))
	s.caughtUp(t)
	s.declare(t, entry{Name: "middle", Target: fmt.Sprintf("lsn: %s, stop: before", middle), Port: s.RestorePort})
	s.apply(t).exits(t, exitDone)
	if got := s.on(t, "middle", steps); got != "1 2" {
		t.Errorf("it holds %s", got)
	}

	s.declare(t)
	s.run(t, "snapshot").exits(t, exitDone) // behind which no commit comes
	must(t, s.Primary.Stop())
	eventually(t, "the standby to lose its primary", func() bool {
		return s.standbyText(t, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0"
	})
	windows := s.status(t).Windows
	if len(windows) != 1 {
		t.Fatalf("status shows the windows %v", windows)
	}
	to := windows[0].To.UTC()
	at := func(moment time.Time) string {
		return fmt.Sprintf("time: %q", moment.Format("2006-01-02 15:04:05.000000+00"))
	}
	s.declare(t, entry{Name: "beyond", Target: at(to.Add(time.Microsecond)), Port: s.RestorePort})
	s.refuses(t, "beyond", "not connected")
	s.declare(t, entry{Name: "last", Target: at(to), Port: s.RestorePort})
	s.apply(t).exits(t, exitDone)
	if got := s.on(t, "last", steps); got != "1" {
		t.Errorf("the last moment of status holds %s", got)
	}
}

// TestRestoreWithoutTheArchive: a clone would be given no WAL at all, so nothing
// can be had until the archive is there again. Pitfall 56.
func TestRestoreWithoutTheArchive(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	s.caughtUp(t)
	command(t, "zfs", "unmount", s.Name+"/wal")
	if windows := s.status(t).Windows; len(windows) != 0 {
		t.Errorf("status shows the windows %v", windows)
	}
	s.declare(t, entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort})
	s.refuses(t, "r", "is not mounted", "zfs mount "+s.Name+"/wal")
	command(t, "zfs", "mount", s.Name+"/wal")
	s.converges(t)
	if got := s.on(t, "r", steps); got != "1" {
		t.Errorf("it holds %s", got)
	}
}

// TestRestoreAcrossATakenBackRaise: neither the snapshot nor the standby tells of
// a setting that was raised for a while; the WAL on the way does. Pitfalls 31, 40.
func TestRestoreAcrossATakenBackRaise(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	restarted := func(statements ...string) {
		t.Helper()
		must(t, p.Exec(statements...))
		must(t, p.Stop())
		must(t, p.Start())
	}
	restarted("ALTER SYSTEM SET max_connections = 150")
	s.commit(t, 2)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	eventually(t, "plan to see the raise", func() bool { return s.plan(t).plan(t).has("update", "conf") })
	s.converges(t)
	restarted("ALTER SYSTEM RESET max_connections")
	s.commit(t, 4)
	s.caughtUp(t)
	s.converges(t)
	s.declare(t, entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort})
	s.converges(t)
	if got := s.on(t, "r", steps); got != "1 2" {
		t.Errorf("it holds %s", got)
	}
}

// TestRestoreBeyondMinimalWAL: no server replays beyond the start of a primary
// with wal_level=minimal. That is refused; what came before can be had.
func TestRestoreBeyondMinimalWAL(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	before := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	must(t, p.Exec("ALTER SYSTEM SET wal_level = minimal", "ALTER SYSTEM SET max_wal_senders = 0"))
	must(t, p.Stop())
	must(t, p.Start())
	minimal := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	must(t, p.Exec("ALTER SYSTEM RESET wal_level", "ALTER SYSTEM RESET max_wal_senders"))
	must(t, p.Stop())
	must(t, p.Start())
	eventually(t, "the standby to come to the minimal WAL", func() bool {
		var st statusJSON
		s.run(t, "status", "-o", "json").exits(t, exitDone, exitFailed).decode(t, &st) // it fails in the moment in which the server ends
		return !st.Standby.Running
	})
	for _, w := range s.status(t).Windows {
		if at := w.To.UTC().Format("2006-01-02 15:04:05.000000+00"); at >= minimal {
			t.Errorf("status shows moments up to %s, and WAL is minimal since %s", at, minimal)
		}
	}
	s.declare(t,
		entry{Name: "beyond", Target: "latest: true", Port: freePort(t)},
		entry{Name: "before", Target: fmt.Sprintf("time: %q", before), Port: freePort(t)})
	changes := s.plan(t).exits(t, exitRefused).says(t, "wal_level=minimal", "stop: before}").plan(t).changes()
	for _, want := range []string{"block restore/beyond", "create restore/before"} {
		if !slices.Contains(changes, want) {
			t.Errorf("the plan is %q", changes)
		}
	}
	s.run(t, "apply", "--only", "restore/before").exits(t, exitDone)
	if got := s.on(t, "before", steps); got != "1" {
		t.Errorf("it holds %s", got)
	}
}

// TestRestoreAwaitsAsynchronousCommits: what did not wait for the disk is sent to
// us late, and is no less committed. Whether there was any only the server can
// say that the standby follows. Pitfall 12.
func TestRestoreAwaitsAsynchronousCommits(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.caughtUp(t)
	must(t, p.Exec("ALTER SYSTEM SET wal_writer_delay = '4s'", "SELECT pg_reload_conf()"))
	must(t, p.Exec("SET synchronous_commit = off", "INSERT INTO steps VALUES (1)", "SELECT pg_sleep(0.2)", // wakes the WAL writer
		"INSERT INTO steps VALUES (2)"))
	moment := s.onPrimary(t, clockNow)
	s.declare(t, entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort})
	s.run(t, "apply", "--only", "restore").exits(t, exitDone)
	if got := s.on(t, "r", steps); got != "1 2" {
		t.Errorf("it holds %s", got)
	}

	quiet := s.onPrimary(t, clockNow)
	s.Primary = ownPrimary(t, primary.Plain)
	s.declare(t, entry{Name: "other", Target: fmt.Sprintf("time: %q", quiet), Port: s.RestorePort})
	s.plan(t).says(t, "is not the one that the standby follows")
}

// TestRestoreOfTheLatestNeedsTheLivePgWAL: what was received last is in the
// standby's own pg_wal, and no earlier moment is taken for it. What the archive
// reaches can be had. Pitfall 56.
func TestRestoreOfTheLatestNeedsTheLivePgWAL(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	segment := s.onPrimary(t, "SELECT pg_walfile_name(pg_switch_wal())")
	s.commit(t, 3)
	s.caughtUp(t)
	eventually(t, "the segment to be archived", func() bool {
		return s.standbyText(t, "SELECT (last_archived_wal >= '"+segment+"')::text FROM pg_stat_archiver") == "true"
	})
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", s.DataDir()) // else it archives more
	command(t, "zfs", "unmount", s.Name+"/data")
	s.declare(t,
		entry{Name: "latest", Target: "latest: true", Port: freePort(t)},
		entry{Name: "earlier", Target: fmt.Sprintf("time: %q", moment), Port: freePort(t)})
	s.run(t, "apply", "--only", "restore").exits(t, exitRefused).says(t, "what was received last is not known", "zfs mount "+s.Name+"/data")
	if got := s.on(t, "earlier", steps); got != "1" {
		t.Errorf("it holds %s", got)
	}
	command(t, "zfs", "mount", s.Name+"/data")
	s.converges(t)
	if got := s.on(t, "latest", steps); got != "1 2 3" {
		t.Errorf("the latest moment holds %s", got)
	}
}
