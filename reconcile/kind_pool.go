package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// diffPool wants the pool imported, made where it cannot be, and of the wanted
// properties. A device with a ZFS label is never written over: a disk that is
// late at boot must not cost a pool (pitfall 55).
func diffPool(in *view) []Change {
	if in.state.failed(kindPool) {
		return nil
	}
	if in.state.ZFS.Pool == nil {
		return []Change{absentPool(in).at(in.site.Pool.Pos)}
	}
	var changes []Change
	if c, differs := poolProperties(in); differs {
		changes = append(changes, c)
	}
	if c, blocked := poolBlock(in); blocked {
		changes = append(changes, c)
	}
	return changes
}

// absentPool imports, creates or blocks.
func absentPool(in *view) Change {
	pool, absent := in.site.Pool, in.state.Absent
	c := Change{Name: pool.Name, Action: Create}
	if absent == nil {
		return c.block("what there is to make the pool from was not looked at", "run it again")
	}
	switch n := len(absent.Importable); {
	case n == 1:
		found := absent.Importable[0]
		if found.State != "ONLINE" && found.State != "DEGRADED" {
			return c.block(fmt.Sprintf("pool %s can be seen but not imported: %s %s", pool.Name, found.State, found.Status),
				"bring its missing devices back, then look at: zpool import")
		}
		c.Why = "the pool is not imported, and can be"
		c.Attrs = []Attr{{Name: "import", After: found.GUID}}
		return c
	case n > 1:
		return c.block(fmt.Sprintf("%d pools named %s can be imported", n, pool.Name), "import the right one by its number: zpool import; zpool import NUMBER")
	case len(pool.Vdevs) == 0:
		return c.block(fmt.Sprintf("no pool %s is imported or can be, and the file names no vdevs to create it from", pool.Name),
			"attach its disks and look at zpool import, or name pool.vdevs")
	}
	if why, mend := deviceBlock(pool, absent.Devices); why != "" {
		return c.block(why, mend)
	}
	c.Why = "there is no such pool"
	for _, v := range pool.Vdevs {
		c.Attrs = append(c.Attrs, Attr{Name: vdevLabel(v.Type, v.Class), After: strings.Join(v.Devices, " ")})
	}
	for _, p := range pool.Properties {
		c.Attrs = append(c.Attrs, Attr{Name: p.Name, After: text(p.Value)})
	}
	for _, p := range pool.RootProperties {
		c.Attrs = append(c.Attrs, Attr{Name: "root " + p.Name, After: text(p.Value)})
	}
	return c
}

// freshPool is true where the pool will be made, and so holds no snapshot yet. One
// that is blocked, since its disk is late, may hold all that is asked for.
func (in *view) freshPool() bool {
	absent := in.state.Absent
	return absent != nil && len(absent.Importable) == 0 && absentPool(in).Action == Create
}

// block turns a change into one that needs a person.
func (c Change) block(why, mend string) Change {
	c.Action, c.Why, c.Mend = Block, why, mend
	return c
}

// deviceBlock says which device of the spec must not be written over, and why.
func deviceBlock(pool spec.Pool, contents map[string]zfs.Content) (why, mend string) {
	for _, v := range pool.Vdevs {
		for _, device := range v.Devices {
			switch c := contents[device]; c.Kind {
			case zfs.Empty:
			case "":
				return fmt.Sprintf("what device %s holds is not known", device), "run it again"
			case zfs.Missing:
				return fmt.Sprintf("device %s is not there", device), "attach the disk or make the file, or correct pool.vdevs"
			case zfs.Label:
				return fmt.Sprintf("device %s carries a ZFS label: %s", device, c.Detail),
					fmt.Sprintf("a labelled device is never written over; look with zpool import and zdb -l %s, and if the label is of no use to anybody run: zpool labelclear %s", device, device)
			case zfs.InUse:
				return fmt.Sprintf("device %s is in use: %s", device, c.Detail), "name another device, or unmount this one"
			default:
				if !contains(pool.Overwrite, device) {
					return fmt.Sprintf("device %s is not empty: %s", device, c.Detail),
						fmt.Sprintf("if it may be lost, name it in the spec (pool: overwrite: [%s]) or run: wipefs -a %s", device, device)
				}
			}
		}
	}
	return "", ""
}

// poolProperties is the change of what can be set on a living pool.
func poolProperties(in *view) (Change, bool) {
	c := Change{Name: in.site.Pool.Name, Action: Update, Why: "properties of the pool differ"}
	for _, p := range in.poolDrift() {
		if p.known && !p.atBirth {
			c = c.with(p)
		}
	}
	return c, len(c.Attrs) > 0
}

// poolDrift are the properties of the pool and of its root dataset that differ.
func (in *view) poolDrift() []drift {
	pool, have := in.site.Pool, in.state.ZFS.Pool
	var list []drift
	for _, p := range pool.Properties {
		// There is nothing that a pool could inherit: null is as good as not named.
		if v, differs := differing(have.Properties, p); differs && p.Value != nil {
			_, known := have.Properties[p.Name] // all of a pool's are always read
			list = append(list, drift{Property: p, attr: p.Name, have: v.Value, known: known, atBirth: zfs.PoolCreationOnly(p.Name)})
		}
	}
	root, _ := in.state.ZFS.Dataset(pool.Name)
	for _, d := range in.drift(root, pool.RootProperties) {
		d.attr = "root " + d.attr
		list = append(list, d)
	}
	return list
}

