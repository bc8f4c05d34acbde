package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

// observeClones reads the restores that are there, by their marks: the ones of
// the file, and the ones that left it.
func (h *Host) observeClones(ctx context.Context, in *view) {
	for _, d := range in.state.ZFS.Datasets {
		m := localMarks(d.Properties)
		if !m.ours(in.site.Name) || m[markRestore] == "" || m[markRestore] == drillName || m[markDataDir] == "" && m[markState] == "" {
			continue
		}
		in.state.Clones = append(in.state.Clones, h.observeClone(ctx, in, kindRestore, d, m))
	}
}

// observeClone reads one clone; the kind is what can't be decided where that fails.
func (h *Host) observeClone(ctx context.Context, in *view, kind string, d zfs.Dataset, m marks) Clone {
	c := Clone{Restore: m[markRestore], Dataset: d, Marks: m, Promoted: m[markPromoted] == "yes", SocketDir: in.cloneSocketDir(m[markRestore])}
	if !path.IsAbs(d.Mountpoint) {
		return c
	}
	c.DataDir = filepath.Join(d.Mountpoint, m[markDataDir])
	if !zfs.MountedAt(in.state.Mounts, d.Name, d.Mountpoint) {
		return c
	}
	cluster := &postgres.Cluster{DataDir: c.DataDir, BinDir: in.state.Server.BinDir, SocketDir: c.SocketDir, User: in.state.Server.User,
		Admin: postgres.Login{Role: in.adminRole(), Database: in.site.Standby.AdminDatabase}, Run: h.Run, Launch: h.Launch, Log: h.Log}
	var err error
	if c.Process, err = cluster.Process(); err != nil && !errors.Is(err, os.ErrNotExist) {
		in.state.fail(kind, err)
	}
	if c.Files, err = cluster.ReadFiles(confFiles...); err != nil && !errors.Is(err, os.ErrNotExist) {
		in.state.fail(kind, err)
	}
	if c.Process.Running && m[markState] == stateReady {
		cluster.Port = c.Process.Port
		status, err := cluster.Status(ctx)
		if err == nil {
			c.Status = &status
			c.Promoted = c.Promoted || !status.InRecovery
		}
	}
	return c
}

// observePorts finds who listens where a server of the site that does not run
// is to listen.
func (h *Host) observePorts(in *view) {
	wanted := map[int]bool{in.site.Standby.Port: true}
	for _, r := range in.site.Restores {
		wanted[r.Port] = true
	}
	running := []postgres.Process{in.state.Cluster.Process}
	for _, c := range in.state.Clones {
		running = append(running, c.Process) // an unfinished one as well: it is made anew
	}
	for _, p := range running {
		if p.Running {
			delete(wanted, p.Port)
		}
	}
	listeners, err := postgres.Listeners(slices.Sorted(maps.Keys(wanted))...)
	if err != nil {
		in.state.fail(kindStandby, err)
		return
	}
	for _, l := range listeners {
		if !in.startedMeanwhile(l.Port) {
			in.state.Ports[l.Port] = l.String()
		}
	}
}

// startedMeanwhile reports whether a server of the site listens on a port that did
// not run when it was looked at: systemd, or another run, has started it since.
func (in *view) startedMeanwhile(port int) bool {
	serves := func(dataDir string, seen *postgres.Process) bool {
		now, err := (&postgres.Cluster{DataDir: dataDir}).Process()
		if err != nil || !now.Running || now.Port != port {
			return false
		}
		*seen = now
		return true
	}
	if c := &in.state.Cluster; c.Content == DirCluster && serves(in.site.Standby.DataDir, &c.Process) {
		return true
	}
	for i := range in.state.Clones {
		if c := &in.state.Clones[i]; c.DataDir != "" && serves(c.DataDir, &c.Process) {
			return true
		}
	}
	return false
}

// observeRestores resolves the restores that must be made: where they start,
// where they stop, and that all WAL between is there.
func (h *Host) observeRestores(ctx context.Context, in *view) {
	if h.known != nil {
		in.state.Resolved = h.known
		return
	}
	if in.state.failed(kindRestore) || in.state.ZFS.Pool == nil {
		return
	}
	for _, r := range in.site.Restores {
		clone, exists := in.cloneOf(r)
		if exists && (clone.Marks[markState] == stateReady && len(in.replacing(r, clone)) == 0 || in.expired(clone, r)) {
			continue
		}
		if _, expired := in.expiredBefore(r); !exists && expired {
			continue
		}
		if first := firstSnapshot(in, r); first {
			continue
		}
		resolved, err := h.resolve(ctx, in, r)
		if err != nil { // what it needs is not known, so nothing is removed; the others go on
			in.state.fail(kindRetention, fmt.Errorf("restore %s: %w", r.Name, err))
			resolved = Resolution{Refused: err.Error(), Unknown: true}
		}
		in.state.Resolved[r.Name] = resolved
	}
}
