package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// makeClone makes a restore: clones the base, in the place of a former clone,
// makes the clone harmless, starts it and waits until its target is really
// reached. Until then its mark says "making": a run that finds it so begins anew.
//
// A snapshot that has a clone can't be destroyed (zfs-destroy(8)), so its hold is
// released while the server starts.
func (h *Host) makeClone(ctx context.Context, in *view, r spec.Restore, resolved Resolution) error {
	release, err := h.hold(ctx, resolved.Base)
	defer release()
	if err != nil {
		return err
	}
	if former, exists := in.cloneOf(r); exists {
		if err := h.destroyClone(ctx, in, former); err != nil {
			return err
		}
	}
	clone, err := h.cloneDatasets(ctx, in, r, resolved)
	if err != nil {
		return err
	}
	s, stop, err := h.prepareClone(ctx, in, r, clone, resolved)
	if err != nil {
		return err
	}
	h.Log.Debug("recovery of the restore", "restore", r.Name, "base", resolved.Base.Name, "stop", stop.mark(), "end", stop.end)
	s.beside = release
	if err := h.runClone(ctx, in, r, s, resolved, stop); err != nil {
		return err
	}
	facts := stop.facts(resolved, s.major)
	if r.Action == "promote" {
		facts = append(facts, zfs.Prop{Name: markPromoted, Value: "yes"})
	}
	return h.ZFS.SetProperties(ctx, r.Dataset, []zfs.Prop{packed(stateReady, facts)})
}

// cloneDatasets clones all datasets of the base and gives the mountpoint.
func (h *Host) cloneDatasets(ctx context.Context, in *view, r spec.Restore, resolved Resolution) (mountpoint string, err error) {
	if err := createParents(ctx, h, in, parent(r.Dataset)); err != nil {
		return "", err
	}
	places := clusterDatasets(in.site, in.state)
	marks := append(owner(in.site.Name), entryMarks(r)...)
	marks = append(marks,
		zfs.Prop{Name: markRestore, Value: r.Name}, zfs.Prop{Name: markState, Value: stateMaking},
		zfs.Prop{Name: markTarget, Value: targetText(r.Target)}, zfs.Prop{Name: markBase, Value: resolved.Base.Data.Full()},
		zfs.Prop{Name: markBaseRedo, Value: resolved.Base.Redo.String()}, zfs.Prop{Name: markMadeAt, Value: FormatTime(h.Clock())},
		zfs.Prop{Name: markDataDir, Value: places[0].rel(in.site.Standby.DataDir)}, zfs.Prop{Name: markOSUser, Value: in.site.Standby.OSUser})
	own := append([]zfs.Prop{}, props(r.Properties)...)
	if r.Mountpoint != "" {
		own = append(own, zfs.Prop{Name: "mountpoint", Value: r.Mountpoint})
	}
	for i, member := range resolved.Base.Members {
		target := r.Dataset
		p := append(own, marks...)
		if i > 0 {
			target = memberDataset(r.Dataset, member.Dataset)
			p = append(props(r.Properties), append(owner(in.site.Name), zfs.Prop{Name: markRestore, Value: r.Name})...)
		}
		if err := h.ZFS.Clone(ctx, member.Full(), target, p); err != nil {
			return "", err
		}
	}
	if err := h.clearExpiry(ctx, in, r); err != nil {
		return "", err
	}
	return mountedClone(r.Dataset)
}

// memberDataset is the clone of a further dataset of the cluster, below the
// clone of the first.
func memberDataset(clone, original string) string { return clone + "/zr-" + path.Base(original) }

// mountedClone tells from the kernel where the clone is mounted, if it is.
func mountedClone(dataset string) (string, error) {
	mounts, err := zfs.Mounts()
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if m.Source == dataset {
			return m.Target, nil
		}
	}
	return "", fmt.Errorf("the clone %s was made, and zfs did not mount it; see zfs get mountpoint,canmount,mounted %s", dataset, dataset)
}

// cloneServer is the server of a clone, with the programs of its major version.
type cloneServer struct {
	server
	major  int
	beside func() // done while it starts; nil is nothing
}