// poolBlock is what only a person may change: creation-only properties, those
// that the tool does not know, and the layout of vdevs (pitfall 6).
func poolBlock(in *view) (Change, bool) {
	pool, have := in.site.Pool, in.state.ZFS.Pool
	c := Change{Name: pool.Name}.at(pool.Pos)
	c.aside = true // as it is, the pool holds what it is to hold
	var why, mend []string
	if have.Suspended {
		c.aside = false
		why = append(why, "the pool is suspended: "+have.Status)
		mend = append(mend, "bring its devices back, then: zpool clear "+pool.Name)
	}
	for _, p := range in.poolDrift() {
		switch {
		case !p.known:
			why = append(why, p.unknown())
			mend = append(mend, "take "+p.Name+" out of the file, or install tools that know it")
		case p.atBirth:
			why = append(why, fmt.Sprintf("%s is %s and can only be set when a pool is created", p.attr, p.have))
			mend = append(mend, fmt.Sprintf("write %s: %s into the spec, or move the data to a pool created with %s", p.Name, p.have, p.option()))
		default:
			continue
		}
		c = c.with(p)
	}
	if len(pool.Vdevs) > 0 {
		wanted, found := wantedLayout(pool), foundLayout(*have)
		if replaced, same := replacements(wanted, found); !same || replaced != nil {
			if len(c.Attrs) == 0 {
				c = c.at(pool.Vdevs[0].Pos)
			}
			c.Attrs = append(c.Attrs, Attr{Name: "vdevs", Before: layoutText(found), After: layoutText(wanted)})
			why = append(why, "the pool's vdevs are not those of the spec"+listed(replacedTexts(replaced)))
			mend = append(mend, fmt.Sprintf("write the vdevs that it has into the spec, or change the pool by hand (man zpool-add, zpool-attach, zpool-replace): zpool status %s", pool.Name))
		}
		if !found.hasAny(wanted) && !in.ownsDataset() {
			c.aside = false
			why = append(why, "none of the file's devices is in it, and no dataset of it is this site's: it may be another pool of that name")
		}
	}
	if len(why) == 0 {
		return c, false
	}
	return c.block(strings.Join(why, "; "), strings.Join(mend, "; ")), true
}

// ownsDataset is true where a dataset of the pool is marked as this site's.
func (in *view) ownsDataset() bool {
	return slices.ContainsFunc(in.state.ZFS.Datasets, func(d zfs.Dataset) bool {
		return localMarks(d.Properties)[markSite] == in.site.Name
	})
}

func replacedTexts(replaced []replacement) []string {
	var texts []string
	for _, r := range replaced {
		texts = append(texts, fmt.Sprintf("%s stands where the file names %s", r.found, r.wanted))
	}
	return texts
}

// poolOnline is the health of a pool all of whose devices are there.
const poolOnline = "ONLINE"

// poolNotes tells of a pool that is not at its best: its state, the devices, and
// what zpool says and advises. Nothing of it keeps an apply from its work.
func (in *view) poolNotes() []string {
	p := in.state.ZFS.Pool
	if p == nil {
		return nil
	}
	var notes []string
	if faults := p.Faults(); p.Health != poolOnline || faults != nil {
		note := fmt.Sprintf("pool %s is %s", p.Name, p.Health)
		if faults != nil {
			note += ", " + strings.Join(faults, ", ")
		}
		notes = append(notes, strings.TrimSuffix(note+": "+p.Status, ": "))
	}
	return notes
}

func applyPool(ctx context.Context, h *Host, in *view, c Change) error {
	pool := in.site.Pool
	if in.state.ZFS.Pool != nil {
		return setPoolProperties(ctx, h, pool, c)
	}
	if len(in.state.Absent.Importable) == 1 {
		return h.ZFS.Import(ctx, in.state.Absent.Importable[0].GUID, vdevFolders(pool))
	}
	wanted := zfs.PoolSpec{Name: pool.Name, Properties: props(pool.Properties), RootProperties: props(pool.RootProperties)}
	for _, v := range pool.Vdevs {
		wanted.Vdevs = append(wanted.Vdevs, zfs.VdevSpec{Type: v.Type, Class: v.Class, Devices: v.Devices})
		for _, d := range v.Devices {
			// ZFS itself refuses what blkid shows; the file consents to it.
			wanted.Force = wanted.Force || contains(pool.Overwrite, d)
		}
	}
	return h.ZFS.CreatePool(ctx, wanted)
}

func setPoolProperties(ctx context.Context, h *Host, pool spec.Pool, c Change) error {
	var own []zfs.Prop
	for _, a := range c.Attrs {
		if name, root := strings.CutPrefix(a.Name, "root "); root {
			if err := setProperty(ctx, h, pool.Name, pool.RootProperties, name); err != nil {
				return err
			}
			continue
		}
		own = append(own, zfs.Prop{Name: a.Name, Value: a.After})
	}
	if len(own) == 0 {
		return nil
	}
	return h.ZFS.SetPoolProperties(ctx, pool.Name, own)
}

// vdevFolders are the folders of the spec's own devices: files, and disks that
// zpool import does not look for by itself.
func vdevFolders(pool spec.Pool) []string {
	var dirs []string
	for _, v := range pool.Vdevs {
		for _, d := range v.Devices {
			dirs = append(dirs, filepath.Dir(d))
		}
	}
	return unique(dirs)
}
