package reconcile

import (
	"context"
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// diffDataset wants each dataset there, with its properties. Whether it is
// mounted is for those to ask who put files on it.
// Values are compared by meaning; an equal one is never set again, whatever
// its source: setting an equal mountpoint can unmount (pitfall 48).
func diffDataset(in *view) []Change {
	if in.state.failed(kindDataset) {
		return nil
	}
	var changes []Change
	for _, d := range parentsFirst(in.site.Datasets) {
		have, exists := in.state.ZFS.Dataset(d.Name)
		if !exists {
			changes = append(changes, newDataset(in, d))
			continue
		}
		if c, blocked := claimBlock(in, d.Name); blocked {
			changes = append(changes, c.at(d.Pos))
			continue
		}
		if c, differs := datasetProperties(in, d, have); differs {
			changes = append(changes, c)
		}
		if c, blocked := creationOnly(d, have); blocked {
			changes = append(changes, c)
		}
	}
	return changes
}

// parentsFirst sorts by name: a parent's is a prefix of its children's.
func parentsFirst(list []spec.Dataset) []spec.Dataset {
	sorted := append([]spec.Dataset{}, list...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	return sorted
}

func newDataset(in *view, d spec.Dataset) Change {
	c := Change{Name: d.Name, Action: Create, Why: "there is no such dataset"}.at(d.Pos)
	for _, p := range d.Properties {
		if p.Value != nil {
			c.Attrs = append(c.Attrs, Attr{Name: p.Name, After: *p.Value})
		}
	}
	if why, mend := mountpointBusy(in, d); why != "" {
		return c.block(why, mend)
	}
	return c
}

// mountpointBusy says what keeps a new dataset from being mounted.
func mountpointBusy(in *view, d spec.Dataset) (why, mend string) {
	mountpoint, ok := wantedMountpoint(in.site, d)
	if !ok || !strings.HasPrefix(mountpoint, "/") {
		return "", ""
	}
	for _, m := range in.state.Mounts {
		if m.Target == mountpoint && m.Source != d.Name {
			return fmt.Sprintf("%s is already the mountpoint of %s (%s)", mountpoint, m.Source, m.FSType),
				fmt.Sprintf("choose another mountpoint, or free this one: umount %s", mountpoint)
		}
	}
	if names := in.state.Occupied[mountpoint]; len(names) > 0 {
		return fmt.Sprintf("the mountpoint %s is a folder that holds files (%s); they would be hidden below the dataset", mountpoint, join(names)),
			fmt.Sprintf("move them aside: mv %s %s.before-zfs", mountpoint, mountpoint)
	}
	return "", ""
}

// claimBlock is for a dataset that another site calls its own.
func claimBlock(in *view, name string) (Change, bool) {
	d, _ := in.state.ZFS.Dataset(name)
	owner := localMarks(d.Properties)[markSite]
	if owner == "" {
		for _, s := range in.state.ZFS.SnapshotsOf(name) {
			if other := localMarks(s.Properties)[markSite]; other != "" && other != in.site.Name {
				owner = other
			}
		}
	}
	if owner == "" || owner == in.site.Name {
		return Change{}, false
	}
	return Change{Name: name}.block(fmt.Sprintf("dataset %s belongs to site %s", name, owner),
		fmt.Sprintf("name another dataset; if site %s is gone for good, take its mark off: zfs inherit %s %s", owner, markSite, name)), true
}

// datasetProperties is the change of what can be set on a living dataset.
func datasetProperties(in *view, d spec.Dataset, have zfs.Dataset) (Change, bool) {
	c := Change{Name: d.Name, Action: Update, Why: "properties differ"}.at(d.Pos)
	for _, p := range d.Properties {
		v, differs := differing(have.Properties, p)
		if !differs || zfs.CreationOnly(p.Name) {
			continue
		}
		c.Attrs = append(c.Attrs, Attr{Name: p.Name, Before: v.Value, After: text(p.Value)})
		if len(c.Attrs) == 1 {
			c = c.at(p.Pos)
		}
	}
	return c, len(c.Attrs) > 0
}

func creationOnly(d spec.Dataset, have zfs.Dataset) (Change, bool) {
	c := Change{Name: d.Name}.at(d.Pos)
	var why []string
	for _, p := range d.Properties {
		if v, differs := differing(have.Properties, p); differs && zfs.CreationOnly(p.Name) {
			c.Attrs = append(c.Attrs, Attr{Name: p.Name, Before: v.Value, After: text(p.Value)})
			c = c.at(p.Pos)
			why = append(why, fmt.Sprintf("%s is %s, wanted is %s, and it can only be set when a dataset is created", p.Name, v.Value, text(p.Value)))
		}
	}
	if len(why) == 0 {
		return c, false
	}
	return c.block(strings.Join(why, "; "), fmt.Sprintf(
		"write the value that it has into the spec, or copy the data into a new dataset: zfs create -o %s=%s %s.new", c.Attrs[0].Name, c.Attrs[0].After, d.Name)), true
}

// differing compares a wanted property with the one that is there, by meaning.
// A value of null wants what is inherited: no local value.
func differing(have map[string]zfs.Value, p spec.Property) (zfs.Value, bool) {
	v := have[p.Name]
	if p.Value == nil {
		return v, v.Local()
	}
	return v, !zfs.SameValue(p.Name, v.Value, *p.Value)
}

func applyDataset(ctx context.Context, h *Host, in *view, c Change) error {
	d := wantedDataset(in.site, c.Name)
	if c.Action == Create {
		return createDataset(ctx, h, in, d)
	}
	for _, a := range c.Attrs {
		if err := setProperty(ctx, h, c.Name, d.Properties, a.Name); err != nil {
			return err
		}
	}
	return nil
}

// createDataset makes the dataset and the parents that it lacks. Parents that
// the file does not name are only a path: they are ours and not mounted.
func createDataset(ctx context.Context, h *Host, in *view, d spec.Dataset) error {
	if err := createParents(ctx, h, in, path.Dir(d.Name)); err != nil {
		return err
	}
	return h.ZFS.CreateDataset(ctx, d.Name, append(props(d.Properties), owner(in.site.Name)...), false)
}

func createParents(ctx context.Context, h *Host, in *view, name string) error {
	if _, exists := in.state.ZFS.Dataset(name); exists || !strings.Contains(name, "/") {
		return nil
	}
	if err := createParents(ctx, h, in, path.Dir(name)); err != nil {
		return err
	}
	err := h.ZFS.CreateDataset(ctx, name, append([]zfs.Prop{{Name: "canmount", Value: "off"}}, owner(in.site.Name)...), false)
	if isKind(err, zfs.ErrExists) {
		return nil // made a moment ago, for a sibling
	}
	return err
}

func wantedDataset(site *spec.Site, name string) spec.Dataset {
	for _, d := range site.Datasets {
		if d.Name == name {
			return d
		}
	}
	return spec.Dataset{Name: name}
}

// setProperty sets or inherits one property as the file has it.
func setProperty(ctx context.Context, h *Host, dataset string, wanted []spec.Property, name string) error {
	for _, p := range wanted {
		switch {
		case p.Name != name:
		case p.Value == nil:
			return h.ZFS.Inherit(ctx, dataset, name)
		default:
			return h.ZFS.SetProperties(ctx, dataset, []zfs.Prop{{Name: name, Value: *p.Value}})
		}
	}
	return nil
}

func props(list []spec.Property) []zfs.Prop {
	var out []zfs.Prop
	for _, p := range list {
		if p.Value != nil {
			out = append(out, zfs.Prop{Name: p.Name, Value: *p.Value})
		}
	}
	return out
}
