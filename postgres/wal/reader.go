package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Reader reads the records of the WAL in order, each proved: page headers,
// checksum (CRC-32C) and the link to the record before, as PostgreSQL's
// xlogreader.c does. It is no more trusting than the server: what it returns,
// the server replays.
//
// Where one source is damaged, ends or lacks a segment, the Reader goes on with
// the next source that has a good copy.
type Reader struct {
	sources  []Source
	size     int64
	systemID uint64
	path     Path

	start    LSN
	pos      LSN // end of the last record
	prev     LSN // start of the last record
	reach    LSN // after io.EOF: how far the WAL may have been written
	began    bool
	boundary bool

	file    *segmentFile
	first   map[uint64]int // the first copy to try of a segment number, after a copy failed
	failed  uint64         // the segment number that the last failure is in
	record  []byte         // a record that spans pages is put together here
	skipped []*DamagedError
	changes []Record // of the primary's settings
}

// NewReader reads from start on, along a path of timelines. Start is the start
// or end of a record, or the start of a page or segment, where what a record
// before has left on it is skipped. The size is that of the cluster's segments;
// a systemID of 0 is not compared.
func NewReader(src Source, size int64, systemID uint64, path Path, start LSN) *Reader {
	return &Reader{sources: flat(src), size: size, systemID: systemID, path: path, start: start, pos: start}
}

// Pos is the end of the last record, before the first one the start.
func (r *Reader) Pos() LSN { return r.pos }

// AtBoundary reports whether the start was a boundary of records: false when
// the rest of an earlier record was skipped. It is known after the first Next.
func (r *Reader) AtBoundary() bool { return r.boundary }

// Damaged lists the copies that were passed over because another source had a
// better one.
func (r *Reader) Damaged() []*DamagedError { return r.skipped }

// ParameterChanges are the records of those that were read.
func (r *Reader) ParameterChanges() []Record { return r.changes }

// Close closes the open segment.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// Next reads the next record. The error is
//   - io.EOF where the WAL ends: what follows Pos is no record, and nothing
//     later is there. Next may be called again when more may have arrived;
//   - *GapError where a segment is absent and later ones are not, or where the
//     start itself is absent;
//   - *DamagedError where no source has a good copy of what must be there;
//   - another one where a source could not be looked at.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	rec, err := r.insist(ctx)
	if err != nil {
		return Record{}, err
	}
	if !r.began {
		r.began = true
		r.boundary = rec.Start == r.start || rec.Start == r.afterPageHeader(r.start)
	}
	r.pos, r.prev = rec.End, rec.Start
	if rec.Kind == ParameterChange {
		r.changes = append(r.changes, rec)
	}
	return rec, nil
}

// insist reads the record, and takes damage or a gap only from a second look that
// finds the same. Later WAL proves them, but of what was looked at after it: a
// server may have written on, and moved a segment to the archive, between the
// look at the record and the one behind it.
func (r *Reader) insist(ctx context.Context) (Record, error) {
	for told := ""; ; {
		rec, err := r.read(ctx)
		if err == nil {
			return rec, nil
		}
		if rec, err = r.retry(ctx, err); err == nil {
			return rec, nil
		}
		if !provedByLater(err) || err.Error() == told {
			return Record{}, err
		}
		told = err.Error()
	}
}

func provedByLater(err error) bool {
	return errors.As(err, new(*DamagedError)) || errors.As(err, new(*GapError))
}

// retry tries the other copies of the segment that the record begins in and of
// the one that it fails in; when none does, it says what the failure means. A copy
// of the first that does not even lead to the second tells nothing of that.
func (r *Reader) retry(ctx context.Context, failure error) (Record, error) {
	home, away, cause := r.number(r.pos), r.failed, failure
	failed := away
	for i := range r.copies(home) {
		for j := range r.copies(away) {
			r.first = map[uint64]int{home: i}
			if away != home {
				r.first[away] = j
			}
			_ = r.Close()
			rec, err := r.read(ctx)
			if err == nil {
				r.remember(cause)
				return rec, nil
			}
			if (r.failed != home || away == home) && worse(failure, err) == err {
				failure, failed = err, r.failed
			}
			if away == home {
				break
			}
		}
	}
	r.first, r.failed = nil, failed
	_ = r.Close()
	return Record{}, r.explain(ctx, failure)
}

