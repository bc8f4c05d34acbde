package reconcile

import (
	"errors"
	"os"
	"path/filepath"
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
	if have.Inventory, err = wal.List(a.Dir, in.segmentSize()); err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	h.observeLive(in)
}

// observeArchiveSystem reads whose WAL the archive keeps, and in segments of
// what size, from the header of one.
func (h *Host) observeArchiveSystem(in *view) {
	entries, err := os.ReadDir(in.site.Archive.Dir)
	if err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	for i := len(entries) - 1; i >= 0; i-- {
		if wal.Classify(entries[i].Name()) != wal.KindSegment {
			continue
		}
		f, err := os.Open(filepath.Join(in.site.Archive.Dir, entries[i].Name()))
		if err != nil {
			continue // being removed; another one tells as well
		}
		header, err := wal.ReadHeader(f)
		f.Close()
		if err == nil && header.Long {
			in.state.Archive.SystemID, in.state.Archive.SegmentSize = header.SystemID, header.SegmentSize
			return
		}
	}
}

// observeLive finds the WAL in the live pg_wal that the archiver will not bring.
func (h *Host) observeLive(in *view) {
	c, have := in.state.Cluster, &in.state.Archive
	if c.Content != DirCluster || c.Control == nil {
		return
	}
	dir := filepath.Join(in.site.Standby.DataDir, "pg_wal")
	var err error
	if have.Live, err = wal.List(dir, in.segmentSize()); err != nil {
		in.state.fail(kindWAL, err)
		return
	}
	waiting := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(dir, "archive_status"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		in.state.fail(kindWAL, err)
		return
	}
	for _, e := range entries {
		if name, ready := strings.CutSuffix(e.Name(), ".ready"); ready {
			waiting[name] = true
		}
	}
	end := c.Control.ConsistentLSN()
	if c.Status != nil {
		end = max(end, c.Status.Replayed)
	}
	have.Unpushed = unpushed(have.Inventory, have.Live, waiting, in.walFloor(), end, in.segmentSize())
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
