package reconcile

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/zreconcile/zreconcile/zfs"
)

// Who opens, reads or only looks for a file of a suspended pool waits in the
// kernel until somebody brings the devices back and runs zpool clear. Nothing ends
// that: no deadline, no signal, not the end of the process. So nothing below the
// pool's mountpoints is touched before zpool or the kernel said that it is not
// suspended, and what began before is not waited for.

// suspended is true where the kernel says so; false also where it tells nothing.
func (h *Host) suspended(pool string) bool { return h.ZFS.KernelState(pool) == zfs.Suspended }

// How often the kernel is asked while something looks at files of the pool, and how
// often in a row it has to say that the pool is suspended.
const (
	suspendedPoll  = time.Second
	suspendedPolls = 3
)

// looked is what came of a look at the host.
type looked[T any] struct {
	found T
	fault any // a panic of the look, with its stack
}

// unlessSuspended returns what look finds, and false where it does not come back
// because the pool was suspended meanwhile: it then goes on by itself once the
// pool is cleared, and what it finds is dropped. It must change nothing.
func unlessSuspended[T any](h *Host, pool string, look func() T) (found T, came bool) {
	if h.ZFS.KernelState(pool) == "" {
		return look(), true // nothing would tell
	}
	done := make(chan looked[T], 1)
	go func() {
		var l looked[T]
		defer func() {
			if fault := recover(); fault != nil {
				l.fault = fmt.Sprintf("%v\n%s", fault, debug.Stack())
			}
			done <- l
		}()
		l.found = look()
	}()
	tick := time.NewTicker(suspendedPoll)
	defer tick.Stop()
	for polls := 0; polls < suspendedPolls; {
		select {
		case l := <-done:
			if l.fault != nil {
				panic(l.fault)
			}
			return l.found, true
		case <-tick.C:
		}
		if polls++; !h.suspended(pool) {
			polls = 0
		}
	}
	return found, false
}
