package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Observe reads what is, and changes nothing. An error means that nothing can
// be decided; what is only partly unknown is in State.Failures.
func (h *Host) Observe(ctx context.Context, site *spec.Site, now time.Time) (State, error) {
	return h.observe(ctx, site, now, true)
}

// observe asks the primary only for a plan: a status is about this host. Of a pool
// that is suspended, or becomes so meanwhile, the state has the pool alone, and the
// error is zfs.ErrSuspended.
func (h *Host) observe(ctx context.Context, site *spec.Site, now time.Time, planning bool) (State, error) {
	type observed struct {
		state State
		err   error
	}
	for {
		o, came := unlessSuspended(h, site.Pool.Name, func() (o observed) {
			o.state, o.err = h.observeAll(ctx, site, now, planning)
			return o
		})
		if came {
			return o.state, o.err
		}
		state := State{At: now}
		if err := h.observePool(ctx, site, &state); err != nil {
			return state, err
		} // it was cleared just now
	}
}

func (h *Host) observeAll(ctx context.Context, site *spec.Site, now time.Time, planning bool) (State, error) {
	state := State{At: now, Resolved: map[string]Resolution{}, Ports: map[int]string{}, Occupied: map[string][]string{}}
	if err := h.observePool(ctx, site, &state); err != nil {
		return state, err
	}
	in := &view{site: site, state: &state, now: now}
	h.observeMountpoints(in)
	h.observeKeys(in)
	if site.Standby == nil {
		return state, nil
	}
	h.observePaths(in)
	h.observeServer(ctx, in, planning)
	h.observeCluster(ctx, in)
	h.observeTimeline(ctx, in)
	h.observeArchive(in)
	h.observeClones(ctx, in)
	h.observeDrills(ctx, in)
	h.observePorts(in)
	h.observeRestores(ctx, in)
	return state, nil
}

// observePool reads the pool; where it is not there, what it could be made of.
func (h *Host) observePool(ctx context.Context, site *spec.Site, state *State) (err error) {
	if state.ZFS, err = h.ZFS.Inventory(ctx, site.Pool.Name, query(site)); err != nil {
		return fmt.Errorf("reading pool %s: %w", site.Pool.Name, err)
	}
	if state.Mounts, err = zfs.Mounts(); err != nil {
		return err
	}
	// What the tools can do decides about what comes after the pool, too.
	if state.Tools, err = h.ZFS.Abilities(ctx); err != nil {
		return err
	}
	if state.ZFS.Pool == nil {
		return h.observeAbsentPool(ctx, site, state)
	}
	return nil
}

// query names the properties that the file speaks of, and the marks.
func query(site *spec.Site) zfs.Query {
	q := zfs.Query{
		DatasetProperties:  slices.Concat([]string{"canmount"}, datasetMarks, drillDatasetMarks),
		SnapshotProperties: slices.Concat(snapshotMarks, drillSnapshotMarks),
	}
	add := func(list []spec.Property) {
		for _, p := range list {
			q.DatasetProperties = append(q.DatasetProperties, p.Name)
		}
	}
	for _, p := range site.Pool.Properties {
		q.PoolProperties = append(q.PoolProperties, p.Name)
	}
	add(site.Pool.RootProperties)
	for _, d := range site.Datasets {
		add(d.Properties)
	}
	for _, r := range site.Restores {
		add(r.Properties)
		q.DatasetProperties = append(q.DatasetProperties, expiredMark(r.Name))
	}
	slices.Sort(q.DatasetProperties)
	q.DatasetProperties = slices.Compact(q.DatasetProperties)
	return q
}

func (h *Host) observeAbsentPool(ctx context.Context, site *spec.Site, state *State) error {
	absent := &AbsentPool{Devices: map[string]zfs.Content{}}
	state.Absent = absent
	found, err := h.ZFS.Importable(ctx, vdevFolders(site.Pool))
	if err != nil {
		return fmt.Errorf("looking for a pool %s to import: %w", site.Pool.Name, err)
	}
	for _, p := range found {
		if p.Name == site.Pool.Name {
			absent.Importable = append(absent.Importable, p)
		}
	}
	for _, v := range site.Pool.Vdevs {
		for _, d := range v.Devices {
			if absent.Devices[d], err = zfs.Probe(ctx, h.Run, d); err != nil {
				return fmt.Errorf("looking at device %s: %w", d, err)
			}
		}
	}
	return nil
}

// observeMountpoints lists what lies where something is to be mounted.
func (h *Host) observeMountpoints(in *view) {
	look := func(dataset, mountpoint string) {
		if d, ok := in.state.ZFS.Dataset(dataset); mountpoint == "" || ok && d.Mounted || mounted(in.state, mountpoint) {
			return
		}
		entries, err := os.ReadDir(mountpoint)
		if err != nil {
			return // missing, or not a folder: zfs says so itself
		}
		for _, e := range entries {
			in.state.Occupied[mountpoint] = append(in.state.Occupied[mountpoint], e.Name())
		}
	}
	for _, d := range in.site.Datasets {
		mountpoint, _ := wantedMountpoint(in.site, d)
		look(d.Name, mountpoint)
	}
	for _, r := range in.site.Restores {
		look(r.Dataset, r.Mountpoint)
	}
}

