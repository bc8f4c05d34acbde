package reconcile

import (
	"path"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
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
func placeOf(site *spec.Site, state *State, file string) (place, bool) {
	var best place
	for dataset, mountpoint := range mountpoints(site, state) {
		if !strings.HasPrefix(mountpoint, "/") || !under(file, mountpoint) {
			continue
		}
		longer := len(mountpoint) > len(best.Mountpoint)
		same := len(mountpoint) == len(best.Mountpoint) && (best.Dataset == "" || dataset < best.Dataset)
		if longer || same {
			best = place{Dataset: dataset, Mountpoint: mountpoint}
		}
	}
	return best, best.Dataset != ""
}

// mountpoints are those of all file systems that may be mounted: the wanted
// ones, over those that are there.
func mountpoints(site *spec.Site, state *State) map[string]string {
	points := map[string]string{}
	for _, d := range state.ZFS.Datasets {
		if d.Type == "filesystem" && d.Properties["canmount"].Value != "off" {
			points[d.Name] = path.Clean(d.Mountpoint)
		}
	}
	for _, d := range site.Datasets {
		if m, ok := wantedMountpoint(site, d); ok {
			points[d.Name] = m
		}
	}
	return points
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
// first, then those of pg_wal and of the tablespaces, each once.
func clusterDatasets(site *spec.Site, state *State) []place {
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
