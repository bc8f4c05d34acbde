package reconcile

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// foundCluster is the standby that is there.
type foundCluster struct {
	dataDir   string
	dataset   string // that holds it, and where that is mounted
	mount     string
	user      postgres.OSUser
	process   postgres.Process
	programs  string // the folder of its server's programs
	binDir    string // the same; "" is where it would be looked for anyway
	storage   postgres.Storage
	locations map[string]string // of its tablespaces on the primary, by OID; nil is not known
	files     map[string][]byte
	confFile  string // of a server that reads its configuration elsewhere; "" is in the data directory
	outside   []byte // that file
	settings  map[string]string
	managedBy string // the site whose apply wrote zreconcile.conf; "" is nobody's
	ejected   string // the site that it was ejected from; "" is none
	bootstrap string // the superuser that initdb made; "" is not known
	unit      bool   // systemd knows it as a unit of the site
	systemd   bool   // systemd runs here
	archived  int    // files of WAL in the directory that archive_command names
	password  foundPassword
}

// user is the standby's, or nobody.
func (f found) user() postgres.OSUser {
	if f.cluster == nil {
		return postgres.OSUser{}
	}
	return f.cluster.user
}

// clusterSettings are those that a site file is written from.
var clusterSettings = []string{"port", "listen_addresses", "unix_socket_directories", "primary_conninfo", "primary_slot_name",
	"archive_mode", "archive_command", "restore_command", "cluster_name"}

// chooseCluster wants one standby on the pool: the one of the options, or the
// only one. "" is none.
func (h *Host) chooseCluster(ctx context.Context, o InitOptions, f *found) (string, error) {
	onPool := func(dir string) bool {
		m, ok := zfs.Holding(f.mounts, dir)
		return ok && m.IsZFS() && poolOf(m.Source) == f.pool.Pool.Name
	}
	if o.DataDir != "" {
		dir := resolvedDir(o.DataDir)
		switch {
		case !postgres.IsCluster(dir):
			return "", fmt.Errorf("%s is no data directory of PostgreSQL: it has no PG_VERSION and no global/pg_control", o.DataDir)
		case !onPool(dir):
			return "", fmt.Errorf("%s does not lie on pool %s", o.DataDir, f.pool.Pool.Name)
		}
		return dir, nil
	}
	dirs, err := dataDirs(ctx, f.mounts)
	if err != nil {
		return "", err
	}
	var standbys []string
	for _, dir := range dirs {
		m, _ := zfs.Holding(f.mounts, dir)
		d, _ := f.pool.Dataset(m.Source)
		standby := exists(filepath.Join(dir, signalFile))
		switch {
		case onPool(dir) && d.Origin != "":
			continue // a restore, or a clone of somebody's
		case onPool(dir) && standby:
			if site := managedSite(dir); o.Site == "" || site == "" || site == o.Site {
				standbys = append(standbys, dir)
			}
		case onPool(dir):
			f.passed = append(f.passed, fmt.Sprintf("the cluster in %s is left alone: it is no standby (it has no %s)", dir, signalFile))
		case standby && !m.IsZFS():
			f.passed = append(f.passed, fmt.Sprintf("the standby in %s is left alone: it lies on no dataset", dir))
		}
	}
	if len(standbys) > 1 {
		return "", fmt.Errorf("%w: there are several standbys on pool %s: %s; say which one the file is about: --data-dir %s", ErrRefused, f.pool.Pool.Name, join(standbys), standbys[0])
	}
	return strings.Join(standbys, ""), nil
}

// standbysOn are the data directories of standbys on any dataset.
func standbysOn(ctx context.Context, mounts []zfs.Mount) ([]string, error) {
	dirs, err := dataDirs(ctx, mounts)
	return slices.DeleteFunc(dirs, func(dir string) bool {
		m, ok := zfs.Holding(mounts, dir)
		return !ok || !m.IsZFS() || !exists(filepath.Join(dir, signalFile))
	}), err
}

// dataDirs are those of the servers that run, and those at mountpoints of ZFS.
func dataDirs(ctx context.Context, mounts []zfs.Mount) ([]string, error) {
	running, err := postgres.RunningServers(ctx)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, s := range running {
		dirs = append(dirs, resolvedDir(s.DataDir))
	}
	dirs = unique(append(dirs, clustersBelow(mounts)...))
	slices.Sort(dirs)
	return dirs, nil
}

