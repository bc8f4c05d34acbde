package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// How a change of diffKeys shows what it alters; neither is a property to set.
const (
	keyStatus = "keystatus"
	mountedOf = "mounted "
)

// locked is an encryption root whose key is not loaded, or some of whose datasets
// that the site uses are not mounted, as after an import or a reboot.
type locked struct {
	root    string
	loaded  bool
	waiting []zfs.Dataset // to be mounted once it is loaded, by mountpoint
	pos     spec.Pos      // of the first dataset of the file that waits for the key
}

// lockedRoots are those that the site's datasets wait for, by name.
func (in *view) lockedRoots() []*locked {
	found := map[string]*locked{}
	for _, name := range in.usedDatasets() {
		d, _ := in.state.ZFS.Dataset(in.existing(name)) // one that is still to be made needs the key of what is above it
		waits := d.Name == name && shouldBeMounted(d)
		if d.Key.Root == "" || d.Key.Loaded && !waits {
			continue
		}
		l := found[d.Key.Root]
		if l == nil {
			l = &locked{root: d.Key.Root, loaded: d.Key.Loaded}
			found[l.root] = l
		}
		if l.pos == (spec.Pos{}) {
			l.pos = wantedDataset(in.site, name).Pos
		}
		if waits {
			l.waiting = append(l.waiting, d)
		}
	}
	var list []*locked
	for _, root := range slices.Sorted(maps.Keys(found)) {
		l := found[root]
		slices.SortFunc(l.waiting, func(a, b zfs.Dataset) int { return cmp.Compare(a.Mountpoint, b.Mountpoint) })
		list = append(list, l)
	}
	return list
}

// shouldBeMounted is true of a file system that zfs mount -a would mount.
func shouldBeMounted(d zfs.Dataset) bool {
	return d.Type == "filesystem" && !d.Mounted && path.IsAbs(d.Mountpoint) && d.Properties["canmount"].Value == "on"
}

// usedDatasets are the names of the file's datasets, of those that the cluster and
// the archive lie on, of the clones of restores, and of what is mounted above one of
// them with the same key; each once.
func (in *view) usedDatasets() []string {
	var names []string
	for _, d := range in.site.Datasets {
		names = append(names, d.Name)
	}
	for _, p := range in.dataPlaces() {
		names = append(names, p.Dataset)
	}
	for _, d := range in.state.ZFS.Datasets {
		if m := localMarks(d.Properties); m.ours(in.site.Name) && m[markRestore] != "" {
			names = append(names, d.Name)
		}
	}
	for _, name := range unique(names) {
		d, _ := in.state.ZFS.Dataset(name)
		for _, above := range in.lockedAbove(d) {
			if above.Key.Root == d.Key.Root {
				names = append(names, above.Name)
			}
		}
	}
	return unique(names)
}

// dataPlaces are where the cluster and the archive lie.
func (in *view) dataPlaces() []place {
	places := clusterDatasets(in.site, in.state)
	if in.site.Archive != nil {
		if p, ok := placeOf(in.site, in.state, in.site.Archive.Dir); ok {
			places = append(places, p)
		}
	}
	return places
}

// awaitsKey is true while the cluster or the archive lies on a dataset that is
// locked: what is in it is not known then, so nothing is planned from it.
func (in *view) awaitsKey() bool { return len(in.awaited()) > 0 }

// awaited are the locked roots of the cluster and the archive.
func (in *view) awaited() []*locked {
	places := in.dataPlaces()
	return slices.DeleteFunc(in.lockedRoots(), func(l *locked) bool {
		return !slices.ContainsFunc(places, func(p place) bool {
			d, _ := in.state.ZFS.Dataset(p.Dataset)
			return d.Key.Root == l.root && (!l.loaded || shouldBeMounted(d))
		})
	})
}

