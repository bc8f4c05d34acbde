package reconcile

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// deducePool writes the pool: its layout by lasting names, and what was set.
func (d *deduction) deducePool() {
	pool := d.pool.Pool
	d.site.Pool.Name = pool.Name
	d.site.Pool.Vdevs = d.deduceVdevs()
	for _, name := range namesOf(pool.Properties) {
		v := pool.Properties[name]
		if v.Local() && !passingPoolProperty(name) && v.Value != "0" && d.sayable(pool.Name, name, v.Value) {
			value := v.Value
			d.site.Pool.Properties = append(d.site.Pool.Properties, spec.Property{Name: name, Value: &value})
		}
	}
	root, _ := d.pool.Dataset(pool.Name)
	d.site.Pool.RootProperties = d.propertiesOf(root)
}

// passingPoolProperty is one that is no part of what a pool should be: of this
// import of it, or set by whoever replaced a boot disk.
func passingPoolProperty(name string) bool {
	return strings.HasPrefix(name, "feature@") || contains([]string{"altroot", "cachefile", "bootfs", "readonly", "version", "guid", "tname"}, name)
}

// knownVdevs are the types and classes that a site file can name.
var knownVdevs = []string{"", "mirror", "raidz1", "raidz2", "raidz3", "log", "cache", "spare", "special"}

// deduceVdevs gives the layout; none where a site file can't say it.
func (d *deduction) deduceVdevs() []spec.Vdev {
	const without = "pool.vdevs is left out (%s): apply can't make this pool anew on other disks"
	var vdevs []spec.Vdev
	var passing []string
	seen := map[string]bool{}
	for _, v := range d.pool.Pool.Vdevs {
		if !contains(knownVdevs, v.Type) || !contains(knownVdevs, v.Class) {
			d.note(without, "a vdev of "+vdevLabel(v.Type, v.Class)+" can't be said in a site file")
			return nil
		}
		var devices []string
		for _, device := range v.Devices {
			name := d.devices[device.Path]
			switch {
			case name == "":
				d.note(without, "the device "+device.Path+" is not found")
				return nil
			case seen[name]:
				d.note(without, "the device "+name+" is at work in two places; is a spare in use?")
				return nil
			}
			seen[name] = true
			devices = append(devices, name)
			passing = append(passing, unstable([]string{name})...)
		}
		slices.Sort(devices)
		if n := len(vdevs) - 1; v.Type == "" && n >= 0 && vdevs[n].Type == "" && vdevs[n].Class == v.Class {
			vdevs[n].Devices = append(vdevs[n].Devices, devices...)
			continue
		}
		vdevs = append(vdevs, spec.Vdev{Type: v.Type, Class: v.Class, Devices: devices})
	}
	if passing != nil {
		d.remark("pool.vdevs", "no lasting name was found for %s, which may be called otherwise after the next boot: see ls -l /dev/disk/by-id", join(passing))
		d.note("the file names devices that may be called otherwise after the next boot: %s; see ls -l /dev/disk/by-id", join(passing))
	}
	return vdevs
}

// deduceDatasets writes the file systems with what was set on each. Left alone
// are clones, restores among them, and what is another site's.
func (d *deduction) deduceDatasets() {
	var clones, volumes, foreign []string
	for _, have := range d.pool.Datasets {
		own := localMarks(have.Properties)
		switch {
		case have.Name == d.pool.Pool.Name, zfs.ValidDataset(have.Name) != nil:
		case own[markSite] != "" && own[markSite] != d.site.Name:
			foreign = append(foreign, have.Name)
		case own[markRestore] != "", d.pathToRestores(have, own):
		case have.Type != "filesystem":
			volumes = append(volumes, have.Name)
		case have.Origin != "" && (d.cluster == nil || d.cluster.dataset != have.Name):
			clones = append(clones, have.Name)
		default:
			d.site.Datasets = append(d.site.Datasets, spec.Dataset{Name: have.Name, Properties: d.propertiesOf(have)})
		}
	}
	d.dropTakenMountpoints()
	for _, left := range []struct {
		what  string
		names []string
	}{{"a clone", clones}, {"a volume", volumes}, {"another site's", foreign}} {
		for _, name := range left.names {
			d.note("dataset %s is left alone: it is %s", name, left.what)
		}
	}
}

