package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// segmentCopy is a place where a segment may be: the file of one timeline in one
// source.
type segmentCopy struct {
	segment Segment
	source  Source
}

// copies lists where a segment number may be, in the order of trying.
func (r *Reader) copies(n uint64) []segmentCopy {
	var list []segmentCopy
	any := Segment{Number: n}
	for _, tli := range r.path.in(any.Start(r.size), any.End(r.size)) {
		for _, src := range r.sources {
			list = append(list, segmentCopy{Segment{tli, n}, src})
		}
	}
	return list
}

func (r *Reader) openCopy(ctx context.Context, c segmentCopy) (*segmentFile, error) {
	return openSegment(ctx, c.source, c.segment, r.size, r.systemID)
}

// open opens the first sound copy of a segment number.
func (r *Reader) open(ctx context.Context, n uint64) error {
	_ = r.Close() // only read
	var failure error = fs.ErrNotExist
	var passed []*DamagedError
	copies := r.copies(n)
	for _, c := range copies[min(r.first[n], len(copies)):] {
		f, err := r.openCopy(ctx, c)
		if err == nil {
			r.file = f
			r.skipped = append(r.skipped, passed...)
			return nil
		}
		if bad := (*flaw)(nil); errors.As(err, &bad) {
			passed = append(passed, bad.damage())
		}
		failure = worse(failure, err)
	}
	return failure
}

// explain turns the worst failure of all copies into what Next says.
func (r *Reader) explain(ctx context.Context, failure error) error {
	var f *flaw
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(failure, &f):
		if f.hard || r.continues(ctx, f) {
			return f.damage()
		}
		r.reach = f.reach
		return io.EOF
	case errors.Is(failure, fs.ErrNotExist):
		missing := Segment{Number: r.failed}
		missing.Timeline = r.path.TimelineAt(max(r.pos, missing.Start(r.size)))
		later, err := r.hasLater(ctx, missing.Number)
		if err != nil {
			return err
		}
		if later || !r.began {
			return &GapError{missing, missing.Name(r.size)}
		}
		r.reach = missing.Start(r.size) + longHeaderSize
		return io.EOF
	}
	return fmt.Errorf("the WAL at %s cannot be read: %w", r.pos, failure)
}

// continues tells damage from the end of what was written: WAL is written in
// order, so a sound record or page after the flaw proves damage.
func (r *Reader) continues(ctx context.Context, f *flaw) bool {
	n := r.number(f.page)
	for _, c := range r.copies(n) {
		file, err := r.openCopy(ctx, c)
		if err != nil {
			continue
		}
		found := r.continuesIn(file, f)
		_ = file.Close()
		if found {
			return true
		}
	}
	for _, c := range r.copies(n + 1) {
		if file, err := r.openCopy(ctx, c); err == nil {
			_ = file.Close()
			return true
		}
	}
	return false
}

func (r *Reader) continuesIn(file *segmentFile, f *flaw) bool {
	if b, h, err := file.pageAt(f.page, r.path); err == nil && holdsRecordAfter(b, h, f.at) {
		return true
	}
	end := file.segment.End(r.size)
	if file.zeros != 0 {
		end = file.zeros
	}
	for at := f.page + pageSize; at < end; at += pageSize {
		if _, _, err := file.pageAt(at, r.path); err == nil {
			return true
		}
	}
	return false
}

// holdsRecordAfter looks for a whole record on the page that comes after the
// one at lost, by its link; stale bytes of a recycled page link to older WAL.
func holdsRecordAfter(b []byte, h page, lost LSN) bool {
	for i := h.headerSize(); i+recordHeaderSize <= pageSize; i += 8 {
		at, length := h.addr+LSN(i), recordLength(b[i:])
		if at <= lost || length < recordHeaderSize || int64(length) > int64(pageSize-i) {
			continue
		}
		if prev := recordPrev(b[i:]); prev >= lost && prev < at && recordSound(b[i:i+int(length)]) {
			return true
		}
	}
	return false
}

// hasLater reports whether any source has sound WAL of a later segment on the
// path. A source that cannot list its segments is taken to have it.
func (r *Reader) hasLater(ctx context.Context, n uint64) (bool, error) {
	for _, src := range r.sources {
		l, ok := src.(lister)
		if !ok {
			return true, nil
		}
		list, err := l.segments(ctx, r.size)
		if err != nil {
			return false, err
		}
		slices.SortFunc(list, compareSegments)
		for _, s := range list {
			if s.Number <= n || !slices.Contains(r.path.in(s.Start(r.size), s.End(r.size)), s.Timeline) {
				continue
			}
			if f, err := r.openCopy(ctx, segmentCopy{s, src}); err == nil {
				_ = f.Close()
				return true, nil
			}
		}
	}
	return false, nil
}
