package reconcile

import (
	"path"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// place is the dataset that a path lies on, as the file wants it or, where the
// file does not say, as the pool has it.
type place struct {
	Dataset    string
	Mountpoint string
}

// rel is the path seen from the mountpoint.
func (p place) rel(file string) string {
	return strings.TrimPrefix(strings.TrimPrefix(file, p.Mountpoint), "/")
}

// under is true where file is dir or lies below it.
func under(file, dir string) bool {
	return dir == "/" || file == dir || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
}

// placeOf finds the dataset whose mountpoint is the longest that holds a path.
// Of several with the same mountpoint it is the one that the file names, then
// the one that is mounted there.
func placeOf(site *spec.Site, state *State, file string) (place, bool) {
	var best candidate
	for _, c := range candidates(site, state) {
		if under(file, c.Mountpoint) && c.before(best) {
			best = c
		}
	}
	return best.place, best.Dataset != ""
}

// candidate is a file system that a path may lie on.
type candidate struct {
	place
	named   bool // in the file
	mounted bool
}

func (c candidate) before(other candidate) bool {
	switch {
	case other.Dataset == "" || len(c.Mountpoint) != len(other.Mountpoint):
		return len(c.Mountpoint) > len(other.Mountpoint)
	case c.named != other.named:
		return c.named
	case c.mounted != other.mounted:
		return c.mounted
	}
	return c.Dataset < other.Dataset
}

// candidates are the file systems that are mounted, or should be: the wanted
// mountpoints, and where the file does not say, those that are there. One with
// canmount=off never is; one with noauto only where somebody mounted it, such
// as a replica beside its original.
func candidates(site *spec.Site, state *State) []candidate {
	var list []candidate
	named, placed := map[string]bool{}, map[string]bool{}
	for _, d := range site.Datasets {
		named[d.Name] = true
		if m, ok := wantedMountpoint(site, d); ok && path.IsAbs(m) && !neverMounted(d) {
			have, _ := state.ZFS.Dataset(d.Name)
			list, placed[d.Name] = append(list, candidate{place{d.Name, m}, true, have.Mounted}), true
		} else if ok || neverMounted(d) {
			placed[d.Name] = true // and nowhere
		}
	}
	for _, d := range state.ZFS.Datasets {
		canmount := d.Properties["canmount"].Value
		if d.Type != "filesystem" || !path.IsAbs(d.Mountpoint) || placed[d.Name] ||
			canmount == "off" || canmount == "noauto" && !d.Mounted {
			continue
		}
		list = append(list, candidate{place{d.Name, path.Clean(d.Mountpoint)}, named[d.Name], d.Mounted})
	}
	return list
}

// neverMounted is true of a dataset that the file gives canmount=off.
func neverMounted(d spec.Dataset) bool {
	for _, p := range d.Properties {
		if p.Name == "canmount" && p.Value != nil {
			return zfs.SameValue("canmount", *p.Value, "off")
		}
	}
	return false
}

// wantedMountpoint is what the file says of a dataset's mountpoint.
func wantedMountpoint(site *spec.Site, d spec.Dataset) (string, bool) {
	for _, p := range d.Properties {
		if p.Name == "mountpoint" && p.Value != nil {
			return path.Clean(*p.Value), true
		}
	}
	return "", false
}

// clusterDatasets are the datasets that hold the cluster: the data directory's
// first, then those of pg_wal and of the tablespaces, each once. Of a file that
// names no standby there are none.
func clusterDatasets(site *spec.Site, state *State) []place {
	if site.Standby == nil {
		return nil
	}
	dirs := []string{site.Standby.DataDir}
	if site.Standby.WALDir != "" {
		dirs = append(dirs, site.Standby.WALDir)
	}
	for _, t := range site.Standby.Tablespaces {
		dirs = append(dirs, t.To)
	}
	var places []place
	seen := map[string]bool{}
	for _, dir := range dirs {
		if p, ok := placeOf(site, state, dir); ok && !seen[p.Dataset] {
			seen[p.Dataset] = true
			places = append(places, p)
		}
	}
	return places
}
