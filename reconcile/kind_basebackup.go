package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

// diffBasebackup wants a cluster in the data directory: the one that is there,
// of the primary's system identifier, or a copy of the primary. It is made only
// into a directory that is missing, empty or left unfinished by this program.
func diffBasebackup(in *view) []Change {
	s := in.site.Standby
	if s == nil {
		return nil
	}
	c := Change{Name: s.DataDir}.at(s.Pos)
	cluster := in.state.Cluster
	switch cluster.Content {
	case DirCluster:
		return adoption(in, c)
	case DirStranger:
		return []Change{c.block(fmt.Sprintf("%s holds files that are no PostgreSQL cluster: %s", s.DataDir, join(cluster.Strangers)),
			fmt.Sprintf("move them aside: mv %s %s.aside", s.DataDir, s.DataDir))}
	}
	if why, mend := copyBlock(in); why != "" {
		return []Change{c.block(why, mend)}
	}
	c.Action, c.Why = Create, map[Content]string{
		DirMissing: "there is no data directory",
		DirEmpty:   "the data directory is empty",
		DirPartial: "an earlier copy was left unfinished; it is made again",
	}[cluster.Content]
	if p := in.state.Primary; p != nil {
		c.Attrs = append(c.Attrs,
			Attr{Name: "system identifier", After: strconv.FormatUint(p.SystemID, 10)},
			Attr{Name: "major version", After: strconv.Itoa(p.Major)})
		if p.Size > 0 {
			c.Attrs = append(c.Attrs, Attr{Name: "size", After: units.BytesSize(float64(p.Size))})
		}
	}
	return []Change{c}
}

// adoption accepts a cluster that stands there, if it is the primary's.
func adoption(in *view, c Change) []Change {
	control := in.state.Cluster.Control
	if control == nil {
		return nil // its reading failed, and is a failure of its own
	}
	s := in.site.Standby
	if p := in.state.Primary; p != nil && p.SystemID != control.SystemID {
		return []Change{c.block(fmt.Sprintf("the cluster in %s has system identifier %d, the primary's is %d: it is another database", s.DataDir, control.SystemID, p.SystemID),
			fmt.Sprintf("move it aside (mv %s %s.aside), name another standby.dataDir, or correct standby.primary", s.DataDir, s.DataDir))}
	}
	if other, where := foreignSystem(in, control.SystemID); other != "" {
		return []Change{c.block(fmt.Sprintf("the cluster in %s has system identifier %d, but this site has %s of %s", s.DataDir, control.SystemID, where, other),
			"give the other cluster a site name and an archive.dir of its own")}
	}
	return nil
}

// copyBlock says what forbids a base backup.
func copyBlock(in *view) (why, mend string) {
	s := in.site.Standby
	dirs := clusterDirs(in)
	if in.site.Archive != nil {
		dirs = append(dirs, in.site.Archive.Dir) // a standby without its archive could not be started
	}
	for _, dir := range dirs {
		if why, mend := mountBlock(in, dir); why != "" {
			return why, mend
		}
	}
	if who := in.state.Ports[s.Port]; who != "" {
		return fmt.Sprintf("port %d, which the standby should have, is in use by %s: the copy would be of no use", s.Port, who), "choose another standby.port, or stop that program"
	}
	p := in.state.Primary
	if p == nil {
		return "", ""
	}
	if in.state.Server.BinDir == "" {
		return cmp.Or(in.state.Server.Missing, "the programs of PostgreSQL were not looked for"), fmt.Sprintf("install PostgreSQL %d here (apt install postgresql-%d) or name its folder as standby.binDir", p.Major, p.Major)
	}
	if p.Major != in.state.Server.Major {
		return fmt.Sprintf("the primary runs PostgreSQL %d, the server here (%s) is %d: a standby must be of the same major version", p.Major, in.state.Server.BinDir, in.state.Server.Major),
			fmt.Sprintf("install PostgreSQL %d here (apt install postgresql-%d) or name its folder as standby.binDir", p.Major, p.Major)
	}
	if other, where := foreignSystem(in, p.SystemID); other != "" {
		return fmt.Sprintf("the primary's system identifier is %d, but this site has %s of %s: a copy would mix two databases", p.SystemID, where, other),
			"correct standby.primary, or give the new database a site name and an archive.dir of its own"
	}
	for _, t := range p.Tablespaces {
		if mapping(in, t.Location) == "" {
			return fmt.Sprintf("the primary has a tablespace at %s, and the file does not say where it goes", t.Location),
				fmt.Sprintf("standby: tablespaces: {%s: /a/folder/on/a/dataset}", t.Location)
		}
	}
	return spaceBlock(in, *p)
}

