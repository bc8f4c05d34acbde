package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// slowBackup starts an apply or a watch whose base backup takes a while, and
// waits until that has begun: something besides the final name stands in the
// dataset.
func slowBackup(t *testing.T, s *site, command string) *background {
	t.Helper()
	return slowBackupTo(t, s, nil, command)
}

// slowBackupTo is slowBackup with a file for stdout.
func slowBackupTo(t *testing.T, s *site, stdout *os.File, command string, args ...string) *background {
	t.Helper()
	s.MaxRate = "4M"
	s.write(t)
	apply := s.startWith(t, stdout, command, args...)
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
	t.Parallel()
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
	t.Parallel()
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

// Interrupted on the way, an apply still says on stdout what became of each
// change, and snapshots are called by their real names.
func TestInterruptedApplyTellsWhatItDid(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	stdout, err := os.Create(filepath.Join(s.Dir, "stdout"))
	must(t, err)
	defer stdout.Close()
	apply := slowBackupTo(t, s, stdout, "apply", "-o", "json")
	must(t, apply.cmd.Process.Signal(syscall.SIGTERM))
	apply.ends(t, exitFailed)
	said, err := os.ReadFile(stdout.Name())
	must(t, err)
	results := map[string]string{}
	for _, c := range (result{Stdout: string(said)}).plan(t).Changes {
		results[c.Kind] = c.Result
	}
	if results["pool"] != "done" || results["dataset"] != "done" || results["basebackup"] != "failed" {
		t.Errorf("the results are %v", results)
	}

	s.MaxRate = ""
	s.write(t)
	taken := ""
	for _, c := range s.apply(t).exits(t, exitDone).plan(t).Changes {
		if c.Result != "done" {
			t.Errorf("%s/%s is %s", c.Kind, c.Name, c.Result)
		}
		if c.Kind == "snapshot" {
			taken += c.Name
		}
	}
	if have := s.status(t).Snapshots; len(have) != 1 || have[0].Name != taken {
		t.Errorf("apply says that it took %s, there are %v", taken, have)
	}
}