func (h *Host) cloneServer(in *view, r spec.Restore, dataDir string, replay wal.LSN) (cloneServer, error) {
	c := &postgres.Cluster{DataDir: dataDir, SocketDir: in.cloneSocketDir(r.Name), Port: r.Port, User: in.state.Server.User,
		Admin:   postgres.Login{Role: in.adminRole(), Database: in.site.Standby.AdminDatabase},
		LogFile: h.logFile(in.site, "restore-"+r.Name), Run: h.Run, Launch: h.Launch, Log: h.Log}
	major, err := c.PGVersion()
	if err != nil {
		return cloneServer{}, err
	}
	c.BinDir = in.state.Server.BinDir
	if major != in.state.Server.Major {
		if c.BinDir, err = postgres.FindBinaries("", major); err != nil {
			return cloneServer{}, err
		}
	}
	service, err := c.Service(postgres.ServiceOptions{
		Supervisor: in.site.Standby.Supervisor, Unit: unitName(in.site.Name, r.Name), Enable: true,
		Description: "PostgreSQL restore " + r.Name + " of the zreconcile site " + in.site.Name,
		SocketMode:  0o700,
		Start:       postgres.StartOptions{Timeout: cloneTimeout(replay), OOMScoreAdj: cloneScore},
	})
	return cloneServer{server: server{cluster: c, service: service, socketMode: 0o700}, major: major}, err
}

// cloneScore makes the kernel take a clone before the standby (pitfall 61).
const cloneScore = 500

// replayRate is what replay does at the least, in bytes a second; deadlines
// grow with the WAL by it.
const replayRate = 1 << 20

func cloneTimeout(replay wal.LSN) time.Duration {
	return 5*time.Minute + time.Duration(replay/replayRate)*time.Second
}

// prepareClone makes the clone harmless and configures it, and settles where it
// stops by what its own pg_control says.
func (h *Host) prepareClone(ctx context.Context, in *view, r spec.Restore, mountpoint string, resolved Resolution) (cloneServer, settledStop, error) {
	places := clusterDatasets(in.site, in.state)
	s, err := h.cloneServer(in, r, filepath.Join(mountpoint, places[0].rel(in.site.Standby.DataDir)), resolved.replay())
	if err != nil {
		return s, settledStop{}, err
	}
	control, err := s.cluster.ControlData(ctx)
	if err != nil {
		return s, settledStop{}, err
	}
	stop, err := settleStop(ctx, in, s.cluster, control, resolved)
	if err != nil {
		return s, stop, err
	}
	have, err := s.cluster.ReadFiles(confFiles...)
	if err != nil {
		return s, stop, err
	}
	wanted, err := in.cloneConf(r, stop.StopPoint, s.major, have)
	if err != nil {
		return s, stop, err
	}
	wanted.files[mainFile] = in.cloneBase(have, control, resolved.Settings)
	wanted.files[autoFile] = []byte{}
	if stop.waits() {
		wanted.files[signalFile] = []byte{}
	}
	if err := s.cluster.MakeHarmless(ctx, postgres.CloneOptions{Mountpoint: mountpoint, Files: wanted.files, Links: cloneLinks(places, mountpoint)}); err != nil {
		return s, stop, err
	}
	return s, stop, s.addSwitches(ctx, in, resolved, stop.end)
}

// cloneLinks maps the live storage to that of the clone.
func cloneLinks(places []place, mountpoint string) map[string]string {
	links := map[string]string{}
	for i, p := range places {
		links[p.Mountpoint] = mountpoint
		if i > 0 {
			links[p.Mountpoint] = filepath.Join(mountpoint, "zr-"+path.Base(p.Dataset))
		}
	}
	return links
}

// runClone starts the server of a clone and waits for its target. One that
// misses it does not stay up: what it shows is not what was asked for.
func (h *Host) runClone(ctx context.Context, in *view, r spec.Restore, s cloneServer, resolved Resolution, stop settledStop) error {
	limit := cloneTimeout(resolved.replay())
	if err := h.vacatePort(ctx, in, r); err != nil {
		return err
	}
	if err := h.startClonesServer(ctx, limit, in, s); err != nil {
		return err
	}
	commit, err := h.awaitTarget(ctx, limit, s, stop.end, r.Action == "promote")
	if err == nil {
		err = proveReached(r.Target, stop, commit)
	}
	if err != nil {
		return errors.Join(err, h.haltFailed(ctx, s))
	}
	return nil
}

// haltFailed stops the server of a clone that missed its target, also when the
// deadline that it missed has passed.
func (h *Host) haltFailed(ctx context.Context, s cloneServer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return s.service.Stop(ctx)
}

// startClonesServer starts it, which takes as long as it replays up to where it is
// consistent. The folder above its private socket folder is the standby's own
// where the file names none.
func (h *Host) startClonesServer(ctx context.Context, limit time.Duration, in *view, s cloneServer) error {
	if err := postgres.OwnFolder(in.state.Paths.Sockets, in.state.Server.User, 0o755); err != nil {
		return err
	}
	return h.aside(ctx, func() error {
		if s.beside != nil { // within the step: what it runs inherits the lock, part of which is given up around it
			done := make(chan struct{})
			defer func() { <-done }()
			go func() { s.beside(); close(done) }()
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return h.startServer(ctx, s.server)
	})
}