// remember keeps the failure of a copy that another one made good; that the
// same copy has grown is no failure.
func (r *Reader) remember(cause error) {
	if f, ok := cause.(*flaw); ok && f.origin != r.file.origin {
		r.skipped = append(r.skipped, f.damage())
	}
}

// read reads the record after the last one, from the copies that are first.
func (r *Reader) read(ctx context.Context) (Record, error) {
	at := r.pos
	if !r.began {
		var err error
		if at, err = r.skipContinuation(ctx, at); err != nil {
			return Record{}, err
		}
	}
	return r.recordAt(ctx, at)
}

// skipContinuation finds the first record at or after the start of a page, as
// XLogFindNextRecord does; other positions are taken as they are.
func (r *Reader) skipContinuation(ctx context.Context, at LSN) (LSN, error) {
	for at%pageSize == 0 {
		_, h, err := r.page(ctx, at)
		if err != nil {
			return 0, err
		}
		space := LSN(pageSize - h.headerSize())
		if h.info&firstIsContrecord == 0 {
			break
		}
		if rest := align8(LSN(h.remaining)); rest < space {
			return at + LSN(h.headerSize()) + rest, nil
		}
		at += pageSize
	}
	return at, nil
}

// recordAt reads the record at a position, which may be the start of a page.
func (r *Reader) recordAt(ctx context.Context, at LSN) (Record, error) {
	b, h, err := r.page(ctx, at&^(pageSize-1))
	if err != nil {
		return Record{}, err
	}
	start := at
	if at%pageSize == 0 {
		start += LSN(h.headerSize())
	}
	offset := int(start % pageSize)
	switch {
	case offset < h.headerSize() || start%8 != 0,
		offset == h.headerSize() && h.info&firstIsContrecord != 0:
		return Record{}, r.flaw(start, h.addr, true, "no record begins there")
	case r.offPath(start):
		return Record{}, fs.ErrNotExist
	}
	length := recordLength(b[offset:])
	if length < recordHeaderSize {
		return Record{}, r.flaw(start, h.addr, false, fmt.Sprintf("a record of %d bytes is impossible", length))
	}
	body, end := b[offset:], start+align8(LSN(length))
	if int(length) <= len(body) {
		body = body[:length]
	} else {
		var overwritten bool
		if body, end, overwritten, err = r.assemble(ctx, start, body, length); err != nil {
			return Record{}, err
		}
		if overwritten {
			return r.overwrite(ctx, start, end)
		}
	}
	return r.prove(body, start, end)
}

// assemble puts a record together that goes on over the following pages. Where
// the server was restarted in the middle of writing it, another record stands
// at the page end instead of the rest: it is overwritten.
func (r *Reader) assemble(ctx context.Context, start LSN, begin []byte, length uint32) (body []byte, end LSN, overwritten bool, err error) {
	r.record = append(r.record[:0], begin...)
	for at := (start + pageSize) &^ (pageSize - 1); ; at += pageSize {
		b, h, err := r.page(ctx, at)
		if err != nil {
			return nil, 0, false, err
		}
		if h.info&firstIsOverwriteContrecord != 0 {
			return nil, at, true, nil
		}
		need := length - uint32(len(r.record))
		if h.info&firstIsContrecord == 0 {
			return nil, 0, false, r.flaw(start, at, true, fmt.Sprintf("the page at %s does not continue its record", at))
		}
		if h.remaining != need { // perhaps the page header was written only in part
			return nil, 0, false, r.unfinished(start, at, at+shortHeaderSize, fmt.Sprintf("the page at %s does not continue its record", at))
		}
		rest := b[h.headerSize():]
		r.record = append(r.record, rest[:min(int(need), len(rest))]...)
		if err := r.checkLink(start, at); err != nil {
			return nil, 0, false, err
		}
		if len(r.record) == int(length) {
			return r.record, at + LSN(h.headerSize()) + align8(LSN(need)), false, nil
		}
	}
}

