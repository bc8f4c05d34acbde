package reconcile

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// makeClone makes a restore: clones the base, makes the clone harmless, starts
// it and waits until its target is really reached. Until then its mark says
// "making": a run that finds it so begins anew.
func (h *Host) makeClone(ctx context.Context, in *view, r spec.Restore) error {
	resolved, err := h.resolve(ctx, in, r)
	if err != nil {
		return err
	}
	if resolved.Refused != "" {
		return fmt.Errorf("refused: %s (%s)", resolved.Refused, resolved.Mend)
	}
	clone, err := h.cloneDatasets(ctx, in, r, resolved)
	if err != nil {
		return err
	}
	s, stop, err := h.prepareClone(ctx, in, r, clone, resolved)
	if err != nil {
		return err
	}
	if err := h.ZFS.SetProperties(ctx, r.Dataset, []zfs.Prop{{Name: markStop, Value: stop.mark()}, {Name: markMajor, Value: strconv.Itoa(s.major)}}); err != nil {
		return err
	}
	return h.runClone(ctx, in, r, s, resolved)
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
	return h.mountedClone(ctx, in, r.Dataset)
}

// memberDataset is the clone of a further dataset of the cluster, below the
// clone of the first.
func memberDataset(clone, original string) string { return clone + "/zr-" + path.Base(original) }

// mountedClone asks where the clone is, and that it really is there.
func (h *Host) mountedClone(ctx context.Context, in *view, dataset string) (string, error) {
	inventory, err := h.ZFS.Inventory(ctx, in.site.Pool.Name, zfs.Query{})
	if err != nil {
		return "", err
	}
	d, ok := inventory.Dataset(dataset)
	if !ok {
		return "", fmt.Errorf("the clone %s was made and is not there", dataset)
	}
	mounts, err := zfs.Mounts()
	if err != nil {
		return "", err
	}
	if !zfs.MountedAt(mounts, dataset, d.Mountpoint) {
		return "", fmt.Errorf("the clone %s was made and is not mounted at %s", dataset, d.Mountpoint)
	}
	return d.Mountpoint, nil
}

// cloneServer is the server of a clone, with the programs of its major version.
type cloneServer struct {
	server
	major int
}

func (h *Host) cloneServer(in *view, r spec.Restore, dataDir string) (cloneServer, error) {
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
		Start:       postgres.StartOptions{Timeout: cloneTimeout(0), OOMScoreAdj: cloneScore},
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
func (h *Host) prepareClone(ctx context.Context, in *view, r spec.Restore, mountpoint string, resolved Resolution) (cloneServer, StopPoint, error) {
	places := clusterDatasets(in.site, in.state)
	s, err := h.cloneServer(in, r, filepath.Join(mountpoint, places[0].rel(in.site.Standby.DataDir)))
	if err != nil {
		return s, StopPoint{}, err
	}
	control, err := s.cluster.ControlData(ctx)
	if err != nil {
		return s, StopPoint{}, err
	}
	stop, err := settleStop(ctx, in, s.cluster, control, resolved)
	if err != nil {
		return s, stop, err
	}
	have, err := s.cluster.ReadFiles(confFiles...)
	if err != nil {
		return s, stop, err
	}
	wanted, err := in.cloneConf(r, stop, s.major, have)
	if err != nil {
		return s, stop, err
	}
	wanted.files[mainFile] = in.cloneBase(have, control)
	wanted.files[autoFile] = []byte{}
	links := map[string]string{}
	for i, p := range places {
		links[p.Mountpoint] = mountpoint
		if i > 0 {
			links[p.Mountpoint] = filepath.Join(mountpoint, "zr-"+path.Base(p.Dataset))
		}
	}
	return s, stop, s.cluster.MakeHarmless(ctx, postgres.CloneOptions{Mountpoint: mountpoint, Files: wanted.files, Links: links})
}

// settleStop checks a stop against what the snapshot really holds: its
// pg_control is what the stamps only bound.
func settleStop(ctx context.Context, in *view, cluster *postgres.Cluster, control postgres.ControlData, resolved Resolution) (StopPoint, error) {
	if !control.InRecovery() {
		return StopPoint{}, fmt.Errorf("the snapshot %s holds a cluster in the state %q, which recovery can't start from", resolved.Base.Name, control.State)
	}
	stop := resolved.Stop
	if stop.LSN == 0 {
		return stopAtSnapshot(ctx, in, cluster, control, resolved.Base)
	}
	if control.ConsistentLSN() > resolved.End {
		return stop, fmt.Errorf("the snapshot %s is consistent only from %s on, after the target %s", resolved.Base.Name, control.ConsistentLSN(), stop.LSN)
	}
	return stop, nil
}

// stopAtSnapshot is what was replayed when the snapshot was taken: what was
// stamped before, or where it is consistent, whichever is later.
func stopAtSnapshot(ctx context.Context, in *view, cluster *postgres.Cluster, control postgres.ControlData, base Snapshot) (StopPoint, error) {
	at := max(base.Replayed, control.ConsistentLSN())
	r, err := reachOf(in, filepath.Join(cluster.DataDir, "pg_wal"))
	if err != nil {
		return StopPoint{}, err
	}
	last, err := wal.LastRecordBefore(ctx, r.source, r.size, r.systemID, r.path, at, 0)
	if err != nil {
		return StopPoint{}, fmt.Errorf("finding the last record of the snapshot %s: %w", base.Name, err)
	}
	if last.Start > control.CheckpointLSN {
		return StopPoint{LSN: last.Start, Inclusive: true, Timeline: r.path.TimelineAt(last.Start)}, nil
	}
	// Nothing is left to replay up to there; a server only stops at a record
	// that it reads, so it stops before the next one.
	return StopPoint{LSN: at, Timeline: r.path.TimelineAt(at)}, nil
}

// runClone starts the server of a clone and waits for its target.
func (h *Host) runClone(ctx context.Context, in *view, r spec.Restore, s cloneServer, resolved Resolution) error {
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout(resolved.End-min(resolved.End, resolved.Base.Redo)))
	defer cancel()
	if err := h.socketParent(in); err != nil {
		return err
	}
	if err := h.startServer(ctx, s.server); err != nil {
		return err
	}
	reached, commit, err := s.cluster.WaitTarget(ctx, postgres.WaitOptions{Promote: r.Action == "promote"})
	if err != nil {
		return err
	}
	if t := r.Target.Time; !t.IsZero() && commit != nil && commit.After(t) {
		return fmt.Errorf("the restore holds a transaction of %s, which is after its target %s: it is not what was asked for, and will be made again", FormatTime(*commit), FormatTime(t))
	}
	marks := []zfs.Prop{{Name: markReachedLSN, Value: reached.String()}}
	at := commit
	if at == nil && resolved.Reached.Time != nil {
		at = &resolved.Reached.Time.Time
	}
	if at != nil {
		marks = append(marks, zfs.Prop{Name: markReachedAt, Value: FormatTime(*at)})
	}
	if r.Action == "promote" {
		marks = append(marks, zfs.Prop{Name: markPromoted, Value: "yes"})
	}
	return h.ZFS.SetProperties(ctx, r.Dataset, append(marks, zfs.Prop{Name: markState, Value: stateReady}))
}

// socketParent makes the folder above the private ones of the restores, which
// is the standby's own where the file names none.
func (h *Host) socketParent(in *view) error {
	return postgres.OwnFolder(in.state.Paths.Sockets, in.state.Server.User, 0o755)
}
