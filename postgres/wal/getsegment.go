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

// segment fetches the first copy that is whole to the end of the segment, or else the
// one that goes furthest. A server archives a segment, and may remove it then: where
// the archive got it while the places behind it were looked at, all are looked at anew.
func (req GetRequest) segment(ctx context.Context, seg Segment) error {
	inArchive := func() bool {
		there, err := present(filepath.Join(req.Archive, req.Name))
		return there && err == nil
	}
	before := inArchive()
	whole, err := req.segmentOf(ctx, seg)
	if !whole && !before && inArchive() {
		_, err = req.segmentOf(ctx, seg)
	}
	return err
}

func (req GetRequest) segmentOf(ctx context.Context, seg Segment) (whole bool, err error) {
	unfinished := req.Dest + ".zreconcile-unfinished"
	defer os.Remove(unfinished)
	var furthest LSN
	var failures []error
	for _, p := range req.places() {
		end, err := req.copyOf(ctx, p, seg, unfinished, furthest)
		switch {
		case err == nil && end == seg.End(req.SegmentSize):
			return true, os.Rename(unfinished, req.Dest)
		case err == nil:
			furthest = end
		case !errors.Is(err, ErrAbsent):
			failures = append(failures, err)
		}
	}
	switch {
	case furthest > 0:
		return false, os.Rename(unfinished, req.Dest)
	case len(failures) > 0:
		return false, errors.Join(failures...)
	}
	return false, ErrAbsent
}

// copyOf fetches one copy of a segment, unless it goes no further than another.
func (req GetRequest) copyOf(ctx context.Context, p place, seg Segment, to string, furthest LSN) (LSN, error) {
	further := func(end LSN, err error) (LSN, error) {
		if err == nil && end <= furthest {
			err = ErrAbsent
		}
		return end, err
	}
	if !p.server {
		return req.fetch(p, to, p.whole(ctx, func(_, copied *os.File) (LSN, error) { return further(req.archived(ctx, copied, p, seg)) }))
	}
	if err := lookInto(p.dir); err != nil {
		return 0, fmt.Errorf("the WAL of a server cannot be looked at: %w", unlooked{err})
	}
	for range 3 {
		end, err := req.fetch(p, to, func(src, tmp *os.File) (LSN, error) { return further(req.received(ctx, src, tmp, p, seg, furthest)) })
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
		if p.server && req.grown(ctx, p, seg, end) {
			return 0, errMoved
		}
		return 0, f.flawAt(end, end, true, "it ends there, and the next segment has begun")
	}
	return end, nil
}

// grown reports whether a server has written on in a segment since its records went
// up to an LSN.
func (req GetRequest) grown(ctx context.Context, p place, seg Segment, since LSN) bool {
	now, err := openSegment(ctx, Dir(p.dir), seg, req.SegmentSize, req.SystemID)
	if err != nil {
		return false
	}
	defer now.Close()
	end, err := now.provedTo(ctx)
	return err == nil && end > since
}

// errMoved says that a server renamed, replaced or filled a file while it was copied.
var errMoved = errors.New("the file has been replaced")

// received copies a segment from a server's pg_wal as far as it was received, if
// that is further than another copy goes. A segment that is recycled or made in
// advance does not hold what its name says, which is an absence.
//
// The server may write while the file is copied. It writes in order: what is
// before a sound page is complete, and only that is copied; zeros take the place
// of the rest. Its name must then still be that of the same file.
func (req GetRequest) received(ctx context.Context, src, tmp *os.File, p place, seg Segment, furthest LSN) (LSN, error) {
	f, err := req.opened(src, p, seg)
	if bad := (*flaw)(nil); errors.As(err, &bad) && !bad.hard {
		return 0, ErrAbsent
	}
	if err != nil {
		return 0, err
	}
	end, err := f.soundTo()
	if err != nil {
		return 0, err
	}
	if end <= furthest {
		return 0, moved(src, p, ErrAbsent)
	}
	sum, err := copyFile(ctx, tmp, io.NewSectionReader(src, 0, int64(end-seg.Start(f.Size()))))
	if err == nil && sum.size == f.Size() {
		err = p.checkSum(sum)
	}
	if err != nil {
		return 0, err
	}
	if err := tmp.Truncate(f.Size()); err != nil {
		return 0, err
	}
	if err := moved(src, p, nil); err != nil {
		return 0, err
	}
	if f, err = req.opened(tmp, p, seg); err != nil {
		return 0, err
	}
	f.zeros = end
	return req.proved(ctx, f, p, seg)
}

// moved is errMoved where a server's file has lost its name, and otherwise what
// the caller has found.
func moved(src *os.File, p place, found error) error {
	if same, err := isAt(src, p.path()); err != nil || !same {
		return errors.Join(err, errMoved)
	}
	return found
}

// opened is a file as the segment that it must be.
func (req GetRequest) opened(file *os.File, p place, seg Segment) (*segmentFile, error) {
	f := &segmentFile{Closer: io.NopCloser(nil), segment: seg, origin: p.path()}
	return f, f.begin(file, req.SegmentSize, req.SystemID)
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

// soundTo is the end of the last page that is the one of its place.
func (f *segmentFile) soundTo() (LSN, error) {
	start := f.segment.Start(f.Size())
	for at := f.segment.End(f.Size()) - pageSize; at > start; at -= pageSize {
		_, _, err := f.pageAt(at, nil)
		if err == nil {
			return at + pageSize, nil
		}
		if bad := (*flaw)(nil); !errors.As(err, &bad) {
			return 0, err
		}
	}
	return start + pageSize, nil
}

// provedTo reads each record that begins in the segment, with its checksum, and
// says how far they go: to the end of the segment, also where the last one goes
// on in the next, or to where WAL was written. Damage is a *flaw. The records of
// a PostgreSQL that is not known are not read, only the pages.
func (f *segmentFile) provedTo(ctx context.Context) (LSN, error) {
	if f.header.Version() == 0 {
		end, err := f.soundTo()
		if err != nil {
			return 0, err
		}
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
