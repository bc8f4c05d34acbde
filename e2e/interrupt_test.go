package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// slowBackup starts an apply or a watch whose base backup takes a while, and
// waits until that has begun: something besides the final name stands in the
// dataset.
func slowBackup(t *testing.T, s *site, command string) *background {
	t.Helper()
	s.MaxRate = "4M"
	s.write(t)
	apply := s.start(t, command)
	eventually(t, "the base backup to begin", func() bool {
		begun, _ := filepath.Glob(filepath.Join(s.DataMount, "*", "base"))
		return len(begun) > 0 || apply.over()
	})
	if apply.over() {
		t.Fatal(command + " ended before its base backup was seen")
	}
	if _, err := os.Stat(s.DataDir()); err == nil {
		t.Error("an unfinished base backup stands under the final name")
	}
	return apply
}

// One run at a time: the second one says so, and takes nothing from the first.
func TestLock(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Plain))
	first := slowBackup(t, s, "apply")
	s.run(t, "apply", "--lock-timeout", "0s").exits(t, exitLocked).says(t, "lock")
	if first.over() {
		t.Error("the first run was over: the second had nothing to wait for")
	}
	s.run(t, "apply").exits(t, exitDone) // waits for the first one
	first.ends(t, exitDone)
	s.isConverged(t)
}

// Killed in the middle of a base backup: pg_basebackup and its child that
// receives WAL, which hold the lock, end as well, and the next run begins the
// copy again.
func TestKilledApplyIsRunAgain(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Plain))
	first := slowBackup(t, s, "apply")
	must(t, first.cmd.Process.Kill())
	<-first.ended
	eventually(t, "the end of the copy's programs", func() bool { return len(s.programs(t)) == 0 })
	s.run(t, "apply", "--lock-timeout", "0s", "--only", "pool").exits(t, exitDone)
	s.MaxRate = ""
	s.write(t)
	s.converges(t)
	s.standbyStreams(t)
	left, err := filepath.Glob(filepath.Join(s.DataMount, "*"))
	must(t, err)
	for _, path := range left {
		if path != s.DataDir() && path != filepath.Join(s.DataMount, "ts") {
			t.Errorf("%s is left over", path)
		}
	}
}
