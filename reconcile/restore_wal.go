package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// refused is true of what no apply can bring about.
func (r Resolution) refused() bool { return r.Refused != "" && r.Holder.Name == "" }

// holder is the newest snapshot whose pg_wal has a segment.
func (in *view) holder(segment wal.Segment) (found Snapshot) {
	for _, s := range ours(in.site, in.state) {
		if s.SystemID == in.systemID() && s.WALFrom != 0 && s.holds(segment, in.segmentSize()) {
			found = s
		}
	}
	return found
}

// resolveFilled resolves a restore. Where WAL on the way is missing that a
// snapshot has, it brings that into the archive first, since the server of a
// clone can't look into other snapshots; and where the archived copy is damaged
// that the server would be given, it sets that aside for the sound one
// (pitfall 16).
func (h *Host) resolveFilled(ctx context.Context, in *view, r spec.Restore) (Resolution, error) {
	tried := map[wal.Segment]bool{}
	for {
		resolved, known := in.state.Resolved[r.Name] // all WAL on the way was read for it
		if !known || in.touched || len(tried) > 0 || r.Target.Latest {
			var err error
			if resolved, err = h.resolve(ctx, in, r); err != nil {
				return resolved, err
			}
		}
		again := false
		for _, segment := range resolved.Damaged {
			if again = again || !tried[segment]; !tried[segment] {
				tried[segment] = true
				if err := h.replaceDamaged(ctx, in, segment); err != nil {
					return resolved, err
				}
			}
		}
		if hole := resolved.Hole; resolved.Holder.Name != "" && !tried[hole] {
			again, tried[hole] = true, true
			if err := h.fetchWAL(ctx, in, resolved.Holder, hole, wal.Segment{Number: math.MaxUint64}); err != nil {
				return resolved, fmt.Errorf("getting the WAL segment %s from the snapshot %s: %w", hole.Name(in.segmentSize()), resolved.Holder.Name, err)
			}
		}
		if !again {
			return resolved, nil
		}
	}
}

// replaceDamaged sets a damaged archived segment aside; its sound copy is in the
// live pg_wal, and is archived instead, or the base of the restore has it itself.
func (h *Host) replaceDamaged(ctx context.Context, in *view, segment wal.Segment) error {
	if err := h.setAside(in, segment); err != nil {
		return err
	}
	if !coverageOf(in, nil).live[segment] || segment.End(in.segmentSize()) > in.receivedTo() {
		return nil
	}
	if err := h.copyProgram(in.state.Paths.Helper); err != nil {
		return err
	}
	return h.push(ctx, in, segment.Name(in.segmentSize()))
}

// setAside renames an archived segment that is not what it should be. Nothing is
// lost, and its name is free for a sound copy.
func (h *Host) setAside(in *view, segment wal.Segment) error {
	name := segment.Name(in.segmentSize())
	aside, err := wal.SetAside(in.site.Archive.Dir, name)
	if err == nil && aside != "" {
		h.Log.Warn("set a damaged archived segment aside", "segment", name, "as", aside)
	}
	return err
}

// loan is the clone by which the WAL of a snapshot is looked at. Its name is no
// entry's, and it is never finished: a run that finds it left over destroys it.
func loan(in *view) spec.Restore {
	const name = "archive:wal"
	return spec.Restore{Name: name, Dataset: in.site.Pool.Name + "/zreconcile/" + in.site.Name + "/" + name,
		Mountpoint: filepath.Join(in.state.Paths.Sockets, name), Target: spec.Target{Latest: true}}
}

// fetchWAL archives what the holder's pg_wal has from a segment up to another one
// and the archive lacks.
func (h *Host) fetchWAL(ctx context.Context, in *view, from Snapshot, first, last wal.Segment) error {
	return h.holding(ctx, from, func() error { return h.fetchHeld(ctx, in, from, first, last) })
}

func (h *Host) fetchHeld(ctx context.Context, in *view, from Snapshot, first, last wal.Segment) (err error) {
	l := loan(in)
	if err := h.destroyLoan(ctx, in, l); err != nil { // of a run that was killed
		return err
	}
	mountpoint, err := h.cloneDatasets(ctx, in, l, Resolution{Base: from})
	defer func() { err = errors.Join(err, h.destroyLoan(context.WithoutCancel(ctx), in, l)) }()
	if err != nil {
		return err
	}
	if err := h.copyProgram(in.state.Paths.Helper); err != nil {
		return err
	}
	dir, size := walDirIn(in, mountpoint), in.segmentSize()
	list, err := wal.List(dir, size)
	if err != nil {
		return err
	}
	archived := coverageOf(in, nil).archive
	for _, s := range list.Segments {
		if s.Number < first.Number || s.Number > last.Number || !from.holds(s.Segment, size) || archived[s.Segment] && s.Segment != first {
			continue
		}
		known := archived[s.Segment] || slices.ContainsFunc(in.state.Archive.Inventory.Damaged, func(d wal.SegmentFile) bool { return d.Segment == s.Segment })
		if err := h.fetchSegment(ctx, in, dir, s.Segment, known); err != nil {
			return err
		}
	}
	return nil
}

// fetchSegment archives one segment of a snapshot, once each of its records has
// been read. One that the archive was known to have is damaged, and set aside for it;
// another the archiver has brought since, and it must be the same.
func (h *Host) fetchSegment(ctx context.Context, in *view, dir string, segment wal.Segment, known bool) error {
	if err := in.provenWhole(ctx, dir, segment); err != nil {
		return err
	}
	if known {
		if err := h.setAside(in, segment); err != nil {
			return err
		}
	}
	return h.pushFrom(ctx, in, dir, segment)
}

// walDirIn is the pg_wal of a clone that is mounted there, whose link may still
// lead to the live one.
func walDirIn(in *view, mountpoint string) string {
	live := in.livePgWAL()
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

// baseIsSound reads what a base replays up to where it is consistent, and returns
// the archived segments that are damaged: a server would be given those, and
// stop, though the base has the WAL in its own pg_wal.
func (r reach) baseIsSound(ctx context.Context, base Snapshot) ([]wal.Segment, error) {
	var damaged []wal.Segment
	from := base.Redo
	for from < base.Consistent {
		_, _, err := r.scan(ctx, from, func(record wal.Record) bool { return record.Start >= base.Consistent })
		var bad *wal.DamagedError
		if !errors.As(err, &bad) {
			if isHole(err) || err == nil {
				return damaged, nil // what is absent, the base has
			}
			return damaged, err
		}
		if bad.Segment.End(r.size) <= from {
			return damaged, err
		}
		damaged = append(damaged, bad.Segment)
		from = bad.Segment.End(r.size)
	}
	return damaged, nil
}

// inDir lists the segments whose damaged copies, which a reader passed over for
// sound ones, lie in a directory.
func inDir(dir string, skipped []*wal.DamagedError) []wal.Segment {
	var list []wal.Segment
	for _, d := range skipped {
		if strings.TrimSuffix(filepath.Dir(d.Origin), "/") == filepath.Clean(dir) {
			list = append(list, d.Segment)
		}
	}
	return list
}