// clustersBelow looks for data directories at mountpoints of ZFS, and two levels
// below, but for unfinished copies.
func clustersBelow(mounts []zfs.Mount) []string {
	var dirs []string
	for _, m := range mounts {
		if !m.IsZFS() {
			continue
		}
		for _, pattern := range []string{"PG_VERSION", "*/PG_VERSION", "*/*/PG_VERSION"} {
			files, _ := filepath.Glob(filepath.Join(m.Target, pattern))
			for _, file := range files {
				dir := filepath.Dir(file)
				unfinished := strings.HasSuffix(dir, postgres.PartialSuffix) || strings.HasSuffix(dir, postgres.VerifiedSuffix)
				if !unfinished && resolvedDir(dir) == dir && postgres.IsCluster(dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	slices.Sort(dirs)
	return dirs
}

var managedBy = regexp.MustCompile(`^Managed by zreconcile for the site (\S+): `)

// siteNamedBy is the site that the header of a managed file names; "" is none.
func siteNamedBy(managed []byte) string {
	header, _ := conf.Rendered(managed)
	if m := managedBy.FindStringSubmatch(header); m != nil {
		return m[1]
	}
	return ""
}

var leftBehindBy = regexp.MustCompile(`^Written by zreconcile for the site (\S+), which was ejected: `)

// siteLeft is the site that a managed file was left behind by; "" is none.
func siteLeft(managed []byte) string {
	header, _ := conf.Rendered(managed)
	if m := leftBehindBy.FindStringSubmatch(header); m != nil {
		return m[1]
	}
	return ""
}

func managedSite(dir string) string {
	content, _ := os.ReadFile(filepath.Join(dir, managedFile))
	return siteNamedBy(content)
}

// findCluster reads a data directory and asks its programs and, where it is
// managed, its server.
func (h *Host) findCluster(ctx context.Context, dir string) (*foundCluster, error) {
	c := &foundCluster{dataDir: dir}
	var err error
	if c.user, err = postgres.Owner(dir); err != nil {
		return nil, fmt.Errorf("who %s belongs to: %w", dir, err)
	}
	cluster := h.cluster(&spec.Site{Standby: &spec.Standby{DataDir: dir}}, "", "", c.user)
	if c.process, err = cluster.Process(); err != nil {
		return nil, err
	}
	if c.files, err = cluster.ReadFiles(confFiles...); err != nil {
		return nil, err
	}
	if c.storage, err = cluster.Storage(); err != nil {
		return nil, err
	}
	major, err := cluster.PGVersion()
	if err != nil {
		return nil, err
	}
	c.managedBy, c.ejected = siteNamedBy(c.files[managedFile]), siteLeft(c.files[managedFile])
	c.programs = c.findPrograms(cluster, major)
	if cluster.BinDir = c.programs; c.programs == "" {
		return nil, fmt.Errorf("%s was made by PostgreSQL %d, whose programs are not found here: install them, then run init again", dir, major)
	}
	c.settings = cluster.FileSettings(ctx, clusterSettings...)
	if len(c.settings) == 0 { // files that the server could not load
		c.settings = effective(slices.Concat(c.files[mainFile], []byte("\n"), c.files[managedFile], c.files[autoFile]))
	}
	c.findOutside(cluster)
	h.askManaged(ctx, c, cluster)
	entries, _ := os.ReadDir(c.archive()) // what is not there holds nothing
	for _, e := range entries {
		if wal.Classify(e.Name()) == wal.KindSegment {
			c.archived++
		}
	}
	_, err = os.Stat("/run/systemd/system") // the documented test (manual page sd_booted)
	c.systemd = err == nil
	c.unit = exists(filepath.Join("/etc/systemd/system", unitName(c.managedBy, "")))
	h.findPassword(ctx, c)
	return c, nil
}

// findPrograms gives the folder of the server's programs, and remembers it where
// it would not be found by itself.
func (c *foundCluster) findPrograms(cluster *postgres.Cluster, major int) string {
	usual, err := postgres.FindBinaries("", major)
	var at string
	if words := cluster.StartedWith(); len(words) > 0 && path.IsAbs(words[0]) {
		at = filepath.Dir(resolvedDir(words[0]))
	}
	if found, atErr := postgres.FindBinaries(at, major); at != "" && atErr == nil && (err != nil || found != usual) {
		c.binDir = found
		return found
	}
	return usual
}

// findOutside reads the configuration file of a server that was started with
// another one than that of its data directory, as Debian's are.
func (c *foundCluster) findOutside(cluster *postgres.Cluster) {
	file := outsideConf(cluster)
	if content, err := os.ReadFile(file); file != "" && err == nil {
		c.confFile, c.outside = file, content
	}
}

// askManaged asks a server that lets this program in for the name of its
// bootstrap superuser.
func (h *Host) askManaged(ctx context.Context, c *foundCluster, cluster *postgres.Cluster) {
	role, managed := conf.HBARole(c.files[hbaFile])
	if !managed || !c.process.Running {
		return
	}
	cluster.Admin, cluster.Port, cluster.SocketDir = postgres.Login{Role: role}, c.process.Port, c.process.SocketDir
	if status, err := cluster.Status(ctx); err == nil {
		c.bootstrap = status.BootstrapRole
	} else {
		h.Log.Debug("the standby was not asked for its bootstrap superuser", "error", err)
	}
}
