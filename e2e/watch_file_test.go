package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// rounds counts the applies of a watch, of which it writes a line each.
func (s *site) rounds(t *testing.T) int {
	t.Helper()
	lines, err := os.ReadFile(s.plans())
	must(t, err)
	return bytes.Count(lines, []byte("\n"))
}

func (s *site) plans() string { return filepath.Join(s.Dir, "plans.jsonl") }

// watch starts a watch, and waits for its first apply to end.
func (s *site) watch(t *testing.T) *background {
	t.Helper()
	plans, err := os.Create(s.plans())
	must(t, err)
	defer plans.Close()
	b := s.startWith(t, plans, "watch", "-o", "json")
	eventually(t, "the first apply", func() bool { return s.rounds(t) > 0 || b.over() })
	return b
}

// compressed writes the spec with this compression of the data dataset.
func (s *site) compressed(t *testing.T, path, value string) {
	t.Helper()
	s.DataProperties = ", compression: " + value
	must(t, os.WriteFile(path, []byte(s.text(t)), 0o644))
}

func (s *site) becomesCompressed(t *testing.T, value string) {
	t.Helper()
	eventually(t, "compression "+value, func() bool {
		return strings.TrimSpace(command(t, "zfs", "get", "-H", "-o", "value", "compression", s.Name+"/data")) == value
	})
}

// A volume of Kubernetes: site.yaml -> live/site.yaml, live -> v1. Written in
// place and in bursts, swapped by link, with files of site.d beside it; what
// others do in the folder is nothing to us.
func TestWatchFollowsItsFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	in := func(parts ...string) string { return filepath.Join(append([]string{s.Dir}, parts...)...) }
	for _, dir := range []string{"v1", "v2", "site.d"} {
		must(t, os.Mkdir(in(dir), 0o755))
	}
	must(t, os.Remove(s.File()))
	must(t, os.Symlink("v1", in("live")))
	must(t, os.Symlink("live/site.yaml", s.File()))
	s.compressed(t, in("v1", "site.yaml"), "off")
	watch := s.watch(t)

	began := s.rounds(t)
	for range 20 {
		s.compressed(t, in("v1", "site.yaml"), "lzjb")
		s.compressed(t, in("v1", "site.yaml"), "gzip")
	}
	s.becomesCompressed(t, "gzip")
	if n := s.rounds(t) - began; n >= 20 {
		t.Errorf("a burst of 40 writes led to %d applies", n)
	}

	s.compressed(t, in("v2", "site.yaml"), "lzjb")
	must(t, os.Symlink("v2", in("live.new")))
	must(t, os.Rename(in("live.new"), in("live")))
	s.becomesCompressed(t, "lzjb")

	command(t, "zfs", "set", "compression=off", s.Name+"/data")
	must(t, watch.cmd.Process.Signal(syscall.SIGHUP))
	s.becomesCompressed(t, "lzjb")

	must(t, os.WriteFile(in("site.d", "now.yaml"), []byte("restores:\n"+s.restoreTo("now", "latest: true")), 0o644))
	eventually(t, "the restore to run", func() bool { return s.restoreState(t, "now") == "running" || watch.over() })

	s.atRest(t)
	began = s.rounds(t)
	for _, name := range []string{"other.yaml", "site.yaml~", "site.d/.now.yaml.swp", "a.log"} {
		must(t, os.WriteFile(in(name), []byte("x"), 0o644))
	}
	must(t, os.Chmod(in("v2", "site.yaml"), 0o640))
	s.atRest(t)
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
	if n := s.rounds(t) - began; n != 0 {
		t.Errorf("files of others led to %d applies", n)
	}
	if state := s.restoreState(t, "now"); state != "running" {
		t.Errorf("watch left, and the restore is %s", state)
	}
}

// atRest waits until no apply has ended for some time.
func (s *site) atRest(t *testing.T) {
	t.Helper()
	for last := -1; last != s.rounds(t); {
		last = s.rounds(t)
		time.Sleep(3 * time.Second)
	}
}

// A base backup of hours must not keep systemd waiting.
func TestWatchEndsInTheMiddleOfABaseBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	watch := slowBackup(t, s, "watch")
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
	if left := s.programs(t); len(left) > 0 {
		t.Errorf("watch left behind: %v", left)
	}
	if _, err := os.Stat(s.DataDir()); err == nil {
		t.Error("the base backup was waited for, or left unfinished under the final name")
	}
	s.MaxRate = ""
	s.write(t)
	s.converges(t)
}
