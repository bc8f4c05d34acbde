package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// drifted is the light check, at the cost of one program: whether anything that
// can be seen so is different from what the apply saw that s is of, and worth a
// full look. An apply that could not see is tried again, with growing waits,
// whatever is there; where that was for a suspended pool, once it is none any more.
func (s Sight) drifted(ctx context.Context) bool {
	switch {
	case s.host == nil:
		return false
	case isKind(s.err, zfs.ErrSuspended):
		state := s.host.ZFS.KernelState(s.site.Pool.Name)
		return state != "" && state != zfs.Suspended
	case s.err != nil:
		return false
	case s.state.ZFS.Pool == nil && s.host.ZFS.KernelState(s.site.Pool.Name) != "":
		return true // somebody imported it; of one that is encrypted nothing is mounted by that
	}
	now, came := unlessSuspended(s.host, s.site.Pool.Name, func() State { return s.again(ctx) })
	return !came || impression(s.site, now) != impression(s.site, s.state)
}

// impression is the part of a state that a light check looks at, as text: what
// the pool's datasets are like and where they are mounted, which servers run with
// which files, and whether the standby follows its primary. It is pure.
func impression(site *spec.Site, state State) string {
	var seen strings.Builder
	if p := state.ZFS.Pool; p != nil {
		fmt.Fprintln(&seen, p.Health)
	}
	if absent := state.Absent; absent != nil { // a disk that was late may bring the pool
		for _, device := range slices.Sorted(maps.Keys(absent.Devices)) {
			fmt.Fprintln(&seen, device, absent.Devices[device].Kind == zfs.Missing)
		}
	}
	for _, name := range glanced(site, &state) {
		d, _ := state.ZFS.Dataset(name)
		for _, p := range slices.Sorted(maps.Keys(d.Properties)) {
			fmt.Fprintln(&seen, name, p, d.Properties[p])
		}
	}
	for _, m := range state.Mounts {
		if strings.Contains(m.Source, "@") {
			continue // in .zfs/snapshot, mounted while somebody looks into it
		}
		if m.Source == site.Pool.Name || strings.HasPrefix(m.Source, site.Pool.Name+"/") {
			fmt.Fprintln(&seen, m.Source, m.Target)
		}
	}
	c := state.Cluster
	fmt.Fprintf(&seen, "%v %v %q %v %v %q\n", c.Content, c.Standby, c.Passfile, c.Helper, c.Program, c.Files)
	impressionOfServer(&seen, c.Process, c.Status)
	for _, clone := range state.Clones {
		fmt.Fprintf(&seen, "%s %q\n", clone.Restore, clone.Files)
		impressionOfServer(&seen, clone.Process, nil)
	}
	return seen.String()
}

// impressionOfServer notes that a server is gone, was started anew or promoted,
// and what it says of itself, as far as that stays the same while all goes well:
// a primary that raised a setting pauses replay (pitfall 40).
func impressionOfServer(seen *strings.Builder, p postgres.Process, status *postgres.Status) {
	fmt.Fprintln(seen, p.PID, p.Running)
	if status != nil {
		fmt.Fprintln(seen, status.InRecovery, status.PausedState, status.Connected(), status.PendingRestart)
	}
}

// glanced are the datasets that are there and that the file speaks of, with the
// clones of its restores.
func glanced(site *spec.Site, state *State) []string {
	names := []string{site.Pool.Name}
	for _, d := range site.Datasets {
		if _, there := state.ZFS.Dataset(d.Name); there {
			names = append(names, d.Name)
		}
	}
	for _, c := range state.Clones {
		names = append(names, c.Dataset.Name)
	}
	return unique(names)
}

// again is the state with what an impression is made of read anew. What can't be
// read is left as it was.
func (s Sight) again(ctx context.Context) State {
	now := s.state
	now.Failures = slices.Clip(now.Failures)
	in := &view{site: s.site, state: &now}
	if mounts, err := zfs.Mounts(); err == nil {
		now.Mounts = mounts
	}
	s.poolAgain(ctx, &now)
	now.Absent = now.Absent.again()
	if s.site.Standby == nil || now.ZFS.Pool == nil || suspended(*now.ZFS.Pool) {
		return now // whoever reads a file of a suspended pool may hang for ever
	}
	s.host.observeOutside(in)
	if c := &now.Cluster; c.Content == DirCluster {
		cluster := s.host.cluster(s.site, now.Server.BinDir, "", now.Server.User)
		if !exists(cluster.DataDir) {
			c.Content = DirMissing
		}
		c.Standby = exists(filepath.Join(cluster.DataDir, signalFile))
		c.Files, _ = cluster.ReadFiles(confFiles...)
		s.askStandby(ctx, in)
		if c.OutsideConf != "" {
			c.Status = nil // as in a full look
		}
	}
	now.Clones = slices.Clone(now.Clones)
	for i := range now.Clones {
		now.Clones[i].again()
	}
	return now
}

// again looks which devices are there. What those hold is for a full look.
func (a *AbsentPool) again() *AbsentPool {
	if a == nil {
		return nil
	}
	now := *a
	now.Devices = map[string]zfs.Content{}
	for device, content := range a.Devices {
		switch there := exists(device); {
		case !there:
			content = zfs.Content{Kind: zfs.Missing}
		case content.Kind == zfs.Missing:
			content = zfs.Content{}
		}
		now.Devices[device] = content
	}
	return &now
}

func (c *Clone) again() {
	cluster := &postgres.Cluster{DataDir: c.DataDir}
	if c.DataDir == "" {
		return
	}
	if p, err := cluster.Process(); err == nil || errors.Is(err, os.ErrNotExist) {
		c.Process = p
	}
	c.Files, _ = cluster.ReadFiles(confFiles...)
}

func suspended(p zfs.Pool) bool { return p.Suspended || p.Health == zfs.Suspended }

// poolAgain reads the pool's health, where the kernel tells it, and the properties of the site's datasets. A pool that is
// suspended is not asked: the answer might never come.
func (s Sight) poolAgain(ctx context.Context, now *State) {
	if now.ZFS.Pool == nil {
		return
	}
	pool := *now.ZFS.Pool
	now.ZFS.Pool = &pool
	pool.Health = cmp.Or(s.host.ZFS.KernelState(pool.Name), pool.Health)
	if suspended(pool) {
		return
	}
	found, err := s.host.ZFS.Glimpse(ctx, pool.Name, query(s.site).DatasetProperties, glanced(s.site, now))
	if err != nil && !errors.Is(err, zfs.ErrNotFound) {
		return
	}
	now.ZFS.Datasets = slices.Clone(now.ZFS.Datasets)
	for _, name := range glanced(s.site, &s.state) {
		i := slices.IndexFunc(now.ZFS.Datasets, func(d zfs.Dataset) bool { return d.Name == name })
		if i >= 0 {
			now.ZFS.Datasets[i].Properties = found[name] // none where a dataset is gone
		}
	}
}
