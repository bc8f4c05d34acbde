package reconcile

import (
	"context"
	"fmt"

	"github.com/zreconcile/zreconcile/zfs"
)

// diffRestoreRemoval takes away the restores that left the file or expired:
// stopped at once, destroyed after their grace. It comes first, so that a port
// can be used again in one apply.
func diffRestoreRemoval(in *view) []Change {
	if in.state.failed(kindRestore) {
		return nil
	}
	var changes []Change
	for _, c := range in.state.Clones {
		why, grace, keep := in.leaving(c)
		if why == "" {
			continue
		}
		change := Change{Name: c.Restore, Why: why, Attrs: []Attr{{Name: "dataset", Before: c.Dataset.Name}}}
		if r, ok := in.entry(c.Restore); ok {
			change = change.at(r.Pos)
		}
		left := c.Marks.time(markLeftAt)
		unfinished := c.Marks[markState] != stateReady
		switch {
		case !keep && (grace == 0 || unfinished || !left.IsZero() && !left.Add(grace).After(in.now)):
			change.Action = Delete
			if b := in.dependents(c); b != "" {
				if c.Process.Running { // what can't be destroyed still frees its port
					stop := change
					stop.Action = Stop
					changes = append(changes, stop)
				}
				change = change.block("restore "+c.Restore+" should go, and is not destroyed: "+b, "destroy or move what depends on it, or keep the entry with keep: true")
			}
		case c.Process.Running || left.IsZero():
			change.Action = Stop
			change.Why += map[bool]string{true: "; it is kept, and only stopped", false: fmt.Sprintf("; it is destroyed %s after", grace)}[keep]
		default:
			continue
		}
		changes = append(changes, change)
	}
	return changes
}

// dependents names what a stranger made below a clone or from it: that is
// never destroyed along.
func (in *view) dependents(c Clone) string {
	for _, d := range in.state.ZFS.Children(c.Dataset.Name) {
		m := localMarks(d.Properties)
		if !m.ours(in.site.Name) || m[markRestore] != c.Restore {
			return "dataset " + d.Name + " below it is not ours"
		}
	}
	for _, d := range in.members(c) {
		if snaps := in.state.ZFS.SnapshotsOf(d.Name); len(snaps) > 0 {
			return "somebody made the snapshot " + snaps[0].Full()
		}
	}
	return ""
}

// members are the datasets of a clone: those below first, itself last.
func (in *view) members(c Clone) []zfs.Dataset {
	var list []zfs.Dataset
	for _, d := range in.state.ZFS.Children(c.Dataset.Name) {
		if m := localMarks(d.Properties); m.ours(in.site.Name) && m[markRestore] == c.Restore {
			list = append([]zfs.Dataset{d}, list...)
		}
	}
	return append(list, c.Dataset)
}

func applyRestoreRemoval(ctx context.Context, h *Host, in *view, change Change) error {
	for _, c := range in.state.Clones {
		if c.Restore != change.Name {
			continue
		}
		if why, _, _ := in.leaving(c); why == "" {
			continue
		}
		if change.Action == Delete {
			if err := h.markExpired(ctx, in, c); err != nil {
				return err
			}
			if err := h.destroyClone(ctx, in, c); err != nil {
				return err
			}
			if _, wanted := in.entry(c.Restore); !wanted {
				h.removeEmptyParents(ctx, in, c.Dataset)
			}
			continue
		}
		if err := h.retire(ctx, in, c); err != nil {
			return err
		}
	}
	return nil
}

// retire stops a clone and stamps when, from where its grace counts.
func (h *Host) retire(ctx context.Context, in *view, c Clone) error {
	if err := h.stopClone(ctx, in, c); err != nil {
		return err
	}
	if err := h.markExpired(ctx, in, c); err != nil {
		return err
	}
	if c.Marks[markLeftAt] != "" {
		return nil
	}
	return h.ZFS.SetProperties(ctx, c.Dataset.Name, []zfs.Prop{{Name: markLeftAt, Value: FormatTime(in.now)}})
}

// markExpired leaves a mark on the parent of an expired restore, so that its
// entry does not make it again.
func (h *Host) markExpired(ctx context.Context, in *view, c Clone) error {
	r, wanted := in.entry(c.Restore)
	if !wanted {
		return nil
	}
	mark := zfs.Prop{Name: expiredMark(r.Name), Value: entryDigest(r) + " " + FormatTime(expiresAt(c, r))}
	above, _ := in.state.ZFS.Dataset(parent(c.Dataset.Name))
	if localMarks(above.Properties)[mark.Name] == mark.Value {
		return nil
	}
	return h.ZFS.SetProperties(ctx, above.Name, []zfs.Prop{mark})
}

// destroyClone stops a clone's server and destroys its datasets, never with -r.
func (h *Host) destroyClone(ctx context.Context, in *view, c Clone) error {
	if err := h.stopClone(ctx, in, c); err != nil {
		return err
	}
	for _, d := range in.members(c) {
		if err := h.ZFS.DestroyDataset(ctx, d.Name, d.GUID); err != nil {
			return err
		}
	}
	return h.removeTraces(in, c)
}
