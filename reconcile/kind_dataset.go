package reconcile

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// diffDataset wants each dataset there, with its properties, and the keys of those
// that are encrypted loaded. Whether another one is mounted is for those to ask
// who put files on it.
// Values are compared by meaning; an equal one is never set again, whatever
// its source: setting an equal mountpoint can unmount (pitfall 48).
func diffDataset(in *view) []Change {
	if in.state.failed(kindDataset) {
		return nil
	}
	var changes []Change
	var missing []string // those that are not made before a person has decided
	for _, d := range parentsFirst(in.site.Datasets) {
		have, exists := in.state.ZFS.Dataset(d.Name)
		if !exists {
			c := newDataset(in, d, missing)
			if c.Action == Block {
				missing = append(missing, d.Name)
			}
			changes = append(changes, c)
			continue
		}
		if have.Type != "filesystem" {
			changes = append(changes, Change{Name: d.Name}.at(d.Pos).block(fmt.Sprintf("%s is there already, and is a %s: no file system", d.Name, have.Type),
				"name another dataset, or rename that one: zfs rename "+d.Name+" ..."))
			continue
		}
		if c, blocked := claimBlock(in, d.Name); blocked {
			changes = append(changes, c.at(d.Pos))
			continue
		}
		if c, differs := datasetProperties(in, d, have); differs {
			changes = append(changes, c)
		}
		if c, blocked := datasetBlock(in, d, have); blocked {
			changes = append(changes, c)
		}
	}
	return append(changes, diffKeys(in)...)
}

