package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestRestoreBlocks: what belongs to a stranger is neither used nor destroyed,
// and a pool that is nearly full is not filled.
func TestRestoreBlocks(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	e := entry{Name: "r", Target: "latest: true", Port: s.RestorePort}

	t.Run("dataset of a stranger", func(t *testing.T) {
		theirs := s.Name + "/theirs"
		command(t, "zfs", "create", "-o", "mountpoint=none", theirs)
		at := e
		at.More = []string{"dataset: theirs"}
		s.declare(t, at)
		s.apply(t).exits(t, exitRefused).says(t, theirs, "there already")
		command(t, "zfs", "list", theirs)
	})
	t.Run("mountpoint with files", func(t *testing.T) {
		dir := filepath.Join(s.Dir, "thesis")
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("three years of work"), 0o644))
		at := e
		at.More = []string{"mountpoint: " + dir}
		s.declare(t, at)
		s.refuses(t, "r", dir, "thesis.txt")
	})
	t.Run("pool below keepFree", func(t *testing.T) {
		s.PoolMore = "  keepFree: 99.9%\n"
		s.declare(t, e)
		s.refuses(t, "r", "keepFree")
		s.PoolMore = ""
	})
	t.Run("stranger below the clone", func(t *testing.T) {
		s.declare(t, e)
		s.converges(t)
		clone := s.Name + "/zreconcile/" + s.Name + "/r"
		for _, theirs := range []string{clone + "/theirs", clone + "@theirs"} {
			kind := map[bool][]string{true: {"snapshot", theirs}, false: {"create", "-o", "mountpoint=none", theirs}}[strings.Contains(theirs, "@")]
			command(t, "zfs", kind...)
			later := e
			later.Target = "snapshot: " + s.snapshotNames(t)[0]
			s.declare(t, later)
			s.apply(t).exits(t, exitRefused).says(t, theirs)
			s.on(t, "r", "SHOW port") // the old one is untouched
			s.declare(t)
			s.apply(t).exits(t, exitRefused).says(t, theirs)
			command(t, "zfs", "list", theirs)
			if got := s.restoreState(t, "r"); got != "stopped" {
				t.Errorf("the restore that left the file is %s", got)
			}
			command(t, "zfs", "destroy", theirs)
			s.declare(t, e)
			s.converges(t)
		}
		s.declare(t)
		s.converges(t)
	})
}

// TestRestoreFails: a clone whose server can't reach its target says so in the
// server's own words, with status 1, and is not left up; the live standby is
// untouched. Killed in the middle, it is made again.
func TestRestoreFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	standby := s.postmaster(t)
	e := entry{Name: "r", Target: "latest: true", Port: s.RestorePort, More: []string{"conf: {set: {shared_buffers: 900TB}}"}}
	s.declare(t, e)
	s.apply(t).exits(t, exitFailed).says(t, "last words", "shared_buffers")
	if got := s.restoreState(t, "r"); got != "failed" {
		t.Errorf("the restore is %s", got)
	}
	if s.postmaster(t) != standby {
		t.Error("the live standby was touched")
	}
	e.More = nil
	s.declare(t, e)
	s.plansAndConverges(t, "create restore/r")
	if got := s.on(t, "r", steps); got != "1" {
		t.Errorf("it holds %s", got)
	}
	s.declare(t)
	s.converges(t)

	s.declare(t, e)
	clone := filepath.Join(s.Name, "zreconcile", s.Name, "r")
	for _, reached := range []func() bool{
		func() bool { _, err := tryCommand("zfs", "list", clone); return err == nil },
		func() bool { return socketThere(filepath.Join("/run/zreconcile", s.Name, "r")) },
	} {
		apply := s.start(t, "apply")
		for !reached() && !apply.over() {
			time.Sleep(time.Millisecond)
		}
		must(t, apply.cmd.Process.Kill())
		<-apply.ended
		s.converges(t)
		if got := s.on(t, "r", steps); got != "1" {
			t.Errorf("made again it holds %s", got)
		}
		s.declare(t)
		s.converges(t)
		s.declare(t, e)
	}
	if s.postmaster(t) != standby {
		t.Error("the live standby was touched")
	}
}

// socketThere says whether a server has opened its socket in a folder.
func socketThere(dir string) bool {
	found, _ := filepath.Glob(filepath.Join(dir, ".s.PGSQL.*"))
	return len(found) > 0
}

// TestRestoreOfATablespace mounts a restore where the file says; its tablespace
// is the clone's own. Pitfall 27.
func TestRestoreOfATablespace(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.converges(t)
	must(t, s.Primary.Exec("DELETE FROM in_tablespace"))
	t.Cleanup(func() { must(t, s.Primary.Exec("INSERT INTO in_tablespace SELECT generate_series(1, 1000)")) })
	s.caughtUp(t)
	mountpoint := filepath.Join(s.Dir, "clone")
	s.declare(t, entry{Name: "r", Target: "snapshot: " + s.snapshotNames(t)[0], Port: s.RestorePort,
		More: []string{"mountpoint: " + mountpoint, "dataset: elsewhere", "properties: {atime: off}"}})
	s.converges(t)
	if got := s.on(t, "r", "SELECT count(*)::text FROM in_tablespace"); got != "1000" {
		t.Errorf("%s rows in the restore's tablespace", got)
	}
	if got := s.standbyText(t, "SELECT count(*)::text FROM in_tablespace"); got != "0" {
		t.Errorf("%s rows in the standby's tablespace", got)
	}
	where := s.on(t, "r", "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'")
	if !strings.HasPrefix(where, mountpoint+"/") {
		t.Errorf("the restore's tablespace is in %s", where)
	}
	s.Restores = ""
	s.write(t)
	s.converges(t)
	if has(s.datasets(t), s.Name+"/elsewhere") {
		t.Error("its dataset is still there")
	}
}
