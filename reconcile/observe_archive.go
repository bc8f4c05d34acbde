package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// observeArchive lists the archive and the live pg_wal.
func (h *Host) observeArchive(in *view) {
	a := in.site.Archive
	if a == nil {
		return
	}
	have := &in.state.Archive
	p, ok := placeOf(in.site, in.state, a.Dir)
	if !ok || !mountedAt(in.state, p) {
		return
	}
	have.Dataset, have.Mounted = p.Dataset, true
	info, err := os.Lstat(a.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return
	case err != nil:
		in.state.fail(kindWAL, err)
		return
	case !info.IsDir():
		in.state.fail(kindWAL, errors.New(a.Dir+", which should be the archive's directory, is none"))
		return
	}
	have.Exists, have.Mode = true, uint32(info.Mode().Perm())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		have.OwnedBy = st.Uid
	}
	h.observeArchiveSystem(in)
	// WAL goes from the live pg_wal to the archive, and its listing comes first: what
	// is done, or gone from there, by then is in the archive.
	done := h.observeDone(in)
	listed := h.observeLive(in)
	if have.Inventory, err = wal.List(a.Dir, in.segmentSize()); err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	if listed {
		have.findUnpushed(in, done)
	}
	if r, err := reachOf(in); err == nil { // what needs it says itself why it is not there
		have.Path = r.path
	}
}

// observeArchiveSystem reads whose WAL the archive keeps, and in segments of
// what size, from the header of the newest. One that strayed into the archive of
// the local cluster makes it nobody else's.
func (h *Host) observeArchiveSystem(in *view) {
	entries, err := os.ReadDir(in.site.Archive.Dir)
	if err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	var own uint64
	if c := in.state.Cluster.Control; c != nil {
		own = c.SystemID
	}
	archive := &in.state.Archive
	for i := len(entries) - 1; i >= 0; i-- {
		if wal.Classify(entries[i].Name()) != wal.KindSegment {
			continue
		}
		header, err := wal.ReadHeaderOf(filepath.Join(in.site.Archive.Dir, entries[i].Name()))
		if err != nil || !header.Long {
			continue // damaged or being removed; another one tells as well
		}
		if archive.SystemID == 0 || header.SystemID == own {
			archive.SystemID, archive.SegmentSize = header.SystemID, header.SegmentSize
		}
		if own == 0 || header.SystemID == own {
			return
		}
	}
}

// observeDone reads which files of the live pg_wal the archiver has done with:
// by archiving them, or because nobody told it of them. One that it is told of
// again, since it was received again, it has not.
func (h *Host) observeDone(in *view) map[string]bool {
	done := map[string]bool{}
	if in.state.Cluster.Content != DirCluster {
		return done
	}
	entries, err := os.ReadDir(filepath.Join(in.site.Standby.DataDir, "pg_wal", "archive_status"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		in.state.fail(kindWAL, err)
	}
	for _, e := range entries {
		if name, yes := strings.CutSuffix(e.Name(), ".done"); yes {
			done[name] = true
		}
	}
	for _, e := range entries {
		if name, yes := strings.CutSuffix(e.Name(), ".ready"); yes {
			delete(done, name)
		}
	}
	return done
}

// observeLive lists the live pg_wal.
func (h *Host) observeLive(in *view) (listed bool) {
	if c := in.state.Cluster; c.Content != DirCluster || c.Control == nil {
		return false
	}
	var err error
	if in.state.Archive.Live, err = wal.List(filepath.Join(in.site.Standby.DataDir, "pg_wal"), in.segmentSize()); err != nil {
		in.state.fail(kindWAL, err)
	}
	return err == nil
}

// findUnpushed finds the WAL in the live pg_wal that the archiver will not bring.
func (have *Archive) findUnpushed(in *view, done map[string]bool) {
	c := in.state.Cluster
	end := c.Control.MinRecoveryPoint
	if c.Status != nil {
		end = max(end, c.Status.Replayed, c.Status.Received)
	}
	for _, name := range have.Live.Histories {
		if done[name] && !slices.Contains(have.Inventory.Histories, name) {
			have.UnpushedHistories = append(have.UnpushedHistories, name)
		}
	}
	have.Unpushed = unpushed(have.Inventory, have.Live, done, in.walFloor(), end, in.segmentSize())
}

// walFloor is where the WAL begins that may still be needed: below the oldest
// snapshot, or the standby's own redo, nothing is brought into the archive.
func (in *view) walFloor() wal.LSN {
	floor := in.state.Cluster.Control.RedoLSN
	for _, s := range ours(in.site, in.state) {
		if s.Redo != 0 && s.Redo < floor {
			floor = s.Redo
		}
	}
	return floor
}

// liveWALFrom is how far the live pg_wal goes back from an LSN without a gap: a
// snapshot that was taken just before has that as well. 0 is not known.
func (h *Host) liveWALFrom(in *view, to wal.LSN) wal.LSN {
	list, err := wal.List(in.livePgWAL(), in.segmentSize())
	if err != nil {
		h.Log.Warn("the live pg_wal can't be listed; the snapshot is of no use as a second archive", "error", err)
		return 0
	}
	return walkBack(list, to, in.segmentSize())
}

// walkBack is the start of the run of segments that ends with the one that holds
// the byte before an LSN; 0 is none.
func walkBack(list wal.Inventory, to wal.LSN, size int64) wal.LSN {
	there := map[uint64]bool{}
	for _, s := range list.Segments {
		there[s.Number] = true
	}
	var from wal.LSN
	for n := uint64(to-1) / uint64(size); there[n]; n-- {
		from = wal.LSN(n) * wal.LSN(size)
		if n == 0 {
			break
		}
	}
	return from
}
