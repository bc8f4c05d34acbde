package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// place is a file that wal get may find a segment in.
type place struct {
	dir    string
	name   string
	server bool // dir is a server's pg_wal: it may write, recycle or remove the file meanwhile
}

func (p place) path() string { return filepath.Join(p.dir, p.name) }

// places lists where a segment may be, in the order of trying. The last segment
// of a timeline that was left by a promotion is renamed to NAME.partial; what it
// holds is all that the timeline ever had.
func (req GetRequest) places() []place {
	list := []place{{dir: req.Archive, name: req.Name}}
	if !req.Clone {
		return list
	}
	if req.Live != "" {
		list = append(list, place{dir: req.Live, name: req.Name, server: true})
	}
	list = append(list, place{dir: filepath.Dir(req.Dest), name: req.Name, server: true})
	for _, p := range list {
		p.name += ".partial"
		list = append(list, p)
	}
	return list
}

// segment fetches the first copy that is whole to the end of the segment, or
// else the one that goes furthest.
func (req GetRequest) segment(ctx context.Context, seg Segment) error {
	unfinished := req.Dest + ".zreconcile-unfinished"
	defer os.Remove(unfinished)
	var furthest LSN
	var failures []error
	for _, p := range req.places() {
		end, err := req.copyOf(ctx, p, seg, unfinished, furthest)
		switch {
		case err == nil && end == seg.End(req.SegmentSize):
			return os.Rename(unfinished, req.Dest)
		case err == nil:
			furthest = end
		case !errors.Is(err, ErrAbsent):
			failures = append(failures, err)
		}
	}
	switch {
	case furthest > 0:
		return os.Rename(unfinished, req.Dest)
	case len(failures) > 0:
		return errors.Join(failures...)
	}
	return ErrAbsent
}

// copyOf fetches one copy of a segment, unless it goes no further than another.
func (req GetRequest) copyOf(ctx context.Context, p place, seg Segment, to string, furthest LSN) (LSN, error) {
	judge := func(src, copied *os.File) (end LSN, err error) {
		if p.server {
			end, err = req.received(ctx, src, copied, p, seg)
		} else {
			end, err = req.archived(ctx, copied, p, seg)
		}
		if err == nil && end <= furthest {
			err = ErrAbsent
		}
		return end, err
	}
	if !p.server {
		return req.fetch(ctx, p, to, judge)
	}
	if _, err := readNames(p.dir); err != nil {
		return 0, fmt.Errorf("the WAL of a server cannot be looked at: %w", unlooked{err})
	}
	for range 3 {
		end, err := req.fetch(ctx, p, to, judge)
		if !errors.Is(err, errMoved) {
			return end, err
		}
	}
	return 0, fmt.Errorf("the server replaces %s again and again", p.path())
}

// archived judges a copy of an archived segment.
func (req GetRequest) archived(ctx context.Context, copied *os.File, p place, seg Segment) (LSN, error) {
	f, err := req.opened(copied, p, seg)
	if err != nil {
		return 0, err
	}
	return req.proved(ctx, f, p, seg)
}

// proved is how far a copy is whole. One that ends early, though the next one of
// the timeline is beside it, has lost the rest: WAL is written in order.
func (req GetRequest) proved(ctx context.Context, f *segmentFile, p place, seg Segment) (LSN, error) {
	end, err := f.provedTo(ctx)
	if err != nil || end == seg.End(req.SegmentSize) {
		return end, err
	}
	next := Segment{seg.Timeline, seg.Number + 1}
	if later, err := openSegment(ctx, Dir(p.dir), next, req.SegmentSize, req.SystemID); err == nil {
		_ = later.Close()
		return 0, f.flawAt(end, end, true, "it ends there, and the next segment has begun")
	}
	return end, nil
}

// errMoved says that a server renamed or replaced a file while it was copied.
var errMoved = errors.New("the file has been replaced")

// received judges a copy from a server's pg_wal, as far as it was received. A
// segment that is recycled or made in advance does not hold what its name says,
// which is an absence.
//
// The server may have written while the file was copied, so that an early page
// is older than a late one. It writes in order: what is before the last sound
// page of the copy is complete by now, and is copied again. Its name must then
// still be that of the same file.
func (req GetRequest) received(ctx context.Context, src, copied *os.File, p place, seg Segment) (LSN, error) {
	f, err := req.opened(copied, p, seg)
	if bad := (*flaw)(nil); errors.As(err, &bad) && !bad.hard {
		return 0, ErrAbsent
	}
	if err != nil {
		return 0, err
	}
	again := io.NewSectionReader(src, 0, int64(f.lastSound()-seg.Start(f.Size())))
	if _, err := io.Copy(io.NewOffsetWriter(copied, 0), again); err != nil {
		return 0, err
	}
	if same, err := isAt(src, p.path()); err != nil || !same {
		return 0, errors.Join(err, errMoved)
	}
	if f, err = req.opened(copied, p, seg); err != nil {
		return 0, err
	}
	return req.proved(ctx, f, p, seg)
}

// opened is a copy as the segment that it must be.
func (req GetRequest) opened(copied *os.File, p place, seg Segment) (*segmentFile, error) {
	f := &segmentFile{Closer: io.NopCloser(nil), segment: seg, origin: p.path()}
	return f, f.begin(copied, req.SegmentSize, req.SystemID)
}

// isAt reports whether an open file still has its name.
func isAt(f *os.File, path string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, named), err
}

// lastSound is the end of the last page that is the one of its place.
func (f *segmentFile) lastSound() LSN {
	start := f.segment.Start(f.Size())
	for at := f.segment.End(f.Size()) - pageSize; at > start; at -= pageSize {
		if _, _, err := f.pageAt(at, nil); err == nil {
			return at + pageSize
		}
	}
	return start + pageSize
}

// provedTo reads each record that begins in the segment, with its checksum, and
// says how far they go: to the end of the segment, also where the last one goes
// on in the next, or to where WAL was written. Damage is a *flaw. The records of
// a PostgreSQL that is not known are not read, only the pages.
func (f *segmentFile) provedTo(ctx context.Context) (LSN, error) {
	if f.header.Version() == 0 {
		end := f.lastSound()
		return end, f.checkPages(end)
	}
	start, end := f.segment.Start(f.Size()), f.segment.End(f.Size())
	r := &Reader{size: f.Size(), start: start, pos: start, file: f}
	for r.pos < end {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		rec, err := r.read(ctx)
		var bad *flaw
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return end, nil
		case errors.As(err, &bad) && !bad.hard && !r.continuesIn(f, bad):
			return max(r.pos, bad.page), nil
		case err != nil:
			return 0, err
		}
		r.began, r.pos, r.prev = true, rec.End, rec.Start
	}
	return end, nil
}

// checkPages walks the pages up to an LSN: each is the one of its place.
func (f *segmentFile) checkPages(end LSN) error {
	for at := f.segment.Start(f.Size()); at < end; at += pageSize {
		if _, _, err := f.pageAt(at, nil); err != nil {
			return err
		}
	}
	return nil
}
