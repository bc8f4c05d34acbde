package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// diffRestore wants each restore of the file made, as its entry says, and up.
func diffRestore(in *view) []Change {
	if in.state.failed(kindRestore) || in.awaitsKey() {
		return nil
	}
	var changes []Change
	for _, r := range in.site.Restores {
		c, exists := in.cloneOf(r)
		switch {
		case exists && in.expired(c, r):
			continue // its removal is a stage of its own
		case in.state.Resolved[r.Name].Unknown:
			continue // the failures say why
		case !exists:
			if _, expired := in.expiredBefore(r); !expired {
				changes = append(changes, in.newRestore(r, Change{Name: r.Name, Action: Create, Why: "there is no such restore"}.at(r.Pos)))
			}
		case c.Marks[markState] != stateReady:
			changes = append(changes, in.newRestore(r, Change{Name: r.Name, Action: Create, Why: "an earlier run left it unfinished; it is made again"}.at(r.Pos)))
		default:
			changes = append(changes, in.existingRestore(r, c)...)
		}
	}
	return changes
}

// newRestore is the change that makes one, or what forbids it.
func (in *view) newRestore(r spec.Restore, c Change) Change {
	resolved, known := in.state.Resolved[r.Name]
	if resolved.refused() {
		return c.block("refused: "+resolved.Refused, resolved.Mend)
	}
	if !known && in.freshPool() && !firstSnapshot(in, r) {
		return c.block("refused: no snapshot is there, and none that is taken from now on reaches back to its target", "declare it after the first snapshot, with a target that is later")
	}
	if why, mend := in.restoreBlock(r); why != "" {
		return c.block(why, mend)
	}
	if have, exists := in.cloneOf(r); exists {
		if what := in.dependents(have); what != "" {
			return c.block("the clone that is there would be destroyed, and is not: "+what, "destroy or move what depends on it, or give the restore another name")
		}
	}
	c.Attrs = append(c.Attrs, Attr{Name: "target", After: targetText(r.Target)}, Attr{Name: "dataset", After: r.Dataset})
	c.Attrs = append(c.Attrs, in.resolvedAttrs(resolved)...)
	c.Attrs = append(c.Attrs, Attr{Name: "port", After: strconv.Itoa(r.Port)}, Attr{Name: "action", After: r.Action})
	return c
}

// restoreBlock says what forbids a clone here and now.
func (in *view) restoreBlock(r spec.Restore) (why, mend string) {
	if why, mend := in.datasetBlock(r); why != "" {
		return why, mend
	}
	if why, mend := in.portBlock(r); why != "" {
		return why, mend
	}
	if why, mend := in.spaceBlock(); why != "" {
		return why, mend
	}
	return in.restoreMountBlock(r)
}

// datasetBlock is about a dataset of the clone's name that is not the clone.
func (in *view) datasetBlock(r spec.Restore) (why, mend string) {
	d, exists := in.state.ZFS.Dataset(r.Dataset)
	if m := localMarks(d.Properties); !exists || m.ours(in.site.Name) && m[markRestore] == r.Name {
		return "", ""
	}
	return fmt.Sprintf("dataset %s is there already, and not a restore of this name", r.Dataset), "name another dataset, or rename that one: zfs rename " + r.Dataset + " ..."
}

// spaceBlock keeps a share of the pool free: below it no restore is begun. What
// is free may be less than the pool has, where somebody reserved it.
func (in *view) spaceBlock() (why, mend string) {
	pool := in.state.ZFS.Pool
	if pool == nil || pool.Size == 0 {
		return "", ""
	}
	free := pool.Free
	if root, ok := in.state.ZFS.Dataset(pool.Name); ok {
		free = min(free, root.Available)
	}
	if float64(free) >= in.site.Pool.KeepFree*float64(pool.Size) {
		return "", ""
	}
	return fmt.Sprintf("pool %s has %s of %s left, less than keepFree (%g%%)", pool.Name, units.BytesSize(float64(free)), units.BytesSize(float64(pool.Size)), in.site.Pool.KeepFree*100),
		"free space, add a vdev, or lower pool.keepFree"
}

// restoreMountBlock is about the place where the clone will be mounted.
func (in *view) restoreMountBlock(r spec.Restore) (why, mend string) {
	mountpoint := r.Mountpoint
	if mountpoint == "" {
		above, _ := in.state.ZFS.Dataset(in.existing(parent(r.Dataset)))
		if above.Name != "" && !strings.HasPrefix(above.Mountpoint, "/") {
			return fmt.Sprintf("the clone would inherit the mountpoint %q of %s, and not be mounted", above.Mountpoint, above.Name), "give the restore a mountpoint"
		}
		mountpoint = path.Join(above.Mountpoint, strings.TrimPrefix(r.Dataset, above.Name))
	}
	for _, m := range in.state.Mounts {
		if m.Target == mountpoint && m.Source != r.Dataset {
			return fmt.Sprintf("%s is already the mountpoint of %s", mountpoint, m.Source), "choose another mountpoint, or free it: umount " + mountpoint
		}
	}
	if names := in.state.Occupied[mountpoint]; len(names) > 0 {
		return fmt.Sprintf("the mountpoint %s is a folder that holds files (%s)", mountpoint, join(names)), "choose another mountpoint, or move them aside"
	}
	return "", ""
}