// dropTakenMountpoints leaves a mountpoint with the first of the datasets that
// have it, such as boot environments: in a site file each has its own.
func (d *deduction) dropTakenMountpoints() {
	taken := map[string]string{}
	for i, dataset := range d.site.Datasets {
		d.site.Datasets[i].Properties = slices.DeleteFunc(dataset.Properties, func(p spec.Property) bool {
			if p.Name != "mountpoint" || !path.IsAbs(*p.Value) {
				return false
			}
			first, again := taken[*p.Value]
			if again {
				d.note("the mountpoint %s of dataset %s is left out: %s has the same", *p.Value, dataset.Name, first)
			} else {
				taken[*p.Value] = dataset.Name
			}
			return again
		})
	}
}

// pathToRestores is true of a dataset that was only made as a path to clones.
func (d *deduction) pathToRestores(have zfs.Dataset, own marks) bool {
	if !own.ours(d.site.Name) || have.Properties["canmount"].Value != "off" || !have.Properties["canmount"].Local() {
		return false
	}
	for _, name := range d.local[have.Name] {
		if name != "canmount" && !strings.HasPrefix(name, markPrefix) {
			return false
		}
	}
	if usual := path.Join(d.pool.Pool.Name, "zreconcile"); have.Name == usual || strings.HasPrefix(have.Name, usual+"/") {
		return true
	}
	return slices.ContainsFunc(d.pool.Children(have.Name), func(child zfs.Dataset) bool {
		return localMarks(child.Properties)[markRestore] != ""
	})
}

// firstProperties stand before the others, which are sorted by name.
var firstProperties = []string{"mountpoint", "canmount", "encryption", "keyformat", "recordsize", "compression", "atime"}

// propertiesOf are those that were set on the very dataset, and of those that
// only its creation sets, the ones that differ from what a new one would have.
func (d *deduction) propertiesOf(have zfs.Dataset) []spec.Property {
	names := slices.Clone(d.local[have.Name])
	value := func(name string) string { return have.Properties[name].Value }
	if value("encryptionroot") == have.Name {
		names = append(names, "encryption", "keyformat")
	}
	for name, usual := range map[string]string{"casesensitivity": "sensitive", "normalization": "none", "utf8only": "off"} {
		if v := value(name); v != "" && v != usual {
			names = append(names, name)
		}
	}
	var out []spec.Property
	for _, name := range unique(names) {
		v := value(name)
		if strings.HasPrefix(name, markPrefix) || zfs.ReadOnly(name) || !d.sayable(have.Name, name, v) {
			continue
		}
		if name == "mountpoint" {
			v = withoutAltRoot(v, d.pool.Pool.AltRoot)
		}
		v = zfs.Readable(name, v)
		out = append(out, spec.Property{Name: name, Value: &v})
	}
	slices.SortFunc(out, func(a, b spec.Property) int {
		return cmp.Or(cmp.Compare(rankOf(a.Name), rankOf(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func rankOf(property string) int {
	if i := slices.Index(firstProperties, property); i >= 0 {
		return i
	}
	return len(firstProperties)
}

// withoutAltRoot undoes how zfs shows the mountpoints of a pool that was
// imported under another root.
func withoutAltRoot(mountpoint, altroot string) string {
	if below, cut := strings.CutPrefix(mountpoint, strings.TrimSuffix(altroot, "/")); altroot != "" && cut && strings.HasPrefix(mountpoint, "/") {
		return path.Join("/", below)
	}
	return mountpoint
}

var (
	sayableName  = regexp.MustCompile(`^[a-z0-9_@][a-z0-9:_.@+-]*$`)
	unsayableRun = regexp.MustCompile(`[\x00-\x1f\x7f]`)
)

// sayable tells what a site file can't hold.
func (d *deduction) sayable(of, name, value string) bool {
	if sayableName.MatchString(name) && !unsayableRun.MatchString(value) {
		return true
	}
	d.note("the property %q of %s is left out: a site file can't hold it", name, of)
	return false
}
