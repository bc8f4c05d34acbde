//go:build vm

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// The faults of the tests in fault_*_test.go need a kernel that has ZFS and disks
// that can be pulled: they run in the virtual machine alone.

// answerWithin bounds a command on a pool that has a fault: nothing hangs.
var answerWithin = primary.Patience(15 * time.Second)

// answers runs a command, which has to end with the code, and in time.
func (s *site) answers(t testing.TB, code int, command string, args ...string) result {
	t.Helper()
	began := time.Now()
	r := s.run(t, command, args...)
	if took := time.Since(began); took > answerWithin {
		t.Errorf("%s took %s", command, took)
	}
	if r.Code != code {
		t.Errorf("want exit %d of %v", code, r)
	}
	return r
}

// unplug takes a disk out of the machine, as a person pulls it out of its slot:
// its device is gone until plugIn, which runs after the test at the latest.
func unplug(t testing.TB, disk string) {
	t.Helper()
	device, err := filepath.EvalSymlinks(disk)
	must(t, err)
	path, err := filepath.EvalSymlinks("/sys/block/" + filepath.Base(device) + "/device")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "remove"), []byte("1"), 0o200))
	t.Cleanup(func() { plugIn(t, disk) })
	eventually(t, disk+" to be gone", func() bool {
		_, err := os.Lstat(disk)
		return os.IsNotExist(err)
	})
}

// plugIn brings back what was taken out.
func plugIn(t testing.TB, disk string) {
	t.Helper()
	must(t, os.WriteFile("/sys/bus/pci/rescan", []byte("1"), 0o200))
	eventually(t, disk+" to be back", func() bool {
		command(t, "udevadm", "settle")
		found, err := filepath.Glob(disk + "*")
		return err == nil && len(found) > 1 // with the partition that ZFS made
	})
}

// poolState is what the kernel says of the site's pool.
func (s *site) poolState(t testing.TB) string {
	t.Helper()
	state, err := os.ReadFile("/proc/spl/kstat/zfs/" + s.Name + "/state")
	must(t, err)
	return strings.TrimSpace(string(state))
}

// isWhole proves that a site is as if nothing had happened: nothing is to be done,
// the standby has all, a snapshot is taken, and a restore holds exactly what was
// committed.
func (s *site) isWhole(t *testing.T, committed string) {
	t.Helper()
	s.converges(t)
	s.standbyStreams(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.Restores = s.restoreTo("after", "latest: true")
	s.write(t)
	s.converges(t)
	if got := s.on(t, "after", steps); got != committed {
		t.Errorf("the restore holds %s, want %s", got, committed)
	}
}
