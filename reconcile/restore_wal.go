package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// refused is true of what no apply can bring about.
func (r Resolution) refused() bool { return r.Refused != "" && r.Holder.Name == "" }

// holder is a snapshot whose pg_wal has a segment, by its stamps: a standby
// keeps its WAL from the segment of its redo LSN on.
func holder(in *view, segment wal.Segment) Snapshot {
	size := in.segmentSize()
	for _, s := range ours(in.site, in.state) {
		if s.Redo != 0 && s.Redo < segment.End(size) && s.Replayed >= segment.End(size) {
			return s
		}
	}
	return Snapshot{}
}

// resolveFilled resolves a restore, and where WAL is missing on the way that a
// snapshot has, brings it into the archive first: the server of a clone can't
// look into other snapshots (pitfall 16).
func (h *Host) resolveFilled(ctx context.Context, in *view, r spec.Restore) (Resolution, error) {
	tried := map[wal.Segment]bool{}
	for {
		resolved, err := h.resolve(ctx, in, r)
		if err != nil || resolved.Holder.Name == "" || tried[resolved.Hole] {
			return resolved, err
		}
		tried[resolved.Hole] = true
		if err := h.fetchWAL(ctx, in, r, resolved); err != nil {
			return resolved, fmt.Errorf("getting the WAL segment %s from the snapshot %s: %w", resolved.Hole.Name(in.segmentSize()), resolved.Holder.Name, err)
		}
	}
}

// loan is the clone by which the WAL of a snapshot is looked at. Its name is no
// entry's, and it is never finished: a run that finds it left over destroys it.
func loan(r spec.Restore) spec.Restore {
	l := spec.Restore{Name: r.Name + ":wal", Dataset: r.Dataset + ":wal", Target: r.Target}
	if r.Mountpoint != "" {
		l.Mountpoint = r.Mountpoint + ".wal"
	}
	return l
}

// fetchWAL archives what the holder's pg_wal has from the hole on and the
// archive lacks.
func (h *Host) fetchWAL(ctx context.Context, in *view, r spec.Restore, resolved Resolution) (err error) {
	l := loan(r)
	mountpoint, err := h.cloneDatasets(ctx, in, l, Resolution{Base: resolved.Holder})
	defer func() { err = errors.Join(err, h.destroyLoan(context.WithoutCancel(ctx), in, l)) }()
	if err != nil {
		return err
	}
	if err := h.copyProgram(in.state.Paths.Helper); err != nil {
		return err
	}
	dir := walDirIn(in, mountpoint)
	size := in.segmentSize()
	list, err := wal.List(dir, size)
	if err != nil {
		return err
	}
	for _, s := range list.Segments {
		if s.Number < resolved.Hole.Number || s.End(size) > resolved.Holder.Replayed || exists(filepath.Join(in.site.Archive.Dir, s.Name(size))) {
			continue
		}
		if err := in.provenWhole(ctx, dir, s.Segment); err != nil {
			return err
		}
		if err := h.pushFrom(ctx, in, dir, s.Segment); err != nil {
			return err
		}
	}
	return nil
}

// walDirIn is the pg_wal of a clone that is mounted there, whose link may still
// lead to the live one.
func walDirIn(in *view, mountpoint string) string {
	live := filepath.Join(in.site.Standby.DataDir, "pg_wal")
	if in.site.Standby.WALDir != "" {
		live = in.site.Standby.WALDir
	}
	p, _ := placeOf(in.site, in.state, live)
	return filepath.Join(cloneLinks(clusterDatasets(in.site, in.state), mountpoint)[p.Mountpoint], p.rel(live))
}

// provenWhole reads each record that begins in a segment.
func (in *view) provenWhole(ctx context.Context, dir string, segment wal.Segment) error {
	size := in.segmentSize()
	reader := wal.NewReader(wal.Dir(dir), size, in.systemNumber(), wal.Path{{Timeline: segment.Timeline}}, segment.Start(size))
	defer reader.Close()
	for reader.Pos() < segment.End(size) {
		if _, err := reader.Next(ctx); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ends at %s: %w", reader.Pos(), io.ErrUnexpectedEOF)
			}
			return err
		}
	}
	return nil
}

// pushFrom archives a segment of another pg_wal than the live one.
func (h *Host) pushFrom(ctx context.Context, in *view, dir string, segment wal.Segment) error {
	ctx, cancel := context.WithTimeout(ctx, pushDeadline)
	defer cancel()
	args := pushArgs(in, in.state.Paths.Helper)
	for i, arg := range args {
		if arg == "--data-dir" {
			args[i+1] = dir
		}
	}
	args[len(args)-1] = segment.Name(in.segmentSize())
	return postgres.RunAs(ctx, h.Run, in.state.Server.User, dir, args...)
}

func (h *Host) destroyLoan(ctx context.Context, in *view, l spec.Restore) error {
	inventory, err := h.ZFS.Inventory(ctx, in.site.Pool.Name, zfs.Query{DatasetProperties: datasetMarks})
	if err != nil {
		return err
	}
	state := *in.state
	state.ZFS = inventory
	fresh := &view{site: in.site, state: &state, now: in.now, only: in.only}
	d, there := inventory.Dataset(l.Dataset)
	if m := localMarks(d.Properties); !there || !m.ours(in.site.Name) || m[markRestore] != l.Name {
		return nil // not made, or another's
	}
	for _, member := range fresh.members(Clone{Restore: l.Name, Dataset: d}) {
		if err := h.ZFS.DestroyDataset(ctx, member.Name, member.GUID); err != nil {
			return err
		}
	}
	return nil
}
