package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// RestoreStatus is what Status says of one restore, without the windows, for
// which WAL is read. It is false where there is neither an entry nor a clone of
// that name.
func (h *Host) RestoreStatus(ctx context.Context, site *spec.Site, now time.Time, name string) (RestoreStatus, bool, error) {
	alone := siteOf(site, name)
	state, err := h.observe(ctx, alone, now, false)
	if err != nil {
		return RestoreStatus{}, false, err
	}
	return (&view{site: alone, state: &state, now: now}).restoreStatus(name)
}

func (in *view) restoreStatus(name string) (RestoreStatus, bool, error) {
	if why := in.state.reason(kindRestore); why != "" {
		return RestoreStatus{}, false, errors.New(why)
	}
	for _, s := range in.restoreStatuses() {
		if s.Name == name {
			return s, true, nil
		}
	}
	return RestoreStatus{}, false, nil
}

// ApplyRestore is Apply of one restore alone. Standing is what RestoreStatus says of
// it then, where that was seen: after an apply that came to its end, of one that exists.
func (h *Host) ApplyRestore(ctx context.Context, site *spec.Site, now time.Time, name string) (plan Plan, standing *RestoreStatus, err error) {
	plan, state, err := h.apply(ctx, site, now, Only{kindRestore + "/" + name})
	if err != nil {
		return plan, nil, err
	}
	in := &view{site: site, state: &state, now: h.Clock()}
	if s, exists, unknown := in.restoreStatus(name); exists && unknown == nil {
		standing = &s
	}
	return plan, standing, nil
}

// siteOf is the site with no other restore than this one: what the others need
// is then not looked for.
func siteOf(site *spec.Site, restore string) *spec.Site {
	alone := *site
	alone.Restores = nil
	for _, r := range site.Restores {
		if r.Name == restore {
			alone.Restores = append(alone.Restores, r)
		}
	}
	return &alone
}

// RenewRestore begins the time of an expired restore anew, as a change of its
// entry does: who asks for the same one again means it. The next apply makes or
// starts it; undo takes that back. Where it is not expired, nothing is done and
// undo is nil. The lock of the site must be held.
func (h *Host) RenewRestore(ctx context.Context, site *spec.Site, now time.Time, name string) (undo func(context.Context) error, err error) {
	state := State{At: now}
	if err := h.observePool(ctx, site, &state); err != nil {
		return nil, err
	}
	in := &view{site: site, state: &state, now: now}
	r, ok := in.entry(name)
	if !ok || !in.hasExpired(r) {
		return nil, nil
	}
	above := in.existing(parent(r.Dataset))
	d, _ := state.ZFS.Dataset(above)
	mark := zfs.Prop{Name: expiredMark(r.Name), Value: "renewed " + FormatTime(now)}
	before := localMarks(d.Properties)[mark.Name]
	undo = func(ctx context.Context) error {
		if before == "" {
			return h.ZFS.Inherit(ctx, above, mark.Name)
		}
		return h.ZFS.SetProperties(ctx, above, []zfs.Prop{{Name: mark.Name, Value: before}})
	}
	return undo, h.ZFS.SetProperties(ctx, above, []zfs.Prop{mark})
}

// hasExpired is true of an entry whose clone's time is up, be it still there or
// not. The marks of the inventory are enough to tell.
func (in *view) hasExpired(r spec.Restore) bool {
	if _, expired := in.expiredBefore(r); expired {
		return true
	}
	d, _ := in.state.ZFS.Dataset(r.Dataset)
	m := localMarks(d.Properties)
	return m.ours(in.site.Name) && m[markRestore] == r.Name && in.expired(Clone{Marks: m}, r)
}