// checkLink refuses a record early when its header, which may have begun on
// the page before, does not follow the last record.
func (r *Reader) checkLink(start, page LSN) error {
	if len(r.record) >= recordHeaderSize && !r.follows(recordPrev(r.record), start) {
		return r.unfinished(start, page, start+LSN(recordLength(r.record)), fmt.Sprintf("its record does not follow the one at %s", r.prev))
	}
	return nil
}

// offPath reports whether the open file is of a timeline that was left before
// lsn: what it holds there is not on the path, and the segment is absent.
func (r *Reader) offPath(at LSN) bool { return r.file.segment.Timeline < r.path.TimelineAt(at) }

// follows compares a record's link with the record before. The first record
// that is read has only an upper bound (ValidXLogRecordHeader).
func (r *Reader) follows(link, start LSN) bool {
	if !r.began {
		return link < start
	}
	return link == r.prev
}

// overwrite reads the record at a page that stands where the rest of the record
// at lost should be, and must say so (XLOG_OVERWRITE_CONTRECORD).
func (r *Reader) overwrite(ctx context.Context, lost, at LSN) (Record, error) {
	rec, err := r.recordAt(ctx, at)
	if err != nil {
		return Record{}, err
	}
	if rec.Rmgr != rmgrXLOG || rec.Info&0xF0 != infoOverwriteContrecord {
		return Record{}, r.flaw(lost, at, true, "the record is cut off, and what follows does not replace it")
	}
	return rec, nil
}

// prove checks link and checksum of a record's bytes and decodes them.
func (r *Reader) prove(b []byte, start, end LSN) (Record, error) {
	last := (end - 1) &^ (pageSize - 1)
	if !r.follows(recordPrev(b), start) {
		return Record{}, r.unfinished(start, last, end, fmt.Sprintf("its record does not follow the one at %s", r.prev))
	}
	if !recordSound(b) {
		return Record{}, r.unfinished(start, last, end, "the checksum of the record is wrong")
	}
	if r.offPath(end - 1) {
		return Record{}, fs.ErrNotExist
	}
	major := r.file.header.Version()
	if major == 0 {
		return Record{}, fmt.Errorf("%s has WAL of a PostgreSQL that is not known (magic number %04X); %d to %d are", r.file.origin, r.file.header.Magic, version.Oldest, version.Newest)
	}
	rec, err := decode(b, major)
	if err != nil {
		return Record{}, r.flaw(start, last, true, fmt.Sprintf("the %s record cannot be understood: %v", rec.Kind, err))
	}
	rec.Start, rec.End = start, end
	if rec.Kind == Switch {
		rec.End = (end + LSN(r.size) - 1) &^ LSN(r.size-1)
	}
	return rec, nil
}

// page is a sound page, of the segment's open copy or of the first that opens.
func (r *Reader) page(ctx context.Context, at LSN) ([]byte, page, error) {
	n := r.number(at)
	r.failed = n
	if r.file == nil || r.file.segment.Number != n {
		if err := r.open(ctx, n); err != nil {
			return nil, page{}, err
		}
	}
	return r.file.pageAt(at, r.path)
}

func (r *Reader) flaw(at, page LSN, hard bool, detail string) error {
	return r.file.flawAt(at, page, hard, detail)
}

// unfinished is the flaw of a record that may have been written only in part.
func (r *Reader) unfinished(at, page, end LSN, detail string) error {
	f := r.file.flawAt(at, page, false, detail)
	f.reach = end - 1
	return f
}

func (r *Reader) number(at LSN) uint64 { return uint64(at) / uint64(r.size) }

// afterPageHeader is where the first record of the page at lsn would begin.
func (r *Reader) afterPageHeader(at LSN) LSN {
	switch {
	case at%LSN(r.size) == 0:
		return at + longHeaderSize
	case at%pageSize == 0:
		return at + shortHeaderSize
	}
	return at
}
