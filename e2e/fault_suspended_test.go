//go:build vm

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestFaultSuspendedPool has the only device of the pool refuse what is written,
// under a standby that streams and a watch: whoever touches a file of the pool from
// then on hangs in the kernel, and can't be killed. Every command answers all the
// same, and says what is wrong and the mend; watch lives on and tells, and goes on
// when the device does.
func TestFaultSuspendedPool(t *testing.T) {
	thin := newThinDevice(t)
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Vdev = thin.path()
	s.write(t)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	archive, restore := s.standbyText(t, "SHOW archive_command"), s.standbyText(t, "SHOW restore_command")
	port := freePort(t)
	watch := s.start(t, "watch", "--metrics", fmt.Sprintf("127.0.0.1:%d", port))
	eventually(t, "watch to be ready", func() bool {
		status, _ := httpGet(port, "/readyz")
		return status == http.StatusOK || watch.over()
	})

	t.Cleanup(func() { // or nothing could end, not even zpool destroy
		thin.grow(t)
		_, _ = tryCommand("zpool", "clear", s.Name)
	})
	thin.fill(t)
	must(t, s.Primary.Exec("SELECT pg_switch_wal()")) // the standby writes it
	eventually(t, "the pool to be suspended", func() bool { return s.poolState(t) == "SUSPENDED" })
	eventually(t, "watch to tell", func() bool {
		online, known := metric(t, port, "zreconcile_pool_online")
		return known && online == 0
	})
	if level, known := metric(t, port, "zreconcile_health_level"); !known || level != 2 {
		t.Errorf("the health level is %g, known: %t", level, known)
	}

	words, mend := s.Name+": pool suspended", "zpool clear"
	s.answers(t, exitFailed, "plan").says(t, words, mend)
	s.answers(t, exitFailed, "plan", "-o", "json").says(t, `"errors"`, words, mend)
	s.answers(t, exitFailed, "apply").says(t, words, mend)
	s.answers(t, exitFailed, "snapshot").says(t, words, mend)
	s.answers(t, exitFailed, "status").says(t, "pool "+s.Name+": SUSPENDED", s.Vdev, mend)
	s.answers(t, exitFailed, "status", "-o", "json").says(t, `"health": "SUSPENDED"`, `"state": "unknown"`, mend)
	s.answers(t, 2, "status", "--check").says(t, "CRITICAL: the pool "+s.Name+" is SUSPENDED")
	s.answers(t, exitFailed, "doctor").says(t, "pool "+s.Name+" is SUSPENDED", "zpool clear "+s.Name)
	for call, code := range map[string]int{archive: 1, restore: 1, restore + " --clone": 255} {
		calledByPostgreSQL(t, call, code)
	}
	if status, body := httpGet(port, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d %s", status, body)
	}

	thin.grow(t)
	command(t, "zpool", "clear", s.Name)
	eventually(t, "watch to go on", func() bool {
		online, known := metric(t, port, "zreconcile_pool_online")
		status, _ := httpGet(port, "/readyz")
		return known && online == 1 && status == http.StatusOK
	})
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
	s.commit(t, 2)
	s.isWhole(t, "1 2")
}

// thinDevice is one that has promised more than it has, as thin provisioned ones
// do: a sparse file on a file system in memory. When that is full, writes fail. A
// disk that is pulled is no such case: OpenZFS 2.3 never opens it again, and only a
// reboot ends what hangs on it.
type thinDevice struct{ dir string }

func newThinDevice(t *testing.T) thinDevice {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zrthin")
	must(t, err)
	t.Cleanup(func() { must(t, os.Remove(dir)) })
	command(t, "mount", "-t", "tmpfs", "-o", "size=600M,mode=755", "thin", dir)
	t.Cleanup(func() {
		eventually(t, "umount "+dir, func() bool {
			_, err := tryCommand("umount", dir)
			return err == nil
		})
	})
	d := thinDevice{dir}
	must(t, os.WriteFile(d.path(), nil, 0o600))
	must(t, os.Truncate(d.path(), 1<<30))
	return d
}

func (d thinDevice) path() string { return filepath.Join(d.dir, "disk") }

// fill takes all that the device could still get.
func (d thinDevice) fill(t *testing.T) {
	t.Helper()
	if out, err := tryCommand("dd", "if=/dev/zero", "of="+filepath.Join(d.dir, "ballast"), "bs=1M"); err == nil {
		t.Fatalf("the device is not full: %s", out)
	}
}

// grow gives the device what it had promised.
func (d thinDevice) grow(t *testing.T) {
	t.Helper()
	command(t, "mount", "-o", "remount,size=1500M", d.dir)
}

// calledByPostgreSQL runs a command as the server would, for a file that is not
// there.
func calledByPostgreSQL(t *testing.T, call string, code int) {
	t.Helper()
	const file = "000000010000000000000001"
	call = strings.NewReplacer("%p", "pg_wal/"+file, "%f", file).Replace(call)
	out, err := tryCommand("timeout", "60", "runuser", "-u", "postgres", "--", "sh", "-c", call)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code || !strings.Contains(out, "SUSPENDED") || !strings.Contains(out, "zpool clear") {
		t.Errorf("%s: %v, want %d: %s", call, err, code, out)
	}
}