// parentsFirst sorts by name: a parent's is a prefix of its children's.
func parentsFirst(list []spec.Dataset) []spec.Dataset {
	sorted := append([]spec.Dataset{}, list...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	return sorted
}

// newDataset makes one, unless a person must decide first. missing are the ones of
// which that is true: below them it would be made on top of a mere path.
func newDataset(in *view, d spec.Dataset, missing []string) Change {
	c := Change{Name: d.Name, Action: Create, Why: "there is no such dataset"}.at(d.Pos)
	for _, p := range d.Properties {
		if p.Value != nil {
			c.Attrs = append(c.Attrs, Attr{Name: p.Name, After: *p.Value})
		}
	}
	if why, mend := mountpointBusy(in, d); why != "" {
		return c.block(why, mend)
	}
	for _, p := range d.Properties {
		if p.Value != nil && in.unknown(p.Name) {
			return c.at(p.Pos).block(drift{Property: p, attr: p.Name}.unknown(), "take "+p.Name+" out of the file, or install tools that know it")
		}
	}
	if i := slices.IndexFunc(missing, func(above string) bool { return strings.HasPrefix(d.Name, above+"/") }); i >= 0 {
		return c.block(missing[i]+", below which it is to be, can't be made", "see to "+missing[i]+" first")
	}
	if above, p, differs := in.bornWith(d); differs {
		return c.block(fmt.Sprintf("it would inherit %s from %s for good, where it is %s, and rootProperties want %s", p.Name, above, p.have, text(p.Value)),
			fmt.Sprintf("name %s among its own properties, or write what the pool has into rootProperties", p.Name))
	}
	return c
}

// handedDown are the properties that a dataset can be given only when it is created,
// and inherits then where it is not (zfsprops(7)).
var handedDown = []string{"encryption", "casesensitivity", "normalization", "utf8only"}

// bornWith is a property that a new dataset would inherit for good, from the dataset
// returned, and that is not what the file wants of all the pool: data that are to be
// encrypted would be written as they are.
func (in *view) bornWith(d spec.Dataset) (above string, p drift, differs bool) {
	from, exists := in.state.ZFS.Dataset(in.existing(parent(d.Name)))
	if !exists {
		return "", drift{}, false // the pool is made with it
	}
	for _, p := range in.drift(from, in.site.Pool.RootProperties) {
		if p.known && contains(handedDown, p.Name) && !in.ownBetween(d.Name, p.Name) {
			return from.Name, p, true
		}
	}
	return "", drift{}, false
}

// ownBetween is true where a dataset, or one above it and below the pool's root, has
// a value of its own in the file.
func (in *view) ownBetween(name, property string) bool {
	for ; strings.Contains(name, "/"); name = path.Dir(name) {
		for _, p := range wantedDataset(in.site, name).Properties {
			if p.Name == property && p.Value != nil {
				return true
			}
		}
	}
	return false
}

// mountpointBusy says what keeps a new dataset from being mounted.
func mountpointBusy(in *view, d spec.Dataset) (why, mend string) {
	mountpoint, ok := wantedMountpoint(in.site, d)
	if !ok || !path.IsAbs(mountpoint) || neverMounted(d) {
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

// claimBlock is for a dataset that another site calls its own: by its mark or,
// where there is none since it was adopted, by the snapshots that it took.
func claimBlock(in *view, name string) (Change, bool) {
	d, _ := in.state.ZFS.Dataset(name)
	owner, marked := localMarks(d.Properties)[markSite], name
	if owner == "" {
		for _, s := range in.state.ZFS.SnapshotsOf(name) {
			other := localMarks(s.Properties)[markSite]
			if other != "" && other != in.site.Name && (owner == "" || s.Full() < marked) {
				owner, marked = other, s.Full()
			}
		}
	}
	if owner == "" || owner == in.site.Name {
		return Change{}, false
	}
	return Change{Name: name}.block(fmt.Sprintf("dataset %s belongs to site %s (%s is marked as its own)", name, owner, marked),
		fmt.Sprintf("name another dataset; if site %s is gone for good, take its mark off: zfs inherit %s %s", owner, markSite, marked)), true
}

// datasetProperties is the change of what can be set on a living dataset.
func datasetProperties(in *view, d spec.Dataset, have zfs.Dataset) (Change, bool) {
	c := Change{Name: d.Name, Action: Update, Why: "properties differ"}.at(d.Pos)
	moved := false
	for _, p := range in.drift(have, d.Properties) {
		if p.known && !p.atBirth {
			c = c.with(p)
			moved = moved || p.Name == "mountpoint"
		}
	}
	if moved {
		if why, mend := mountpointBusy(in, d); why != "" {
			return c.block(why, mend), true
		}
	}
	return c, len(c.Attrs) > 0
}

// datasetBlock is what no command can change on a living dataset.
func datasetBlock(in *view, d spec.Dataset, have zfs.Dataset) (Change, bool) {
	c := Change{Name: d.Name}.at(d.Pos)
	var why, mend []string
	for _, p := range in.drift(have, d.Properties) {
		switch {
		case !p.known:
			why = append(why, p.unknown())
			mend = append(mend, "take "+p.Name+" out of the file, or install tools that know it")
		case p.atBirth:
			why = append(why, fmt.Sprintf("%s is %s, wanted is %s, and it can only be set when a dataset is created", p.Name, p.have, text(p.Value)))
			mend = append(mend, fmt.Sprintf("write the value that it has into the spec, or copy the data into a new dataset: zfs create %s %s.new", p.option(), d.Name))
		default:
			continue
		}
		c = c.with(p)
	}
	if len(why) == 0 {
		return c, false
	}
	return c.block(strings.Join(why, "; "), strings.Join(mend, "; ")), true
}

func applyDataset(ctx context.Context, h *Host, in *view, c Change) error {
	d := wantedDataset(in.site, c.Name)
	switch {
	case c.Action == Create:
		return createDataset(ctx, h, in, d)
	case c.opens():
		return loadKey(ctx, h, in, c.Name)
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

// limits are not inherited, and zfs inherit refuses them (zfsprops(7)): without
// one is the same.
var limits = []string{"quota", "refquota", "reservation", "refreservation"}

// setProperty sets or inherits one property as the file has it.
func setProperty(ctx context.Context, h *Host, dataset string, wanted []spec.Property, name string) error {
	for _, p := range wanted {
		switch {
		case p.Name != name:
		case p.Value == nil && contains(limits, name):
			return h.ZFS.SetProperties(ctx, dataset, []zfs.Prop{{Name: name, Value: "none"}})
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
