package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// restoreTag is the hold (zfs-hold(8)) on the snapshots that a restore is being
// made from. It is another one than that of `snapshot --hold`, so that neither
// takes the other's off.
const restoreTag = "zreconcile:restore"

// releaseTimeout bounds the release of a hold, also of a run that was interrupted.
const releaseTimeout = time.Minute

// holding keeps a snapshot, on all datasets, from being destroyed by anybody while
// a step works on it.
func (h *Host) holding(ctx context.Context, base Snapshot, step func() error) error {
	release, err := h.hold(ctx, base)
	defer release()
	if err != nil {
		return err
	}
	return step()
}

// hold begins what holding does; release, which is to be called also after an
// error, ends it. A run that is killed meanwhile leaves the hold behind, for the
// next apply to release; so does one that can't release it, since what was made
// under it is none the worse for that.
func (h *Host) hold(ctx context.Context, base Snapshot) (release func(), err error) {
	names := fullNames(base.Members)
	release = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if _, err := h.ZFS.ReleaseAny(ctx, restoreTag, names...); err != nil {
			h.Log.Warn("a snapshot stays held, and the next apply tries to release it", "snapshot", base.Name, "error", err)
		}
	})
	// One that was left behind on some of them is as good: the others are held with it.
	if err := h.ZFS.Hold(ctx, restoreTag, names...); err != nil && !isKind(err, zfs.ErrExists) {
		return release, err
	}
	return release, nil
}

func fullNames(list []zfs.Snapshot) []string {
	var names []string
	for _, s := range list {
		names = append(names, s.Full())
	}
	return names
}

// releaseLeft releases the holds of restores whose run was killed, and says whether
// there was any. Which tags a snapshot has is not shown by every zfs, and how many
// is; so those that have some are all asked to give ours up, in one command.
//
// The lock of the site must be held: nobody else is making a restore then. With
// that part of it alone which is for the standby somebody may be, and nothing is
// released.
func (h *Host) releaseLeft(ctx context.Context, site *spec.Site, state *State) (bool, error) {
	if h.lock != nil && h.lock.all == nil {
		return false, nil
	}
	var held []zfs.Snapshot
	for _, s := range ours(site, state) {
		for _, m := range s.Members {
			if m.UserRefs > 0 {
				held = append(held, m)
			}
		}
	}
	if len(held) == 0 {
		return false, nil
	}
	n, err := h.ZFS.ReleaseAny(ctx, restoreTag, fullNames(held)...)
	if err != nil {
		return false, fmt.Errorf("releasing what a restore that was ended before its end had held: %w", err)
	}
	if n > 0 {
		h.Log.Info("released what a restore that was ended before its end had held", "holds", n)
	}
	return n > 0, nil
}
