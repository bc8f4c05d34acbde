package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// found is what init writes a site from, as plain data.
type found struct {
	pool        zfs.Inventory
	local       map[string][]string // by dataset: the properties that were set on it
	mounts      []zfs.Mount
	devices     map[string]string // a device as zpool status shows it: its lasting name, by absolute path
	site        string
	siteGuessed bool
	zone        *time.Location
	cluster     *foundCluster // nil is none to write of
	clones      map[string]map[string][]byte
	rivals      []rival
	passed      []string // what was found and is not written, and why
}

// atBirth are the properties that zfs get shows as set by nobody, and that a
// new dataset would need all the same.
var atBirth = []string{"encryption", "encryptionroot", "keyformat", "casesensitivity", "normalization", "utf8only"}

// find looks at the host, and changes nothing. It is refused where the host
// leaves a choice that the options do not make.
func (h *Host) find(ctx context.Context, o InitOptions) (found, error) {
	f := found{rivals: readRivals(rootFS()), zone: hostZone("/etc/localtime")}
	var err error
	if f.mounts, err = zfs.Mounts(); err != nil {
		return f, err
	}
	pool, err := h.choosePool(ctx, o, f.mounts)
	if err != nil {
		return f, err
	}
	if err := h.findPool(ctx, pool, &f); err != nil {
		return f, err
	}
	dir, err := h.chooseCluster(ctx, o, &f)
	if err != nil {
		return f, err
	}
	managedBy := ""
	if dir != "" {
		if f.cluster, err = h.findCluster(ctx, dir); err != nil {
			return f, err
		}
		managedBy = cmp.Or(f.cluster.managedBy, f.cluster.ejected)
	}
	if f.site, f.siteGuessed, err = chooseSite(o, f.pool, managedBy); err != nil {
		return f, err
	}
	f.clones, err = h.findClones(f)
	return f, err
}