// leftLocked tells of each key without which what was asked for alone can't be
// planned, and that was not asked for itself.
func (in *view) leftLocked() []string {
	lies := slices.ContainsFunc(stages(), func(s stage) bool { return slices.Contains(s.needs, kindDataset) && in.only.mentions(s.kind) })
	restored := slices.ContainsFunc(in.site.Restores, func(r spec.Restore) bool { return in.only.Wants(kindRestore, r.Name) })
	if !lies && !restored {
		return nil
	}
	var texts []string
	for _, l := range in.awaited() {
		if !in.only.Wants(kindDataset, l.root) {
			texts = append(texts, fmt.Sprintf("what lies on %s is not known before its key is loaded and it is mounted: run apply without --only, or with --only %s/%s as well", l.root, kindDataset, l.root))
		}
	}
	return texts
}

// diffKeys wants the keys of the site's datasets loaded, and the datasets mounted.
func diffKeys(in *view) []Change {
	var changes []Change
	roots := in.lockedRoots()
	for _, l := range roots {
		c := Change{Name: l.root, Action: Update}.at(l.pos)
		var mountpoints []string
		if !l.loaded {
			c.Attrs = append(c.Attrs, Attr{Name: keyStatus, Before: "unavailable", After: "available"})
		}
		for _, d := range l.waiting {
			c.Attrs = append(c.Attrs, Attr{Name: mountedOf + d.Name, Before: "no", After: "yes"})
			mountpoints = append(mountpoints, d.Mountpoint)
		}
		c.Why = "its key is loaded, and what it encrypts is not mounted"
		if !l.loaded {
			c.Why = "its key is not loaded"
			if len(l.waiting) > 0 {
				c.Why += ", so that nothing is mounted at " + strings.Join(mountpoints, ", ")
			}
		}
		if why, mend := in.keyBlock(roots, l); why != "" {
			c = c.block(c.Why+": "+why, mend)
		}
		changes = append(changes, c)
	}
	return changes
}

// opens is true of a change of diffKeys.
func (c Change) opens() bool {
	return c.Action == Update && len(c.Attrs) > 0 && (c.Attrs[0].Name == keyStatus || strings.HasPrefix(c.Attrs[0].Name, mountedOf))
}

// keyBlock says what keeps a key from being loaded, or a dataset from being
// mounted, without a person.
func (in *view) keyBlock(roots []*locked, l *locked) (why, mend string) {
	if why, mend := in.keyMissing(l); why != "" {
		return why, mend
	}
	for _, step := range in.mountSteps(roots, l) {
		if why, mend := in.keyMissing(step.root); why != "" {
			return fmt.Sprintf("%s, which is mounted above it at %s, is locked: %s", step.Name, step.Mountpoint, why), mend
		}
		if why, mend := mountpointBusy(in, wantedDataset(in.site, step.Name)); why != "" {
			return why, mend
		}
	}
	return "", ""
}

// keyMissing says why a key is not to be had without a person.
func (in *view) keyMissing(l *locked) (why, mend string) {
	switch {
	case l.loaded:
	case in.keyLocation(l.root) == "prompt":
		return "keylocation is prompt, and a person has to type it", fmt.Sprintf("zfs load-key -r %s && zfs mount -a", l.root)
	case in.state.KeyFiles[l.root] != "":
		return in.state.KeyFiles[l.root], fmt.Sprintf("bring the file back; with the key elsewhere: zfs load-key -L file:///path/of/the/key %s && zfs mount -a", l.root)
	}
	return "", ""
}

// keyLocation is where the key of an encryption root is, as the file says it or,
// where it does not, as the pool does: it is set before the key is loaded.
func (in *view) keyLocation(root string) string {
	wanted := wantedDataset(in.site, root).Properties
	if root == in.site.Pool.Name {
		wanted = append(wanted, in.site.Pool.RootProperties...)
	}
	for _, p := range wanted {
		if p.Name == "keylocation" && p.Value != nil {
			return *p.Value
		}
	}
	d, _ := in.state.ZFS.Dataset(root)
	return d.Key.Location
}

// observeKeys looks whether the key files that are needed are there, and does not
// open them: zfs does that, and to open a named pipe may take for ever.
func (h *Host) observeKeys(in *view) {
	in.state.KeyFiles = map[string]string{}
	for _, l := range in.lockedRoots() {
		file, isFile := strings.CutPrefix(in.keyLocation(l.root), "file://")
		if l.loaded || !isFile {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			in.state.KeyFiles[l.root] = "the file of keylocation: " + err.Error()
		}
	}
}
