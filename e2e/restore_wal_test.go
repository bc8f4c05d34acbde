package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// switchSegment ends the primary's segment behind what was written and gives its name.
func (s *site) switchSegment(t testing.TB) string {
	t.Helper()
	name := s.onPrimary(t, "SELECT pg_walfile_name(pg_switch_wal())")
	must(t, s.Primary.Exec("SELECT pg_create_restore_point('a record in the next')"))
	s.caughtUp(t)
	return name
}

func (s *site) inArchive(name string) string { return filepath.Join(s.WALMount, "archive", name) }

// inLive is a segment's file in the standby's own pg_wal.
func (s *site) inLive(name string) string { return filepath.Join(s.DataDir(), "pg_wal", name) }

// reachesArchive waits until the archiver has brought a segment.
func (s *site) reachesArchive(t testing.TB, name string) {
	t.Helper()
	eventually(t, name+" in the archive", func() bool {
		_, err := os.Stat(s.inArchive(name))
		return err == nil
	})
}

// TestRestoreWAL damages and removes WAL on the way to a target: what another
// place has is served, and what none has is refused with nothing changed.
// Pitfalls 16, 17.
func TestRestoreWAL(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Odd)) // segments of 1 MB
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	first := s.switchSegment(t)
	s.commit(t, 2)
	second := s.switchSegment(t)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	s.switchSegment(t)
	s.reachesArchive(t, first)
	s.reachesArchive(t, second)
	e := entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort}
	good, err := os.ReadFile(s.inArchive(second))
	must(t, err)
	liveCopy, err := os.ReadFile(s.inLive(second))
	must(t, err)
	whole := func(t *testing.T) {
		t.Helper()
		must(t, os.WriteFile(s.inArchive(second), good, 0o600))
		command(t, "chown", "postgres:postgres", s.inArchive(second))
		s.declare(t)
		s.converges(t)
	}
	serves := func(t *testing.T) {
		t.Helper()
		s.declare(t, e)
		s.apply(t).exits(t, exitDone)
		if got := s.on(t, "r", steps); got != "1 2" {
			t.Errorf("it holds %s", got)
		}
		s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.cloneDir(t, "r"))
		s.apply(t).exits(t, exitDone)
		if got := s.on(t, "r", steps); got != "1 2" {
			t.Errorf("started again it holds %s", got)
		}
	}
	damaged := append([]byte{}, good...)
	for i := 100; i < 4000; i++ {
		damaged[i] ^= 0x55
	}
	t.Run("archived copy is damaged, live one is good", func(t *testing.T) {
		must(t, os.WriteFile(s.inArchive(second), damaged, 0o600))
		serves(t)
		whole(t)
	})
	t.Run("archived copy is gone, live one is there", func(t *testing.T) {
		must(t, os.Remove(s.inArchive(second)))
		serves(t)
		whole(t)
	})
	t.Run("both are gone", func(t *testing.T) {
		must(t, os.Remove(s.inArchive(second)))
		must(t, os.Remove(s.inLive(second)))
		standby := s.postmaster(t)
		s.declare(t, e)
		s.refuses(t, "r", second, "missing", "nearest")
		if s.postmaster(t) != standby {
			t.Error("the live standby was touched")
		}
		s.declare(t, entry{Name: "r", Target: "snapshot: " + s.snapshotNames(t)[0], Port: s.RestorePort})
		s.converges(t) // what does not need it can be had
		whole(t)
	})
	t.Run("both are damaged", func(t *testing.T) {
		must(t, os.WriteFile(s.inLive(second), liveCopy, 0o600))
		must(t, os.WriteFile(s.inArchive(second), damaged, 0o600))
		must(t, os.WriteFile(s.inLive(second), damaged, 0o600))
		s.declare(t, e)
		s.refuses(t, "r", second, "damaged", "nearest")
		must(t, os.Remove(s.inLive(second)))
		whole(t)
	})
	t.Run("the base's own segment is damaged in the archive", func(t *testing.T) {
		own := s.onPrimary(t, "SELECT pg_walfile_name('"+s.status(t).Snapshots[0].RedoLSN+"'::pg_lsn + 1)")
		content, err := os.ReadFile(s.inArchive(own))
		must(t, err)
		for i := 100; i < 4000; i++ {
			content[i] ^= 0x55
		}
		must(t, os.WriteFile(s.inArchive(own), content, 0o600))
		must(t, os.RemoveAll(s.inLive(own)))
		s.declare(t, entry{Name: "r", Target: "snapshot: " + s.snapshotNames(t)[0], Port: s.RestorePort})
		s.plan(t).exits(t, exitPending).says(t, own+" is damaged in the archive")
		s.apply(t).exits(t, exitDone) // the snapshot holds it itself
		s.on(t, "r", "SHOW port")
		s.declare(t)
		s.apply(t).exits(t, exitDone)
	})
	t.Run("a later snapshot holds what both lost", func(t *testing.T) {
		must(t, os.WriteFile(s.inLive(second), liveCopy, 0o600))
		command(t, "chown", "postgres:postgres", s.inLive(second))
		s.run(t, "snapshot").exits(t, exitDone)
		must(t, os.Remove(s.inLive(second)))
		must(t, os.Remove(s.inArchive(second)))
		serves(t)
	})
}