// copyInSight is false where no copy can be made as things are, above all where the
// pool is late or its dataset locked, and so may hold the cluster. Then sizes are of
// no use, and to ask for them may cost the primary a checkpoint and a WAL segment
// each time: one that keeps no WAL would remove what the standby still needs.
func (in *view) copyInSight() bool {
	if in.state.Absent != nil && !in.freshPool() {
		return false
	}
	why, _ := copyBlock(in)
	return why == ""
}

func clusterDirs(in *view) []string {
	dirs := []string{in.site.Standby.DataDir}
	if d := in.site.Standby.WALDir; d != "" {
		dirs = append(dirs, d)
	}
	for _, t := range in.site.Standby.Tablespaces {
		dirs = append(dirs, t.To)
	}
	return dirs
}

// mountBlock wants a directory's dataset mounted, and nothing else upon it: an
// unmounted or locked one looks like an empty folder on the root disk (pitfall
// 56), and so does one of a pool that was imported under an altroot. A dataset
// that this plan creates is as good.
func mountBlock(in *view, dir string) (why, mend string) {
	p, ok := placeOf(in.site, in.state, dir)
	if !ok {
		return fmt.Sprintf("%s lies on no dataset of pool %s", dir, in.site.Pool.Name),
			"name a dataset with a mountpoint above it, or choose a folder below one"
	}
	d, exists := in.state.ZFS.Dataset(p.Dataset)
	holder, _ := zfs.Holding(in.state.Mounts, dir)
	switch {
	case !exists, holder.IsZFS() && holder.Source == p.Dataset && holder.Target == p.Mountpoint:
		return "", ""
	case under(holder.Target, p.Mountpoint):
		return fmt.Sprintf("%s, which should lie on dataset %s, lies on %s (%s), which is mounted at %s", dir, p.Dataset, holder.Source, holder.FSType, holder.Target),
			"name that one's folder otherwise, or free it: umount " + holder.Target
	case in.state.ZFS.Pool != nil && in.state.ZFS.Pool.AltRoot != "":
		return fmt.Sprintf("pool %s was imported under %s, so dataset %s, which should hold %s, is mounted at %s", in.site.Pool.Name, in.state.ZFS.Pool.AltRoot, p.Dataset, dir, d.Mountpoint),
			fmt.Sprintf("import it without an altroot: zpool export %s; zpool import %s", in.site.Pool.Name, in.site.Pool.Name)
	case d.Mounted && d.Mountpoint != p.Mountpoint:
		return fmt.Sprintf("dataset %s, which should hold %s, is mounted at %s, and not at %s", p.Dataset, dir, d.Mountpoint, p.Mountpoint),
			fmt.Sprintf("zfs set mountpoint=%s %s; an apply does so, where the file has that mountpoint", p.Mountpoint, p.Dataset)
	}
	return fmt.Sprintf("dataset %s, which should hold %s, is not mounted at %s (mounted: %v, mountpoint: %s)", p.Dataset, dir, p.Mountpoint, d.Mounted, d.Mountpoint),
		fmt.Sprintf("zfs mount %s; for an encrypted one, zfs load-key %s before", p.Dataset, p.Dataset)
}