// existingRestore compares a finished clone with its entry.
func (in *view) existingRestore(r spec.Restore, c Clone) []Change {
	change := Change{Name: r.Name}.at(r.Pos)
	if attrs := in.replacing(r, c); len(attrs) > 0 {
		change.Action, change.Attrs, change.Why = Replace, attrs, "its target or place changed"
		if c.Promoted {
			return []Change{change.block("its "+attrs[0].Name+" changed, but it was promoted and may hold work of its own",
				"give the new target another name; this one goes only by keep: false, and a grace after its entry was taken out")}
		}
		made := in.newRestore(r, change)
		if made.Action != Block {
			made.Action = Replace
		}
		return []Change{made}
	}
	if c.Promoted && r.Action == "pause" {
		return []Change{change.block("it was promoted, and can't be paused at its target again", "write action: promote, or give the paused restore another name")}
	}
	var changes []Change
	if attrs := in.restoreAttrs(r, c); len(attrs) > 0 {
		change.Action, change.Attrs, change.Why = Update, attrs, "its entry changed"
		if why, mend := in.portBlock(r); why != "" && c.Process.Running && c.Process.Port != r.Port {
			change = change.block(why, mend)
		}
		changes = append(changes, change)
	}
	if !c.Process.Running {
		start := Change{Name: r.Name, Action: Start, Why: "it does not run", Attrs: []Attr{{Name: "port", After: strconv.Itoa(r.Port)}}}.at(r.Pos)
		why, mend := in.portBlock(r)
		if why == "" && !c.Promoted { // it replays up to its target again
			why, mend = in.archiveAway()
		}
		if why != "" {
			start = start.block(why, mend)
		}
		changes = append(changes, start)
	}
	return changes
}

// replacing lists what only a new clone can change.
func (in *view) replacing(r spec.Restore, c Clone) []Attr {
	var attrs []Attr
	if have := c.Marks[markTarget]; have != targetText(r.Target) {
		attrs = append(attrs, Attr{Name: "target", Before: have, After: targetText(r.Target)})
	}
	if c.Dataset.Name != r.Dataset {
		attrs = append(attrs, Attr{Name: "dataset", Before: c.Dataset.Name, After: r.Dataset})
	}
	if r.Mountpoint != "" && path.Clean(c.Dataset.Mountpoint) != in.state.ZFS.WithAltRoot(path.Clean(r.Mountpoint)) {
		attrs = append(attrs, Attr{Name: "mountpoint", Before: c.Dataset.Mountpoint, After: r.Mountpoint})
	}
	return attrs
}

// restoreAttrs lists what is changed in place.
func (in *view) restoreAttrs(r spec.Restore, c Clone) []Attr {
	var attrs []Attr
	for _, p := range r.Properties {
		if v, differs := differing(c.Dataset.Properties, p); differs {
			attrs = append(attrs, Attr{Name: p.Name, Before: v.Value, After: text(p.Value)})
		}
	}
	for _, m := range entryMarks(r) {
		if c.Marks[m.Name] != m.Value {
			attrs = append(attrs, Attr{Name: strings.TrimPrefix(m.Name, markPrefix), Before: c.Marks[m.Name], After: m.Value})
		}
	}
	if c.Marks[markLeftAt] != "" {
		attrs = append(attrs, Attr{Name: "left", Before: c.Marks[markLeftAt]})
	}
	if digest, since := in.expiry(r); digest != "" {
		attrs = append(attrs, Attr{Name: "expired", Before: since, After: expiryText(in.renewed(r, c))})
	}
	wanted, err := in.cloneFiles(r, c)
	if err != nil {
		return append(attrs, Attr{Name: managedFile, After: err.Error()})
	}
	for _, a := range cloneConfAttrs(c, wanted) {
		if !slices.Contains(attrs, a) { // the port is a mark and a setting
			attrs = append(attrs, a)
		}
	}
	if r.Action == "promote" && !c.Promoted && c.Process.Running {
		attrs = append(attrs, Attr{Name: "promoted", Before: "no", After: "yes"})
	}
	return attrs
}

func cloneConfAttrs(c Clone, wanted confWanted) []Attr {
	var attrs []Attr
	if !bytes.Equal(c.Files[managedFile], wanted.files[managedFile]) {
		attrs = append(attrs, settingAttrs(effective(c.Files[managedFile]), wanted.settings)...)
		if len(attrs) == 0 {
			attrs = append(attrs, Attr{Name: managedFile, Before: "edited by hand", After: "as generated"})
		}
	}
	for _, name := range []string{hbaFile, identFile} {
		if want, ok := wanted.files[name]; ok && !bytes.Equal(c.Files[name], want) {
			attrs = append(attrs, Attr{Name: name, Before: "present", After: "as the entry says"})
		}
	}
	return attrs
}

// entryMarks are the marks that follow the entry: they say what to do with the
// clone once the entry is gone.
func entryMarks(r spec.Restore) []zfs.Prop {
	keep := "off"
	if r.Keep {
		keep = "on"
	}
	return []zfs.Prop{
		{Name: markPort, Value: strconv.Itoa(r.Port)},
		{Name: markGrace, Value: strconv.FormatInt(int64(r.Grace/time.Second), 10)},
		{Name: markKeep, Value: keep},
	}
}

func applyRestore(ctx context.Context, h *Host, in *view, change Change) error {
	r, ok := in.entry(change.Name)
	if !ok {
		return errors.New("its entry is gone")
	}
	clone, _ := in.cloneOf(r)
	switch change.Action {
	case Create, Replace:
		resolved, err := h.resolveFilled(ctx, in, r)
		if err != nil {
			return err
		}
		if resolved.Refused != "" {
			return fmt.Errorf("%w: %s (%s)", ErrRefused, resolved.Refused, resolved.Mend)
		}
		return h.makeClone(ctx, in, r, resolved)
	case Update:
		return h.updateClone(ctx, in, r, clone)
	case Start:
		return h.startClone(ctx, in, r, clone)
	}
	return fmt.Errorf("a restore can't be changed by %s", change.Action)
}