// hostZone is the time zone that a link such as /etc/localtime leads to; nil is
// not known.
func hostZone(link string) *time.Location {
	target, err := os.Readlink(link)
	if err != nil {
		return nil
	}
	_, name, found := strings.Cut(target, "zoneinfo/")
	if !found || strings.HasPrefix(name, "Etc/") {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

// choosePool wants one: the only one, or the only one that a server's data
// directory or one of our marks is on.
func (h *Host) choosePool(ctx context.Context, o InitOptions, mounts []zfs.Mount) (string, error) {
	pools, err := h.ZFS.Pools(ctx)
	if err != nil {
		return "", fmt.Errorf("listing the pools: %w (zreconcile doctor says what is missing)", err)
	}
	standbys, err := standbysOn(ctx, mounts)
	if err != nil {
		return "", err
	}
	var used []string
	for _, dir := range standbys {
		m, _ := zfs.Holding(mounts, dir)
		used = append(used, poolOf(m.Source))
	}
	if o.DataDir != "" {
		if m, ok := zfs.Holding(mounts, resolvedDir(o.DataDir)); ok && m.IsZFS() {
			used = []string{poolOf(m.Source)}
		}
	}
	return pickPool(o.Pool, pools, used)
}

// pickPool chooses of the pools that there are; used are those with a standby.
func pickPool(wanted string, pools, used []string) (string, error) {
	used = slices.DeleteFunc(unique(used), func(pool string) bool { return !slices.Contains(pools, pool) })
	switch {
	case len(pools) == 0:
		return "", errors.New("no ZFS pool is imported on this host, so there is nothing to write a site file of: import the one there is (zpool import shows them), or begin a new one from examples/site.yaml, whose apply makes the pool")
	case wanted != "" && !slices.Contains(pools, wanted):
		return "", fmt.Errorf("no pool %s is imported here; there are: %s", wanted, join(pools))
	case wanted != "":
		return wanted, nil
	case len(pools) == 1:
		return pools[0], nil
	case len(used) == 1:
		return used[0], nil
	}
	return "", fmt.Errorf("%w: there are several pools: %s; say which one the file is about: --pool %s", ErrRefused, join(pools), pools[0])
}

func poolOf(dataset string) string {
	pool, _, _ := strings.Cut(dataset, "/")
	return pool
}

func resolvedDir(dir string) string {
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		return target
	}
	return filepath.Clean(dir)
}

// findPool reads the pool, first which properties are local, then their values.
func (h *Host) findPool(ctx context.Context, pool string, f *found) error {
	q := zfs.Query{DatasetProperties: datasetMarks}
	inventory, err := h.ZFS.Inventory(ctx, pool, q)
	if err != nil {
		return fmt.Errorf("reading pool %s: %w", pool, err)
	}
	if inventory.Pool == nil {
		return fmt.Errorf("pool %s is not imported any more", pool)
	}
	var names []string
	for _, d := range inventory.Datasets {
		if zfs.ValidDataset(d.Name) == nil {
			names = append(names, d.Name)
		} else {
			f.passed = append(f.passed, fmt.Sprintf("dataset %q is left alone: its name can't stand in a site file", d.Name))
		}
	}
	if f.local, err = h.ZFS.LocalProperties(ctx, names); err != nil {
		return fmt.Errorf("reading the properties of pool %s: %w", pool, err)
	}
	asked := slices.Concat([]string{"canmount"}, atBirth, datasetMarks)
	for _, properties := range f.local {
		asked = append(asked, properties...)
	}
	slices.Sort(asked)
	q.DatasetProperties = slices.DeleteFunc(slices.Compact(asked), func(name string) bool { return zfs.ValidProperty(name) != nil })
	q.SnapshotProperties = snapshotMarks
	if f.pool, err = h.ZFS.Inventory(ctx, pool, q); err != nil {
		return fmt.Errorf("reading pool %s: %w", pool, err)
	}
	f.devices = lastingNames(f.pool.Pool)
	return nil
}

// lastingNames looks for the links by which the devices of a pool are found
// after each boot.
func lastingNames(pool *zfs.Pool) map[string]string {
	links, _ := filepath.Glob("/dev/disk/by-id/*")
	names := map[string]string{}
	for _, v := range pool.Vdevs {
		for _, d := range v.Devices {
			if name := lastingName(d.Path, links); name != "" {
				names[d.Path] = name
			}
		}
	}
	return names
}

// lastingName is the best name of a device: a file's own, the link that leads
// to the very device, one that leads to its whole disk, its name in /dev. ""
// is none.
func lastingName(shown string, links []string) string {
	if info, err := os.Stat(shown); err == nil && info.Mode().IsRegular() {
		return shown
	}
	best, bestRank := "", 0
	for _, link := range links {
		if !sameDevice(link, shown) {
			continue
		}
		rank := 1
		if hardToRead(filepath.Base(link)) {
			rank = 2
		}
		if !exactly(link, shown) {
			rank += 2
		}
		if best == "" || rank < bestRank || rank == bestRank && (len(link) < len(best) || len(link) == len(best) && link < best) {
			best, bestRank = link, rank
		}
	}
	if best != "" {
		return best
	}
	for _, dir := range deviceFolders {
		file := shown
		if !filepath.IsAbs(shown) {
			file = filepath.Join(dir, shown)
		}
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// hardToRead are names that hold numbers alone, where there is another with the
// model and the serial number (udev's rules for persistent storage).
func hardToRead(name string) bool {
	for _, prefix := range []string{"wwn-", "nvme-eui.", "nvme-uuid.", "scsi-3", "dm-uuid-", "lvm-pv-uuid-", "md-uuid-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// exactly is true of a link to the very device that zpool status shows.
func exactly(link, shown string) bool {
	target := resolvedDir(link)
	if filepath.IsAbs(shown) {
		return target == resolvedDir(shown)
	}
	return filepath.Base(target) == shown || filepath.Base(link) == shown
}

// chooseSite is the site of the options, of the data directory, or of the marks;
// where there is none, the pool's name.
func chooseSite(o InitOptions, pool zfs.Inventory, managedBy string) (name string, guessed bool, err error) {
	if o.Site != "" {
		return o.Site, false, nil
	}
	if managedBy != "" {
		return managedBy, false, nil
	}
	marked := map[string]bool{}
	for _, d := range pool.Datasets {
		marked[localMarks(d.Properties)[markSite]] = true
	}
	for _, s := range pool.Snapshots {
		marked[localMarks(s.Properties)[markSite]] = true
	}
	delete(marked, "")
	switch sites := namesOf(marked); len(sites) {
	case 0:
		return pool.Pool.Name, true, nil
	case 1:
		return sites[0], false, nil
	default:
		return "", false, fmt.Errorf("%w: several sites have marks on pool %s: %s; say which one the file is about: --site %s", ErrRefused, pool.Pool.Name, join(sites), sites[0])
	}
}

// findClones reads the configuration files of the restores of the site.
func (h *Host) findClones(f found) (map[string]map[string][]byte, error) {
	clones := map[string]map[string][]byte{}
	for _, d := range f.pool.Datasets {
		m := localMarks(d.Properties)
		if !m.ours(f.site) || m[markRestore] == "" || m[markDataDir] == "" || !zfs.MountedAt(f.mounts, d.Name, d.Mountpoint) {
			continue
		}
		files, err := h.cluster(&spec.Site{Standby: &spec.Standby{DataDir: filepath.Join(d.Mountpoint, m[markDataDir])}}, "", "", f.user()).ReadFiles(confFiles...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		clones[d.Name] = files
	}
	return clones, nil
}
