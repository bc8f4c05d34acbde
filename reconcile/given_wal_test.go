package reconcile

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// givenWAL writes segments of 1 MB as PostgreSQL 15 does, with commits of any
// times: what a real primary does only when its clock is set back.
type givenWAL struct {
	pos, prev wal.LSN // end and start of the last record
	segments  map[uint64][]byte
}

const (
	givenWALSegment = 1 << 20
	givenWALPage    = 8192
)

// newWAL begins at a segment.
func newWAL(segment int) *givenWAL {
	return &givenWAL{pos: wal.LSN(segment) * givenWALSegment, segments: map[uint64][]byte{}}
}

// commit writes the commit of a transaction.
func (w *givenWAL) commit(at time.Time) {
	const size = 40 // with its place on the page
	if rest := w.rest(); rest < 2*size {
		w.noop(rest)
	}
	data := binary.LittleEndian.AppendUint64(nil, uint64(at.UnixMicro()-946684800e6)) // since 2000
	w.record(1, 0x00, data)
}

// until writes what no transaction belongs to, up to the beginning of a segment.
func (w *givenWAL) until(segment int) {
	for w.pos < wal.LSN(segment)*givenWALSegment {
		w.noop(w.rest())
	}
}

// filler writes a little that no transaction belongs to.
func (w *givenWAL) filler() { w.noop(min(w.rest(), 800)) }

// noop fills bytes of the page with XLOG_NOOP.
func (w *givenWAL) noop(size int) {
	header := 24 + 2
	if size-header > 255 {
		header = 24 + 5
	}
	w.record(0, 0x20, make([]byte, size-header))
}

// rest is the space on the page that the next record begins on.
func (w *givenWAL) rest() int {
	w.page()
	return givenWALPage - int(w.pos%givenWALPage)
}

// page begins a page where the last one is full.
func (w *givenWAL) page() {
	if w.pos%givenWALPage != 0 {
		return
	}
	segment := uint64(w.pos / givenWALSegment)
	header, flags := 24, uint16(0)
	if w.segments[segment] == nil {
		w.segments[segment] = make([]byte, givenWALSegment)
		header, flags = 40, 2 // XLP_LONG_HEADER
	}
	b := w.segments[segment][w.pos%givenWALSegment:]
	binary.LittleEndian.PutUint16(b, 0xD110)
	binary.LittleEndian.PutUint16(b[2:], flags)
	binary.LittleEndian.PutUint32(b[4:], 1) // timeline
	binary.LittleEndian.PutUint64(b[8:], uint64(w.pos))
	if header == 40 {
		binary.LittleEndian.PutUint64(b[24:], givenSystem)
		binary.LittleEndian.PutUint32(b[32:], givenWALSegment)
		binary.LittleEndian.PutUint32(b[36:], givenWALPage)
	}
	w.pos += wal.LSN(header)
}

// record writes one, which fits on the page (xlogrecord.h).
func (w *givenWAL) record(rmgr, info byte, data []byte) {
	w.page()
	b := make([]byte, 24, 24+5+len(data))
	if len(data) > 255 {
		b = binary.LittleEndian.AppendUint32(append(b, 254), uint32(len(data)))
	} else {
		b = append(b, 255, byte(len(data)))
	}
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint64(b[8:], uint64(w.prev))
	b[16], b[17] = info, rmgr
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(b[20:], crc32.Update(crc32.Checksum(b[24:], castagnoli), castagnoli, b[:20]))
	w.prev = w.pos
	copy(w.segments[uint64(w.pos/givenWALSegment)][w.pos%givenWALSegment:], b)
	w.pos += wal.LSN(len(b)+7) &^ 7
}

// store writes the segments to a directory.
func (w *givenWAL) store(t testing.TB, dir string) {
	t.Helper()
	for number, content := range w.segments {
		name := wal.Segment{Timeline: 1, Number: number}.Name(givenWALSegment)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
