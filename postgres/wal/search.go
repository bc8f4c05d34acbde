package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// LastRecordBefore is the last whole record that ends at or before lsn, looking
// back segment by segment as far as floor, which is 0 or a boundary of records.
// An lsn in the middle of a record is usual: what a standby has received may end
// anywhere. WAL that is absent or damaged before lsn is an error, as is an lsn
// that the WAL does not reach.
func LastRecordBefore(ctx context.Context, src Source, size int64, systemID uint64, path Path, lsn, floor LSN) (Record, error) {
	for end := lsn; end > floor; {
		start := max((end-1)&^LSN(size-1), floor)
		rec, found, err := lastBetween(ctx, NewReader(src, size, systemID, path, start), lsn)
		if err != nil || found {
			return rec, err
		}
		end = start
	}
	return Record{}, fmt.Errorf("no record of the WAL ends between %s and %s", floor, lsn)
}

func lastBetween(ctx context.Context, r *Reader, lsn LSN) (last Record, found bool, err error) {
	defer r.Close()
	for {
		rec, err := r.Next(ctx)
		var gap *GapError
		switch {
		case err == nil && rec.End > lsn,
			errors.As(err, &gap) && gap.Segment.Start(r.size)+longHeaderSize >= lsn:
			return last, found, nil
		case errors.Is(err, io.EOF):
			if lsn > r.reach {
				return last, false, fmt.Errorf("the WAL ends at %s, before %s: %w", r.Pos(), lsn, io.ErrUnexpectedEOF)
			}
			return last, found, nil
		case err != nil:
			return last, false, err
		}
		last, found = rec, true
	}
}

// FirstXactAfter finds the first commit or abort later than t, in WAL order, from
// where a reader is: where recovery to the time t stops. Last is
// the last record that was read, and lastXact the last commit or abort that is
// not later than t, each zero when there is none. Not found is without an error
// where the WAL ends; err says what else stopped the search, with Last before it.
func FirstXactAfter(ctx context.Context, r *Reader, t time.Time) (rec Record, found bool, last, lastXact Record, err error) {
	for {
		rec, err := r.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return Record{}, false, last, lastXact, nil
		case err != nil:
			return Record{}, false, last, lastXact, err
		case rec.IsXact() && rec.Time.After(t):
			return rec, true, last, lastXact, nil
		case rec.IsXact():
			lastXact = rec
		}
		last = rec
	}
}

// NewestXact is the latest time of the commits and aborts that start before to,
// from a boundary of records on, the record that has it, and how many there
// are: commit times are not strictly in WAL order (pitfall 11). None is a zero
// time. WAL that ends before to is an error.
func NewestXact(ctx context.Context, src Source, size int64, systemID uint64, path Path, from, to LSN) (newest time.Time, at Record, n int, err error) {
	r := NewReader(src, size, systemID, path, from)
	defer r.Close()
	for r.afterPageHeader(r.Pos()) < to {
		rec, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return newest, at, n, fmt.Errorf("the WAL ends at %s, before %s: %w", r.Pos(), to, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return newest, at, n, err
		}
		if rec.Start >= to {
			break
		}
		if !rec.IsXact() {
			continue
		}
		if n++; n == 1 || rec.Time.After(newest) {
			newest, at = rec.Time, rec
		}
	}
	return newest, at, n, nil
}