// foreignSystem finds snapshots or WAL of this site that are of another cluster.
func foreignSystem(in *view, systemID uint64) (other, where string) {
	id := strconv.FormatUint(systemID, 10)
	for _, s := range ours(in.site, in.state) {
		if s.SystemID != "" && s.SystemID != id {
			return s.SystemID, "snapshots (" + s.Name + ")"
		}
	}
	if a := in.state.Archive.SystemID; a != 0 && a != systemID {
		return strconv.FormatUint(a, 10), "an archive (" + in.site.Archive.Dir + ")"
	}
	return "", ""
}

// mapping is where a tablespace of the primary goes; "" is not said.
func mapping(in *view, location string) string {
	for _, t := range in.site.Standby.Tablespaces {
		if strings.TrimSuffix(t.From, "/") == strings.TrimSuffix(location, "/") {
			return t.To
		}
	}
	return ""
}

// spaceBlock wants room for each part of the copy on the dataset where it goes.
func spaceBlock(in *view, p Primary) (why, mend string) {
	type part struct {
		dir  string
		size int64
	}
	parts := []part{{in.site.Standby.DataDir, p.Size}}
	for _, t := range p.Tablespaces {
		parts[0].size -= t.Size
		parts = append(parts, part{mapping(in, t.Location), t.Size})
	}
	total := map[string]int64{}
	for _, part := range parts {
		place, _ := placeOf(in.site, in.state, part.dir)
		total[place.Dataset] += part.size
		if free, known := freeBytes(in, place.Dataset); known && total[place.Dataset] > free {
			return fmt.Sprintf("the copy does not fit: the primary holds %s for %s, and the dataset %s has %s left", units.BytesSize(float64(total[place.Dataset])), part.dir, place.Dataset, units.BytesSize(float64(free))),
				"add a vdev (zpool add), raise a quota, or free space"
		}
	}
	return "", ""
}

// freeBytes is what a copy finds on a dataset; one that is still to be made has
// what the nearest one above it has. An unfinished copy is removed before the
// new one, and so counts as free.
func freeBytes(in *view, dataset string) (free int64, known bool) {
	d, known := in.state.ZFS.Dataset(in.existing(dataset))
	free = d.Available
	if in.state.Cluster.Content == DirPartial {
		free += d.Referenced
	}
	return free, known
}

func applyBasebackup(ctx context.Context, h *Host, in *view, c Change) error {
	s := in.site.Standby
	cluster := h.cluster(in.site, in.state.Server.BinDir, "", in.state.Server.User)
	passfile, err := h.ensurePassfile(in)
	if err != nil {
		return err
	}
	tablespaces := map[string]string{}
	for _, t := range s.Tablespaces {
		tablespaces[t.From] = t.To
	}
	slot, err := h.ensureSlot(ctx, in)
	if err != nil {
		return err
	}
	return cluster.BaseBackup(ctx, postgres.BackupOptions{
		Target: s.DataDir, WALDir: s.WALDir, Tablespaces: tablespaces, SystemID: in.state.Primary.SystemID,
		Checkpoint: s.Basebackup.Checkpoint, MaxRate: s.Basebackup.MaxRate, Slot: slot,
		Conninfo: primaryConninfo(in.site, passfile), Passfile: passfile,
		Progress: func(p postgres.Progress) {
			h.OnProgress(Progress{Kind: kindBasebackup, Name: c.Name, Done: p.Done, Total: p.Total})
		},
	})
}

// contentOf tells what stands in a data directory; strangers are the names of
// files that are no cluster's.
func contentOf(dir string) (c Content, strangers []string, err error) {
	for _, suffix := range []string{postgres.PartialSuffix, postgres.VerifiedSuffix} {
		if _, err := os.Lstat(dir + suffix); err == nil {
			c = DirPartial
		}
	}
	entries, err := os.ReadDir(dir)
	switch {
	case os.IsNotExist(err):
		return c, nil, nil
	case err != nil:
		return c, nil, err
	case len(entries) == 0:
		return max(c, DirEmpty), nil, nil
	}
	for _, e := range entries {
		strangers = append(strangers, e.Name())
	}
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err != nil {
		return DirStranger, strangers, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "global", "pg_control")); err != nil {
		return DirStranger, strangers, nil
	}
	return DirCluster, nil, nil
}
