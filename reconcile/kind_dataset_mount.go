package reconcile

import (
	"cmp"
	"context"
	"slices"

	"github.com/zreconcile/zreconcile/zfs"
)

// lockedAbove are the encrypted datasets that should be mounted above one that
// should be, and are not: what is mounted there later hides what was mounted below.
func (in *view) lockedAbove(d zfs.Dataset) []zfs.Dataset {
	if !shouldBeMounted(d) {
		return nil
	}
	var above []zfs.Dataset
	for _, a := range in.state.ZFS.Datasets {
		if a.Key.Root != "" && shouldBeMounted(a) && a.Mountpoint != d.Mountpoint && under(d.Mountpoint, a.Mountpoint) {
			above = append(above, a)
		}
	}
	return above
}

// mountStep is a dataset to be mounted, with the root whose key it needs.
type mountStep struct {
	zfs.Dataset
	root *locked
}

// mountSteps are the datasets that wait for the key of l, and those of other keys
// that must be mounted before them, since they are mounted above; in this order. roots
// are all that are locked.
func (in *view) mountSteps(roots []*locked, l *locked) []mountStep {
	needed := map[string]bool{}
	for _, d := range l.waiting {
		needed[d.Name] = true
		for _, above := range in.lockedAbove(d) {
			needed[above.Name] = true
		}
	}
	var steps []mountStep
	for _, root := range roots {
		for _, d := range root.waiting {
			if needed[d.Name] {
				steps = append(steps, mountStep{d, root})
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b mountStep) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
	return steps
}

// loadKey loads a key and mounts what waited for it, those above first, be they of
// another key.
func loadKey(ctx context.Context, h *Host, in *view, root string) error {
	roots := in.lockedRoots()
	for _, l := range roots {
		if l.root != root {
			continue
		}
		if err := h.open(ctx, l); err != nil {
			return err
		}
		for _, step := range in.mountSteps(roots, l) {
			if err := h.open(ctx, step.root); err != nil {
				return err
			}
			if err := h.mount(ctx, step.Dataset); err != nil {
				return err
			}
		}
	}
	return nil
}

// open loads a key that was not loaded when it was looked at.
func (h *Host) open(ctx context.Context, l *locked) error {
	if l.loaded {
		return nil
	}
	if err := h.ZFS.LoadKey(ctx, l.root); err != nil && !isKind(err, zfs.ErrExists) {
		return err
	}
	l.loaded = true
	return nil
}

// mount mounts a dataset, unless that was done for one below it meanwhile.
func (h *Host) mount(ctx context.Context, d zfs.Dataset) error {
	mounts, err := zfs.Mounts()
	if err != nil || slices.ContainsFunc(mounts, func(m zfs.Mount) bool { return m.IsZFS() && m.Source == d.Name }) {
		return err
	}
	return h.ZFS.Mount(ctx, d.Name)
}
