package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestEject takes the program away from a site: standby and restore go on, also
// after a restart by hand, and nothing of the program is left that they need. An
// apply of the same file adopts the standby again.
func TestEject(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Slot = "zreconcile"
	s.write(t)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot", "--hold").exits(t, exitDone)
	held := s.Name + "/data@" + slices.Max(s.snapshotNames(t))
	s.commit(t, 2)
	target := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	s.caughtUp(t)
	s.declare(t, entry{Name: "two", Target: "time: '" + target + "'", Port: s.RestorePort})
	s.converges(t)
	// Pitfall 54: what is another site's stays, and what ZFS handed down is nobody's.
	command(t, "zfs", "create", "-o", "zreconcile:site=other", s.Name+"/other")
	restore := restoreOf(t, s, "two")

	s.ejectIsRefusedWhileWatched(t)
	before := s.traces(t)
	p := s.run(t, "eject", "--plan", "-o", "json").exits(t, exitDone).plan(t)
	for _, want := range []string{"update restore/two", "update conf/standby", "delete standby/slot zreconcile", "update dataset/" + s.Name + "/data"} {
		if !slices.Contains(p.changes(), want) {
			t.Errorf("%q is not in the plan: %q", want, p.changes())
		}
	}
	sameTraces(t, before, s.traces(t))
	snapshots := command(t, "zfs", "list", "-H", "-r", "-t", "all", "-o", "name", s.Name)
	pid := s.postmaster(t)

	s.run(t, "eject").exits(t, exitDone).says(t, "nothing here needs zreconcile any more", held+" stays held", "archiving ends")
	if s.postmaster(t) != pid {
		t.Error("the standby was restarted")
	}
	if now := command(t, "zfs", "list", "-H", "-r", "-t", "all", "-o", "name", s.Name); now != snapshots {
		t.Errorf("datasets and snapshots were\n%s and are\n%s", snapshots, now)
	}
	s.hasNoTrace(t)
	if got := s.onPrimary(t, "SELECT count(*)::text FROM pg_replication_slots"); got != "0" {
		t.Errorf("%s slots are left on the primary", got)
	}
	s.commit(t, 4)
	s.caughtUp(t)

	// Nothing of ours is there any more when they start again.
	must(t, os.Remove(s.helper()))
	for _, dir := range []string{s.DataDir(), restore.dataDir} {
		s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", dir)
		s.asOSUser(t, "pg_ctl", "start", "-w", "-D", dir, "-l", filepath.Join(dir, "by-hand.log"))
	}
	must(t, s.Primary.Exec("SELECT pg_switch_wal()"))
	s.commit(t, 5)
	s.caughtUp(t)
	if got := s.standbyText(t, steps); got != "1 2 3 4 5" {
		t.Errorf("the standby holds %s", got)
	}
	if got := s.standbyText(t, "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('archive_mode', 'primary_slot_name')"); got != "archive_mode=off primary_slot_name=" {
		t.Errorf("after its restart it has %s", got)
	}
	eventually(t, "the restore to be at its target again", func() bool {
		got, err := trySocketText(restore.connect, s.Primary.Superuser, steps)
		return err == nil && got == "1 2"
	})
	if got := socketText(t, restore.connect, s.Primary.Superuser, "SELECT pg_is_in_recovery()::text"); got != "true" {
		t.Errorf("the restore is in recovery: %s", got)
	}

	if p := s.run(t, "eject", "-o", "json").exits(t, exitDone).plan(t); len(p.Changes) != 0 || !*p.Converged {
		t.Errorf("a second eject changes %q", p.changes())
	}
	s.adoptsAgain(t)
}

// ejectIsRefusedWhileWatched: a watch would adopt the site again at once.
func (s *site) ejectIsRefusedWhileWatched(t *testing.T) {
	t.Helper()
	watch := s.start(t, "watch")
	eventually(t, "eject to be refused", func() bool {
		return s.run(t, "eject", "--plan").exits(t, exitDone).mentions("watch runs for this site")
	})
	before := s.traces(t)
	s.run(t, "eject").exits(t, exitRefused).says(t, "nothing was done", "watch")
	sameTraces(t, before, s.traces(t))
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
}

