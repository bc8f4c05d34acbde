package spec

import (
	"path"
	"strconv"
	"strings"
)

// folder is a folder of the cluster that must lie inside a dataset.
type folder struct {
	name string // as the file's key names it
	path string
	node *node
}

// folders lists those of the file that are clean absolute paths; the others
// are reported.
func (d *draft) folders() []folder {
	standby := d.root.get("standby")
	all := []folder{
		{name: "dataDir", node: standby.get("dataDir")},
		{name: "walDir", node: standby.get("walDir")},
		{name: "archive.dir", node: d.root.get("archive", "dir")},
	}
	for _, m := range standby.get("tablespaces").members() {
		all = append(all, folder{name: "the tablespace " + m.key, node: m.value})
		if path.Clean(m.key) != m.key {
			d.errorf(m.value, "write "+path.Clean(m.key), "the tablespace %s has a detour in its path", m.key)
		}
	}
	var clean []folder
	for _, f := range all {
		f.path = f.node.textOr("")
		if d.checkClean(f.node, f.name, f.path) {
			clean = append(clean, f)
		}
	}
	return clean
}

// checkPaths places the folders of the cluster: each below the mountpoint of a
// dataset, none inside another.
func (d *draft) checkPaths() {
	folders := d.folders()
	for i, f := range folders {
		d.checkBelowMountpoint(f)
		for _, other := range folders[:i] {
			switch {
			case f.path == other.path:
				d.errorf(f.node, "", "%s is the same folder as %s: %s", f.name, other.name, f.path)
			case below(f.path, other.path):
				d.errorf(f.node, "", "%s %s lies inside %s %s", f.name, f.path, other.name, other.path)
			case below(other.path, f.path):
				d.errorf(f.node, "", "%s %s lies inside %s %s", other.name, other.path, f.name, f.path)
			}
		}
	}
	d.checkArchiveDataset(folders)
	d.checkSocketPaths()
	standby := d.root.get("standby")
	for _, key := range []string{"socketDir", "binDir"} {
		d.checkClean(standby.get(key), key, standby.get(key).textOr(""))
	}
}

// checkBelowMountpoint wants a folder strictly below a mountpoint: a server's
// files and ZFS's own do not belong into one folder, and the directory above
// is where a base backup is staged.
func (d *draft) checkBelowMountpoint(f folder) {
	mount := d.mountpointOf(f.path)
	switch {
	case mount == f.path:
		d.errorf(f.node, "name a folder in it, such as "+path.Join(mount, "data"),
			"%s %s is the mountpoint of a dataset itself; it must be below it", f.name, f.path)
	case mount == "":
		d.warnf(f.node, "", "%s %s is below no mountpoint of the file's datasets; it must be on a dataset of the pool", f.name, f.path)
	}
}

// mountpointOf is the deepest mountpoint of the file's datasets that holds a
// path; "" when none does.
func (d *draft) mountpointOf(p string) string {
	deepest := ""
	for _, mount := range d.mounts() {
		if within(p, mount) && len(mount) > len(deepest) {
			deepest = mount
		}
	}
	return deepest
}

// mounts gives the mountpoint of each dataset of the file: its own, or what it
// inherits from the nearest dataset of the file or from the pool
// (zfsprops(7), mountpoint). "" is for none, legacy and unknown.
func (d *draft) mounts() []string {
	pool := d.site.Pool
	own := map[string]string{pool.Name: "/" + pool.Name}
	if value, found := propertyValue(pool.RootProperties, "mountpoint"); found {
		own[pool.Name] = value
	}
	for _, dataset := range d.site.Datasets {
		if value, found := propertyValue(dataset.Properties, "mountpoint"); found {
			own[dataset.Name] = value
		}
	}
	mounts := make([]string, len(d.site.Datasets))
	for i, dataset := range d.site.Datasets {
		for name := dataset.Name; name != "" && name != "."; name = path.Dir(name) {
			if value, found := own[name]; found {
				if path.IsAbs(value) {
					mounts[i] = path.Join(value, strings.TrimPrefix(dataset.Name, name))
				}
				break
			}
		}
	}
	return mounts
}

func propertyValue(properties []Property, name string) (string, bool) {
	for _, p := range properties {
		if p.Name == name && p.Value != nil {
			return *p.Value, true
		}
	}
	return "", false
}

// checkArchiveDataset warns when a snapshot of the cluster would hold the
// archive as well: WAL could then never be freed before the snapshot is.
func (d *draft) checkArchiveDataset(folders []folder) {
	var archive folder
	for _, f := range folders {
		if f.name == "archive.dir" {
			archive = f
		}
	}
	mount := d.mountpointOf(archive.path)
	if archive.node == nil || mount == "" {
		return
	}
	for _, f := range folders {
		if f.name != archive.name && d.mountpointOf(f.path) == mount {
			d.warnf(archive.node, "give the archive a dataset of its own",
				"archive.dir and %s are on the same dataset: its snapshots hold the archive too, and removed WAL frees no space", f.name)
			return
		}
	}
}

// maxSocketPath is the longest path of a Unix-domain socket, in bytes
// (unix(7): sun_path of 108 with its NUL).
const maxSocketPath = 107

func (d *draft) checkSocketPaths() {
	if s := d.site.Standby; s != nil && s.Port != 0 {
		n := d.root.get("standby", "socketDir")
		if n == nil {
			n = d.root.get("site")
		}
		d.checkSocketPath(n, s.SocketDir, s.Port)
	}
	for i, n := range d.restores {
		if r := d.site.Restores[i]; r.Name != "" && r.Port != 0 {
			d.checkSocketPath(n.get("name"), path.Join(runDir, d.site.Name, r.Name), r.Port)
		}
	}
}

func (d *draft) checkSocketPath(n *node, dir string, port int) {
	socket := path.Join(dir, ".s.PGSQL."+strconv.Itoa(port))
	if len(socket) > maxSocketPath {
		d.errorf(n, "choose a shorter one", "the socket's path is %d bytes long, and %d is the limit: %s", len(socket), maxSocketPath, socket)
	}
}

// checkMountpoints keeps mountpoints apart: datasets and restores of the file
// must not hide each other.
func (d *draft) checkMountpoints() {
	mounts := distinct[string]{d: d}
	for i, n := range d.datasets {
		at := n.get("properties", "mountpoint")
		value := at.textOr("")
		if value == "none" || value == "legacy" || !d.checkClean(at, "mountpoint", value) {
			continue
		}
		mounts.add("mountpoint", value, at, "the dataset "+d.site.Datasets[i].Name)
	}
	for i, n := range d.restores {
		at, r := n.get("mountpoint"), d.site.Restores[i]
		if !d.checkClean(at, "mountpoint", r.Mountpoint) {
			continue
		}
		mounts.add("mountpoint", r.Mountpoint, at, "the restore "+strconv.Quote(r.Name))
		d.checkHides(at, r)
	}
}

// checkHides refuses a restore that would be mounted over the live cluster.
func (d *draft) checkHides(n *node, r Restore) {
	var live []string
	if s := d.site.Standby; s != nil {
		live = append(live, s.DataDir, s.WALDir, s.SocketDir)
		for _, t := range s.Tablespaces {
			live = append(live, t.To)
		}
	}
	if a := d.site.Archive; a != nil {
		live = append(live, a.Dir)
	}
	for _, p := range live {
		if p != "" && within(p, r.Mountpoint) && d.mountpointOf(p) != r.Mountpoint {
			d.errorf(n, "choose a folder of its own", "the restore %q mounted at %s would hide %s", r.Name, r.Mountpoint, p)
		}
	}
}
