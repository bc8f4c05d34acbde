package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// windowSize is how much of a segment is read at once, at a multiple of it: who
// goes back page by page reads nothing twice.
const windowSize = 256 << 10

// segmentFile is an open copy of a segment whose header is sound.
type segmentFile struct {
	*io.SectionReader
	io.Closer
	segment Segment
	header  Header
	origin  string
	zeros   LSN // from here on it is known to be nothing but zeros; 0 is not known

	buf     []byte // a window of the file
	from    int64  // where in the file the window begins
	checked LSN    // the page whose header was checked last
}

// openSegment opens a copy of a segment and checks its header. The error is a
// *flaw for a copy that is not what it should be.
func openSegment(ctx context.Context, src Source, seg Segment, size int64, systemID uint64) (*segmentFile, error) {
	r, origin, err := src.Open(ctx, seg, size)
	f := &segmentFile{Closer: r, segment: seg, origin: origin}
	if errors.Is(err, errIrregular) {
		return nil, f.noSegment(size, true, errIrregular)
	}
	if err != nil {
		return nil, err
	}
	if err := f.begin(r, size, systemID); err != nil {
		_ = r.Close()
		return nil, err
	}
	return f, nil
}

func (f *segmentFile) begin(r io.Reader, size int64, systemID uint64) error {
	at, length, err := randomAccess(r)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", f.origin, err)
	}
	if length != size {
		return f.noSegment(size, true, fmt.Errorf("it has %d bytes instead of %d", length, size))
	}
	f.SectionReader = io.NewSectionReader(at, 0, size)
	var b [longHeaderSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return fmt.Errorf("cannot read %s: %w", f.origin, err)
	}
	h, err := parseHeader(b[:])
	if err != nil {
		// Zeros, and a header that was written in part, are an end; other bytes are no WAL.
		return f.noSegment(size, h.Magic != 0 && h.Magic>>8 != 0xD1, err)
	}
	f.header = h
	if err := h.check(f.segment, size, systemID); err != nil {
		// Only another address is the mark of a recycled segment of pg_wal.
		return f.noSegment(size, h.PageAddr == f.segment.Start(size) || h.SystemID != systemID && systemID != 0, err)
	}
	return nil
}

// noSegment is the flaw of a copy that is not even at its beginning what it should be.
func (f *segmentFile) noSegment(size int64, hard bool, err error) error {
	start := f.segment.Start(size)
	return &flaw{segment: f.segment, name: f.segment.Name(size), origin: f.origin,
		at: start, page: start, reach: start + longHeaderSize, hard: hard, detail: err.Error()}
}

// randomAccess gives random access to what a Source opened, and its length.
func randomAccess(r io.Reader) (io.ReaderAt, int64, error) {
	switch f := r.(type) {
	case interface {
		io.ReaderAt
		Size() int64
	}:
		return f, f.Size(), nil
	case interface {
		io.ReaderAt
		Stat() (fs.FileInfo, error)
	}:
		info, err := f.Stat()
		if err != nil {
			return nil, 0, err
		}
		return f, info.Size(), nil
	}
	all, err := io.ReadAll(r)
	return bytes.NewReader(all), int64(len(all)), err
}

// bytesAt is the page that begins at the offset, in a window that is valid
// until the next call.
func (f *segmentFile) bytesAt(offset int64) ([]byte, error) {
	if offset < f.from || offset+pageSize > f.from+int64(len(f.buf)) {
		if f.buf == nil {
			f.buf = make([]byte, windowSize)
		}
		f.from, f.buf = offset-offset%windowSize, f.buf[:cap(f.buf)]
		n, _ := f.ReadAt(f.buf, f.from) // what can't be read may be another page of the window
		f.buf = f.buf[:n]
		if f.from+int64(n) < offset+pageSize {
			f.from, f.buf = offset, f.buf[:pageSize]
			if _, err := f.ReadAt(f.buf, offset); err != nil {
				f.buf = f.buf[:0]
				return nil, fmt.Errorf("cannot read %s at offset %d: %w", f.origin, offset, err)
			}
		}
	}
	i := offset - f.from
	return f.buf[i : i+pageSize], nil
}

// pageAt is the page of the segment at an LSN; an unsound header is a *flaw.
func (f *segmentFile) pageAt(at LSN, path Path) ([]byte, page, error) {
	b, err := f.bytesAt(int64(at - f.segment.Start(f.Size())))
	if err != nil {
		return nil, page{}, err
	}
	h := parsePage(b)
	if f.checked != at {
		if detail := f.unsound(h, at, path); detail != "" {
			bad := f.flawAt(at, at, false, detail)
			bad.reach = at + longHeaderSize
			return nil, h, bad
		}
		f.checked = at
	}
	return b, h, nil
}

// unsound says what is wrong with a page header: the checks of
// XLogReaderValidatePageHeader (xlogreader.c).
func (f *segmentFile) unsound(h page, at LSN, path Path) string {
	switch {
	case h == page{}:
		return "there are zeros instead of a page"
	case h.magic != f.header.Magic:
		return fmt.Sprintf("the magic number of the page is %04X", h.magic)
	case h.addr != at:
		return fmt.Sprintf("the page is that of %s", h.addr)
	case h.info&^allPageFlags != 0, (h.info&isLongHeader != 0) != (at == f.segment.Start(f.Size())):
		return fmt.Sprintf("the page has impossible flags %04X", h.info)
	case h.timeline > f.segment.Timeline, path != nil && !path.Has(h.timeline):
		return fmt.Sprintf("the page is of timeline %d", h.timeline)
	}
	return ""
}

func (f *segmentFile) flawAt(at, page LSN, hard bool, detail string) *flaw {
	return &flaw{segment: f.segment, name: f.segment.Name(f.Size()), origin: f.origin,
		at: at, page: page, reach: at, hard: hard, detail: detail}
}

// flaw is where a copy of a segment stops to be sound WAL: damage, or the end
// of what was written. Hard ones are damage whatever follows.
type flaw struct {
	segment Segment
	name    string
	origin  string
	at      LSN // of the record that cannot be read
	page    LSN // of the page that it fails on
	reach   LSN // WAL that was written only up to here may look like this
	hard    bool
	detail  string
}

func (f *flaw) Error() string { return f.damage().Error() }

func (f *flaw) damage() *DamagedError {
	return &DamagedError{Segment: f.segment, LSN: f.at, Detail: f.detail, Origin: f.origin, Name: f.name}
}

// DamagedError says that a copy of a segment is not the WAL that it should be.
type DamagedError struct {
	Segment Segment
	LSN     LSN    // where, as far as it can be told
	Detail  string // what is wrong
	Origin  string // the copy, usually its path
	Name    string // the segment's file name
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the WAL segment %s is damaged at %s in %s: %s", e.Name, e.LSN, e.Origin, e.Detail)
}

// GapError says that a segment is absent everywhere, though there is WAL after it.
type GapError struct {
	Segment Segment
	Name    string // the segment's file name
}

func (e *GapError) Error() string {
	return fmt.Sprintf("the WAL segment %s is missing", e.Name)
}

// worse is the error of two failed copies that says more: what could not be
// looked at, then damage, then an end, the later one, then absence.
func worse(a, b error) error {
	var x, y *flaw
	switch sa, sb := severity(a), severity(b); {
	case sb > sa, sb == sa && errors.As(a, &x) && errors.As(b, &y) && y.reach > x.reach:
		return b
	}
	return a
}

func severity(err error) int {
	var f *flaw
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f) && f.hard:
		return 3
	case f != nil:
		return 2
	case errors.Is(err, fs.ErrNotExist):
		return 1
	}
	return 4
}