func sameTraces(t *testing.T, before, after map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("something was changed (-before +after):\n%s", diff)
	}
}

// mentions is says for what comes by itself.
func (r result) mentions(text string) bool { return strings.Contains(r.Stdout, text) }

// ejected is a restore as it is reached without the program.
type ejected struct{ dataDir, connect string }

func restoreOf(t *testing.T, s *site, name string) ejected {
	t.Helper()
	for _, r := range s.status(t).Restores {
		if r.Name == name {
			return ejected{connect: r.Connect, dataDir: socketText(t, r.Connect, s.Primary.Superuser, "SHOW data_directory")}
		}
	}
	t.Fatalf("status shows no restore %s", name)
	return ejected{}
}

// hasNoTrace proves that no setting calls the program, and no mark of the site is left.
func (s *site) hasNoTrace(t *testing.T) {
	t.Helper()
	const calls = "SELECT coalesce(string_agg(name, ' '), 'none') FROM pg_settings WHERE setting LIKE '%wal get%' OR setting LIKE '%wal push%'"
	if got := s.standbyText(t, calls); got != "none" {
		t.Errorf("the standby calls the program by %s", got)
	}
	out := command(t, "zfs", "get", "-r", "-H", "-s", "local", "-o", "name,property,value", "all", s.Name)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "zreconcile:") && line != s.Name+"/other\tzreconcile:site\tother\n" {
			t.Errorf("a mark is left: %s", line)
		}
	}
	if !strings.Contains(out, s.Name+"/other\tzreconcile:site\tother\n") {
		t.Error("the mark of another site is gone")
	}
	for _, dir := range s.mountpoints(t) {
		files, err := filepath.Glob(filepath.Join(dir, "pgdata", "*.conf"))
		must(t, err)
		for _, file := range files {
			for _, line := range confLines(t, file) {
				if strings.Contains(line, "wal get") || strings.Contains(line, "wal push") {
					t.Errorf("%s: %s", file, line)
				}
			}
		}
	}
}

// adoptsAgain applies the same file, without the restore, whose name is taken.
func (s *site) adoptsAgain(t *testing.T) {
	t.Helper()
	if p := s.plan(t).exits(t, exitRefused).plan(t); !p.has("block", "restore") {
		t.Errorf("with an entry whose name is taken, plan has %q", p.changes())
	}
	s.declare(t)
	if p := s.plan(t).exits(t, exitPending).plan(t); !p.has("update", "conf") || !p.has("create", "snapshot") {
		t.Errorf("to adopt it again, plan has %q", p.changes())
	}
	s.converges(t)
	s.standbyStreams(t)
	if got := s.onPrimary(t, "SELECT coalesce(string_agg(slot_name || ' ' || active, ' '), 'none') FROM pg_replication_slots"); got != "zreconcile true" {
		t.Errorf("slots of the primary: %s", got)
	}
}

// TestEjectKeepsTheSlotOfAStandbyThatNeedsIt: while the standby is away, the
// slot keeps what it lacks; it goes once the standby streams again.
func TestEjectKeepsTheSlotOfAStandbyThatNeedsIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Slot = "zreconcile"
	s.write(t)
	s.converges(t)
	s.caughtUp(t)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.run(t, "eject").exits(t, exitRefused).says(t, "slot keeps the WAL that it still needs", "pg_drop_replication_slot('zreconcile')")
	s.asOSUser(t, "pg_ctl", "start", "-w", "-D", s.DataDir(), "-l", filepath.Join(s.DataDir(), "by-hand.log"))
	eventually(t, "the standby to stream through the slot", func() bool {
		return s.onPrimary(t, "SELECT active::text FROM pg_replication_slots") == "true"
	})
	eventually(t, "the slot to go", func() bool { return s.run(t, "eject").Code == exitDone })
	if got := s.onPrimary(t, "SELECT count(*)::text FROM pg_replication_slots"); got != "0" {
		t.Errorf("%s slots are left on the primary", got)
	}
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
}