func mounted(state *State, dir string) bool {
	return slices.ContainsFunc(state.Mounts, func(m zfs.Mount) bool { return m.Target == dir })
}

// mountedAt is true where a place's dataset is mounted where it should be.
func mountedAt(state *State, p place) bool {
	return zfs.MountedAt(state.Mounts, p.Dataset, state.ZFS.WithAltRoot(p.Mountpoint))
}

func (h *Host) observePaths(in *view) {
	in.state.Paths = Paths{
		Helper:   filepath.Join(h.Folders.Lib, in.site.Name, "zreconcile"),
		Passfile: h.passfile(in.site),
		Sockets:  filepath.Join(h.Folders.Run, in.site.Name),
	}
}

// observeServer finds the programs: those of the cluster that is there, of the
// primary, or what the file names.
func (h *Host) observeServer(ctx context.Context, in *view, planning bool) {
	s := in.site.Standby
	user, err := postgres.LookupOSUser(s.OSUser)
	if err != nil {
		in.state.failCluster(err)
		return
	}
	in.state.Server.User = user
	in.state.Cluster.Content, in.state.Cluster.Strangers, err = h.contentOf(in)
	if err != nil {
		in.state.failCluster(err)
		return
	}
	if planning {
		h.observePrimary(ctx, in)
	}
	if why := in.state.reason(kindBasebackup); why != "" {
		if in.state.Cluster.Content == DirCluster { // whether it is the primary's is not known
			in.state.fail(kindConf, errors.New(why))
		}
		return
	}
	wanted := 0
	if p := in.state.Primary; p != nil {
		wanted = p.Major
	}
	if in.state.Cluster.Content == DirCluster {
		if wanted, err = (&postgres.Cluster{DataDir: s.DataDir}).PGVersion(); err != nil {
			in.state.failCluster(err)
			return
		}
	}
	h.findServer(ctx, in, wanted)
	h.observeSizes(ctx, in)
}

// findServer looks for the wanted major version; another one that the file
// names, or that is all there is, is for the plan to block.
func (h *Host) findServer(ctx context.Context, in *view, wanted int) {
	dir, err := postgres.FindBinaries(in.site.Standby.BinDir, wanted)
	if err == nil {
		in.state.Server.BinDir, in.state.Server.Major = dir, wanted
		return
	}
	in.state.Server.Missing = err.Error()
	if dir := in.site.Standby.BinDir; dir != "" {
		if major, majorErr := postgres.Major(ctx, h.Run, dir); majorErr == nil {
			in.state.Server.BinDir, in.state.Server.Major = dir, major
		}
	}
}

// contentOf looks into the data directory, but only where its dataset is
// mounted: an unmounted one looks like an empty folder of the root disk.
func (h *Host) contentOf(in *view) (Content, []string, error) {
	p, ok := placeOf(in.site, in.state, in.site.Standby.DataDir)
	if !ok || !mountedAt(in.state, p) {
		return DirMissing, nil, nil
	}
	in.state.Cluster.Dataset, in.state.Cluster.Mounted = p.Dataset, true
	return contentOf(in.site.Standby.DataDir)
}

// observePrimary asks the primary, but only where a plan depends on it: for a
// copy, or to adopt a cluster that does not know this site yet.
func (h *Host) observePrimary(ctx context.Context, in *view) {
	c := in.state.Cluster.Content
	adopting := c == DirCluster && !exists(filepath.Join(in.site.Standby.DataDir, managedFile))
	asked := c != DirStranger && (c != DirCluster || adopting)
	password, err := h.password(in.site)
	switch {
	case err != nil && asked:
		in.state.fail(kindBasebackup, err)
		return
	case err != nil:
		// The standby has a copy of its own, in its passfile: nothing waits for this.
		in.state.fail("", err)
		in.state.Cluster.PasswordUnknown = true
		return
	}
	in.state.Cluster.Password = password
	if !asked {
		return
	}
	info, err := postgres.Identify(ctx, h.primary(in.site, password))
	if err != nil {
		in.state.fail(kindBasebackup, err)
		return
	}
	in.state.Primary = &Primary{PrimaryInfo: info}
}

// observeSizes asks the primary how large a copy will be. The programs must have
// been looked for before: those of another version make none.
func (h *Host) observeSizes(ctx context.Context, in *view) {
	if in.state.Primary == nil || in.state.Cluster.Content == DirCluster || !in.copyInSight() {
		return
	}
	var err error
	if in.state.Primary.PrimarySizes, err = h.primary(in.site, in.state.Cluster.Password).Sizes(ctx); err != nil {
		in.state.fail(kindBasebackup, err)
	}
}

func (h *Host) password(site *spec.Site) (string, error) {
	from := site.Standby.Primary.PasswordFrom
	if h.secret != "" || from == (spec.PasswordFrom{}) {
		return h.secret, nil
	}
	p := site.Standby.Primary
	return postgres.Password(postgres.PasswordSource{File: from.File, Env: from.Env, Passfile: from.Passfile, Credential: from.Credential,
		Host: p.Hosts[0], Port: fmt.Sprint(p.Port), User: p.User})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
