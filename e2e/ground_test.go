package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The ground that the suite stands on differs in what these variables tell; the
// virtual machine (e2e/vm) sets them, and the tests themselves are the same.
const (
	groundProgram = "ZRECONCILE_E2E_PROGRAM" // a program to test on a machine that is prepared; unset: build it, and run setup.sh
	groundDisks   = "ZRECONCILE_E2E_DISKS"   // a pattern of block devices that may be wiped; unset: sparse files
)

// prepare sets program and vdevs; forget removes what was made for it, also when
// it failed.
func prepare() (forget func(), err error) {
	forget = func() {}
	if pattern := os.Getenv(groundDisks); pattern != "" {
		if vdevs.free, err = filepath.Glob(pattern); err != nil || len(vdevs.free) == 0 {
			return forget, fmt.Errorf("%s=%s: no such devices (%v)", groundDisks, pattern, err)
		}
	}
	if program = os.Getenv(groundProgram); program != "" {
		return forget, nil
	}
	if out, err := exec.Command("./setup.sh", "tests").CombinedOutput(); err != nil {
		return forget, fmt.Errorf("setup.sh: %w\n%s", err, out)
	}
	dir, err := os.MkdirTemp("/tmp", "zrbin")
	if err != nil {
		return forget, err
	}
	forget = func() { _ = os.RemoveAll(dir) }
	if err := os.Chmod(dir, 0o755); err != nil { // archive_command runs it as the OS user
		return forget, err
	}
	program = filepath.Join(dir, "zreconcile")
	if out, err := exec.Command("../cmd/zreconcile/build.sh", program).CombinedOutput(); err != nil {
		return forget, fmt.Errorf("build.sh: %w\n%s", err, out)
	}
	return forget, nil
}

// vdevs are the block devices that no test uses now.
var vdevs struct {
	sync.Mutex
	free []string
}

func takeVdev() (disk string) {
	vdevs.Lock()
	defer vdevs.Unlock()
	if len(vdevs.free) > 0 {
		disk, vdevs.free = vdevs.free[0], vdevs.free[1:]
	}
	return disk
}

func giveVdevBack(disk string) {
	vdevs.Lock()
	defer vdevs.Unlock()
	vdevs.free = append(vdevs.free, disk)
}

// newVdev is an empty device for a pool: a sparse file at path, or a disk that
// comes back to the others, wiped, after the test.
func newVdev(t testing.TB, path string, size int64) string {
	t.Helper()
	if os.Getenv(groundDisks) == "" {
		f, err := os.Create(path)
		must(t, err)
		defer f.Close()
		must(t, f.Truncate(size))
		return path
	}
	var disk string
	eventually(t, "a disk that no other test uses", func() bool {
		disk = takeVdev()
		return disk != ""
	})
	t.Cleanup(func() {
		wipe(t, disk)
		giveVdevBack(disk)
	})
	wipe(t, disk)
	return disk
}

// wipe leaves zeroes and no partition.
func wipe(t testing.TB, disk string) {
	t.Helper()
	eventually(t, disk+" to be free", func() bool {
		_, err := tryCommand("blkdiscard", "-f", disk)
		return err == nil
	})
	command(t, "blockdev", "--rereadpt", disk)
	command(t, "udevadm", "settle")
}

// resizeVdev gives a fresh sparse file another size; a disk keeps its own.
func resizeVdev(t testing.TB, path string, size int64) {
	t.Helper()
	if os.Getenv(groundDisks) == "" {
		must(t, os.Truncate(path, size))
	}
}
