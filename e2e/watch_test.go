package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestWatch leads the daemon through a day: it converges a bare host, follows
// the file (written by rename, as editors and configuration management do),
// keeps the last good one in force, starts a standby that died, and leaves
// everything running when it goes.
func TestWatch(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := newSite(t, sharedPrimary(t, primary.Plain))
	watch := s.start(t, "watch")
	eventually(t, "watch to seed the standby", func() bool {
		_, err := trySocketText("host="+s.Dir+"/s port="+text(s.Port), s.Primary.Superuser, "SELECT ''")
		return err == nil || watch.over()
	})
	eventually(t, "the first snapshot", func() bool { return s.snapshots(t) == 1 || watch.over() })

	s.Restores = s.restoreTo("now", "latest: true")
	s.replace(t)
	eventually(t, "the restore to run", func() bool { return s.restoreState(t, "now") == "running" || watch.over() })

	broken := filepath.Join(s.Dir, "broken")
	must(t, os.WriteFile(broken, []byte("version: 1\n\tsite: tab"), 0o644))
	must(t, os.Rename(broken, s.File()))
	pid := s.postmaster(t)
	must(t, syscall.Kill(pid, syscall.SIGQUIT))
	eventually(t, "end of the standby", func() bool { return syscall.Kill(pid, 0) != nil })
	eventually(t, "watch to start it by the last good file", func() bool {
		again, owner := readPidFile(filepath.Join(s.DataDir(), "postmaster.pid"))
		return owner == s.DataDir() && again != pid && syscall.Kill(again, 0) == nil || watch.over()
	})

	s.Restores = ""
	s.replace(t)
	eventually(t, "the restore to go", func() bool {
		out := command(t, "zfs", "list", "-H", "-r", "-o", "name", s.Name)
		return !strings.Contains(out, "/now\n") || watch.over()
	})
	if watch.over() {
		t.Fatal("watch ended by itself")
	}
	s.caughtUp(t)
	pid = s.postmaster(t)
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
	if s.postmaster(t) != pid {
		t.Error("the standby was restarted")
	}
	s.caughtUp(t)
	s.isConverged(t)
}

// replace writes the spec aside and renames it over the old one.
func (s *site) replace(t *testing.T) {
	t.Helper()
	aside := filepath.Join(s.Dir, "site.yaml.new")
	must(t, os.WriteFile(aside, []byte(s.text(t)), 0o644))
	must(t, os.Rename(aside, s.File()))
}

// snapshots counts those of the data dataset.
func (s *site) snapshots(t *testing.T) int {
	t.Helper()
	out, err := tryCommand("zfs", "list", "-H", "-r", "-t", "snapshot", "-o", "name", s.Name+"/data")
	if err != nil {
		return 0
	}
	return strings.Count(out, "@zr-")
}

// restoreState is a restore's state in status; "" is none of that name.
func (s *site) restoreState(t *testing.T, name string) string {
	t.Helper()
	for _, r := range s.status(t).Restores {
		if r.Name == name {
			return r.State
		}
	}
	return ""
}
