package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestPitfall16_17_DamageUnderRunningServers damages archived WAL and restarts
// the servers that read it again, with no apply that could heal it before. A
// server takes the archive's copy over its own, and one that is told that a file
// is absent goes on without it: the clone must be given a good copy or stop, and
// the live standby must never stop.
func TestPitfall16_17_DamageUnderRunningServers(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd)) // segments of 1 MB
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	first := s.switchSegment(t)
	s.commit(t, 2)
	second := s.switchSegment(t)
	s.commit(t, 3)
	s.reachesArchive(t, first)
	s.reachesArchive(t, second)
	s.declare(t, entry{Name: "r", Target: "latest: true", Port: s.RestorePort})
	s.converges(t)
	clone, socket := s.cloneDir(t, "r"), s.status(t).Restores[0].Connect
	stop := func(t *testing.T, dir string) { s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", dir) }
	start := func(dir, log string) error {
		_, err := tryCommand("runuser", "-u", "postgres", "--", filepath.Join(s.Primary.BinDir, "pg_ctl"), "start", "-w", "-D", dir, "-l", log)
		return err
	}
	log := filepath.Join(s.DataMount, "clone.log")
	must(t, os.WriteFile(log, nil, 0o666))
	must(t, os.Chmod(log, 0o666))
	damage(t, s.inArchive(second))

	t.Run("the live standby goes on with its own", func(t *testing.T) {
		damage(t, s.inArchive(first))
		stop(t, s.DataDir())
		must(t, start(s.DataDir(), log))
		s.standbyStreams(t)
	})
	t.Run("a clone is given the live one", func(t *testing.T) {
		stop(t, clone)
		must(t, os.RemoveAll(filepath.Join(clone, "pg_wal", second)))
		must(t, start(clone, log))
		eventually(t, "the clone to come to its target", func() bool {
			state, err := trySocketText(socket, s.Primary.Superuser, "SELECT pg_get_wal_replay_pause_state()")
			return err == nil && state == "paused"
		})
		if got := socketText(t, socket, s.Primary.Superuser, steps); got != "1 2 3" {
			t.Errorf("it holds %s", got)
		}
	})
	t.Run("and stops where there is none", func(t *testing.T) {
		stop(t, clone)
		must(t, os.RemoveAll(filepath.Join(clone, "pg_wal", second)))
		damage(t, s.inLive(second))
		must(t, os.Truncate(log, 0))
		_ = start(clone, log) // a server may come up before it comes to the damage
		eventually(t, "end of the clone's server", func() bool {
			_, err := os.Stat(filepath.Join(clone, "postmaster.pid"))
			return os.IsNotExist(err)
		})
		words, err := os.ReadFile(log)
		must(t, err)
		if text := string(words); !strings.Contains(text, "exit code 255") || !strings.Contains(text, second) || strings.Contains(text, "selected new timeline") {
			t.Errorf("the clone's last words: %s", text)
		}
		if s.postmaster(t) == 0 {
			t.Error("the live standby is gone")
		}
	})
}

// damage changes a file in its middle, where records are.
func damage(t testing.TB, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	for i := 100; i < 8000; i++ {
		content[i] ^= 0x55
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(content, 0)
	must(t, err)
}
