package zfs

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Suspended is the state of a pool that has lost so many devices that all I/O on it waits (zpoolprops(7),
// failmode): who reads or writes a file of it hangs in the kernel, and can't be killed, until somebody brings the
// devices back and runs zpool clear.
const Suspended = "SUSPENDED"

// kstat is where the kernel module of OpenZFS on Linux tells of its pools.
const kstat = "/proc/spl/kstat/zfs"

// stallLimit is how long a transaction group may be on its way to the disks before the pool is taken for suspended:
// what OpenZFS itself takes for a hung sync (zfs_deadman_synctime_ms of zfs(4)). They take seconds, and minutes where
// a pool is full and slow. OpenZFS 2.3.9 calls a pool ONLINE whose only device was pulled while it was written to: it
// tries again for ever, and zfs snapshot hangs as it does on a suspended one.
const stallLimit = 10 * time.Minute

// KernelState is the state of a pool as the kernel itself tells it, in the words of zpool, with SUSPENDED before
// all others, and where no transaction group gets to its disks. It takes no process and waits for no disk, so that
// it can be asked at any time. It is "" where the kernel tells nothing: of no such pool, and of zfs-fuse.
func (c *Client) KernelState(pool string) string {
	state, err := os.ReadFile(filepath.Join(cmp.Or(c.Kstat, kstat), pool, "state"))
	if err != nil {
		return ""
	}
	if c.stall(pool) > stallLimit {
		return Suspended
	}
	return strings.TrimSpace(string(state))
}

// stall is for how long the kernel has been writing the transaction group that is on its way to the disks of a
// pool; 0 is none.
func (c *Client) stall(pool string) time.Duration {
	txgs, err := os.ReadFile(filepath.Join(cmp.Or(c.Kstat, kstat), pool, "txgs"))
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now) != nil {
		return 0
	}
	return longestSync(string(txgs), time.Duration(now.Nano()))
}

// longestSync reads the history of transaction groups (module/zfs/spa_stats.c, spa_txg_history_data): txg, birth,
// state, ndirty, nread, nwritten, reads, writes, otime, qtime, wtime, stime; times in nanoseconds, those of a phase
// that is not over are 0. State S is being synced.
func longestSync(txgs string, now time.Duration) (longest time.Duration) {
	for line := range strings.Lines(txgs) {
		fields := strings.Fields(line)
		if len(fields) != 12 || fields[2] != "S" {
			continue
		}
		var began time.Duration
		for _, i := range []int{1, 8, 9, 10} { // birth, and the phases before
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0
			}
			began += time.Duration(n)
		}
		longest = max(longest, now-began)
	}
	return longest
}

// stalled says of a pool that zpool does not call suspended why it is taken for it; "" where it is not stalled.
func (c *Client) stalled(pool string) string {
	if stall := c.stall(pool); stall > stallLimit {
		return fmt.Sprintf("The kernel has been trying for %s to write one transaction group to it: its devices are gone, whatever the state is that zpool shows, or very slow.", stall.Round(time.Second))
	}
	return ""
}
