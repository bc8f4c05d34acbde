// Package zfstest makes pools on plain files for tests.
package zfstest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Pool creates a pool of one sparse file of size bytes (128 MiB and more are useful), under a name of its
// own, and destroys it when the test ends. mountBase is the mountpoint of its root dataset; every user of
// the host may walk into it. Without root or ZFS the test is skipped, and fails where CI is set.
func Pool(t testing.TB, size int64) (name, mountBase string) {
	t.Helper()
	dir := Dir(t)
	name = Name()
	mountBase = filepath.Join(dir, "mnt")
	disk := File(t, dir, "disk", size)
	Run(t, "zpool", "create", "-O", "mountpoint="+mountBase, name, disk)
	DestroyAfter(t, name)
	return name, mountBase
}

// Name returns a fresh name for a pool.
func Name() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return "zrt" + hex.EncodeToString(b[:])
}

// Dir makes sure that ZFS works and returns a folder for the files of pools.
func Dir(t testing.TB) string {
	t.Helper()
	requireZFS(t)
	dir, err := os.MkdirTemp("", "zrt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// File makes a sparse file.
func File(t testing.TB, dir, name string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return path
}

// DestroyAfter destroys a pool when the test ends, if it is still imported.
func DestroyAfter(t testing.TB, name string) {
	t.Cleanup(func() {
		var out []byte
		for range 40 { // busy for a moment after an unmount
			if exec.Command("zpool", "list", name).Run() != nil {
				return
			}
			var err error
			if out, err = exec.Command("zpool", "destroy", "-f", name).CombinedOutput(); err == nil {
				return
			}
			time.Sleep(250 * time.Millisecond)
		}
		t.Errorf("zpool destroy %s: %s", name, out)
	})
}

// Run runs a command that must succeed and returns its output.
func Run(t testing.TB, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return string(out)
}

func requireZFS(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	} else if err := running(); err != nil {
		missing = err.Error()
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatalf("this test needs a working ZFS, and CI must have it; missing: %s", missing)
	default:
		t.Skipf("SKIPPED, NOT TESTED: this test needs a working ZFS; missing: %s", missing)
	}
}

// running starts zfs-fuse where no kernel module and no daemon serves the tools. The daemon outlives the
// test: other test binaries may use it by then.
func running() error {
	if _, err := exec.LookPath("zpool"); err != nil {
		return fmt.Errorf("zpool: %w", err)
	}
	if exec.Command("zpool", "list").Run() == nil {
		return nil
	}
	if _, err := os.Stat("/dev/zfs"); err == nil {
		return fmt.Errorf("zpool list fails although there is a /dev/zfs")
	}
	for _, dir := range []string{"/var/run/zfs", "/var/lock/zfs"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	daemon := exec.Command("zfs-fuse", "--no-daemon")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("zfs-fuse: %w", err)
	}
	go func() { _ = daemon.Wait() }() // a second one ends at once: the first holds the lock
	for range 100 {
		if exec.Command("zpool", "list").Run() == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("zfs-fuse was started, but zpool list does not answer after 10 s")
}
