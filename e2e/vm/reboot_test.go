//go:build vm

package vm

import (
	"context"
	"strings"
	"testing"
	"time"
)

// bootDeadline is for the end of one life of the machine and the begin of another.
const bootDeadline = 8 * time.Minute

// isBack after a boot, without anybody's help: pool, standby, restore and watch.
func (u *user) isBack(t *testing.T) {
	t.Helper()
	u.follows(t)
	u.restored(t)
	u.converged(t)
	u.commits(t)
	u.snapshots(t)
	for _, dataset := range []string{"tank/data", "tank/wal", "tank/zreconcile/vm/back"} {
		if u.does(t, "zfs", "get", "-H", "-o", "value", "mounted", dataset) != "yes" {
			t.Errorf("%s is not mounted", dataset)
		}
	}
	u.startedAfter(t, standbyUnit, "zfs-mount.service")
	u.startedAfter(t, restoreUnit, "zfs-mount.service")
}

// startedAfter compares what systemd wrote down of this boot: microseconds, and 0
// of what was not up at all.
func (u *user) startedAfter(t *testing.T, unit, before string) {
	t.Helper()
	out := u.does(t, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", before, unit)
	times := strings.Fields(out)
	if len(times) != 2 || times[0] == "0" || len(times[0]) > len(times[1]) || len(times[0]) == len(times[1]) && times[0] > times[1] {
		t.Errorf("%s was not up after %s: microseconds %q", unit, before, times)
	}
}

func rebootBringsAllBack(t *testing.T, u *user) {
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	if err := u.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	u.isBack(t)
	// A shutdown in order: the servers ended before their datasets were unmounted.
	for _, unit := range []string{standbyUnit, restoreUnit} {
		said := u.does(t, "journalctl", "--no-pager", "--boot=-1", "--output=cat", "--unit="+unit)
		if !strings.Contains(said, "database system is shut down") {
			t.Errorf("%s was not stopped in order:\n%s", unit, said)
		}
	}
}

// lateDisk takes the pool's disk away before pools are imported, until disk.sh
// is run again.
const (
	lateDisk = `[Unit]
DefaultDependencies=no
After=systemd-udev-settle.service systemd-udevd.service
Wants=systemd-udev-settle.service
Before=zfs-import-cache.service zfs-import-scan.service
[Service]
Type=oneshot
ExecStart=/bin/sh /etc/disk.sh unbind
[Install]
WantedBy=zfs-import.target
`
	diskScript = `set -e
if [ "$1" = unbind ]; then
	disk=$(readlink -f /dev/disk/by-id/virtio-zr-disk0)
	basename "$(readlink -f "/sys/block/${disk#/dev/}/device")" >/run/disk
fi
cat /run/disk >/sys/bus/virtio/drivers/virtio_blk/"$1"
`
)

// lateDiskAfterAPowerCut has both at once, to save a boot: what was committed and
// replayed before the cut is there, and until the disk comes nobody makes another
// pool, or writes into the folders where its datasets are to be mounted.
func lateDiskAfterAPowerCut(t *testing.T, u *user) {
	u.writes(t, "/etc/disk.sh", diskScript, "755")
	u.writes(t, "/etc/systemd/system/late-disk.service", lateDisk, "644")
	u.does(t, "systemctl", "enable", "--quiet", "late-disk.service")
	u.does(t, "sync") // what a person set up long ago is on the disk; what is committed next need not be told to
	u.commits(t)
	if err := u.PullPlug(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	if err := u.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	u.waitsForItsDisk(t)
	u.does(t, "systemctl", "disable", "--quiet", "late-disk.service")
	u.does(t, "sh", "/etc/disk.sh", "bind")
	u.eventually(t, "the watch to import the pool", func() bool {
		return u.does(t, "zpool", "list", "-H", "-o", "name") == "tank"
	})
	u.isBack(t)
}

// waitsForItsDisk is a machine without the pool, as long as nobody brings it.
func (u *user) waitsForItsDisk(t *testing.T) {
	t.Helper()
	u.eventually(t, "the watch to say that it is blocked", func() bool {
		return strings.Contains(u.property(t, watchUnit, "StatusText"), "blocked")
	})
	if out, err := u.try(t, "zreconcile", "plan"); exitOf(err) != 4 || !strings.Contains(out, "/dev/disk/by-id/virtio-zr-disk0 is not there") {
		t.Errorf("the plan without the disk: %v\n%s", err, out)
	}
	if pools := u.does(t, "zpool", "list", "-H", "-o", "name"); pools != "" {
		t.Errorf("there are pools: %s", pools)
	}
	for _, unit := range []string{standbyUnit, restoreUnit} {
		if state := u.property(t, unit, "ActiveState"); state == "active" {
			t.Errorf("%s is %s without its dataset", unit, state)
		}
	}
	// The folders outlived the power cut, and are empty.
	if left := u.does(t, "find", "/tank/data", "/tank/wal", "-mindepth", "1"); left != "" {
		t.Errorf("something was written where the datasets are to be mounted:\n%s", left)
	}
	if got := u.onPrimary(t, "SELECT count(*) FROM steps"); got == "0" {
		t.Error("the primary lost its rows")
	}
}

func exitOf(err error) int {
	if exit, ok := err.(*ExitError); ok {
		return exit.Code
	}
	return 0
}

// ejectedServersComeBack by their units, when the package is gone.
func ejectedServersComeBack(t *testing.T, u *user) {
	u.does(t, "systemctl", "disable", "--quiet", "--now", watchUnit)
	before := u.servers(t)
	u.does(t, "zreconcile", "eject")
	u.does(t, "dpkg", "--no-triggers", "--purge", "zreconcile")
	if after := u.servers(t); after[standbyUnit] != before[standbyUnit] || after[restoreUnit] != before[restoreUnit] {
		t.Errorf("servers were %v, and are %v", before, after)
	}
	u.commits(t)
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	if err := u.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	u.follows(t)
	u.restored(t)
	u.commits(t)
	if out, err := u.try(t, "which", "zreconcile"); err == nil {
		t.Errorf("the program is still here: %s", out)
	}
}
