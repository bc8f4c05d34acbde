package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrAbsent says that a file is provably not there: the archive could be looked
// at and has no such name, and what else may be asked has not either.
var ErrAbsent = errors.New("there is no such file in the archive")

// GetRequest is one call of restore_command.
type GetRequest struct {
	Name        string // %f
	Dest        string // %p
	Archive     string
	Live        string // pg_wal of the live standby, which clones may read too; "" is none
	SystemID    uint64 // of the cluster; 0 is not checked
	SegmentSize int64  // of the cluster
	Clone       bool   // the caller is a restore, not the live standby
	Mount       Mount  // of the archive

	// Timelines are the only ones that are shown, so that a clone cannot follow
	// a timeline that its target does not name; none shows all.
	Timelines []Timeline
	// HideHistoryAbove hides the history files of later timelines; 0 hides none.
	HideHistoryAbove Timeline
}

// Get brings a file of the archive to Dest, which is never left in part. A
// segment is verified: its header, the checksum kept by Push, and its pages
// where there is none. A clone falls back on the live pg_wal, unfinished segment
// included, where the archive's copy is absent or damaged (pitfalls 4, 16). The
// live standby is not: it reads its own pg_wal by itself.
//
// The error is ErrAbsent only when the file is provably absent.
func Get(ctx context.Context, req GetRequest) error {
	err := get(ctx, req)
	if err != nil {
		return fmt.Errorf("%s: %w", req.Name, err)
	}
	return nil
}

// ExitCode is what wal get exits with. PostgreSQL takes 1 for "there is no such
// file". Anything else must stop a clone, which only codes above 125 do, and
// must not stop the live standby, which they would (pitfall 17).
func ExitCode(err error, clone bool) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrAbsent) || !clone:
		return 1
	}
	return 255
}

func get(ctx context.Context, req GetRequest) error {
	kind := Classify(req.Name)
	if kind == KindOther || kind == KindChecksum {
		return errors.New("that is not the name of a WAL file")
	}
	if err := req.checkArchive(); err != nil {
		return err
	}
	if req.hidden(kind) {
		return ErrAbsent
	}
	if kind != KindSegment {
		return req.from(ctx, req.Archive, req.plain)
	}
	seg, ok := ParseSegment(req.Name, req.SegmentSize)
	if !ok {
		return fmt.Errorf("no segment of %d bytes has that name", req.SegmentSize)
	}
	archived := req.from(ctx, req.Archive, func(_, copied *os.File, sum checksum) error { return req.archived(copied, sum, seg) })
	if archived == nil || !req.Clone || req.Live == "" {
		return archived
	}
	live := req.fromLive(ctx, seg)
	switch {
	case live == nil:
		return nil
	case errors.Is(live, ErrAbsent) && errors.Is(archived, ErrAbsent):
		return req.fromPartial(ctx, seg)
	case errors.Is(live, ErrAbsent):
		return archived // absent in both, or what is wrong with the archived one
	case errors.Is(archived, ErrAbsent):
		return live
	}
	return errors.Join(archived, live)
}

// checkArchive makes an absence provable: the archive is mounted and is a
// directory.
func (req GetRequest) checkArchive() error {
	if err := req.Mount.check(req.Archive); err != nil {
		return err
	}
	_, err := dir(req.Archive).segments(context.Background(), 1<<24)
	if err != nil {
		return fmt.Errorf("the archive cannot be looked at: %w", unlooked{err})
	}
	return nil
}

// hidden reports whether the file is of a timeline that the caller may not see.
func (req GetRequest) hidden(kind Kind) bool {
	if kind == KindHistory {
		tli, _ := ParseHistoryName(req.Name)
		return len(req.Timelines) > 0 && !slices.Contains(req.Timelines, tli) ||
			req.HideHistoryAbove > 0 && tli > req.HideHistoryAbove
	}
	seg, ok := ParseSegment(req.Name[:segmentNameLen], req.SegmentSize)
	return ok && len(req.Timelines) > 0 && !slices.Contains(req.Timelines, seg.Timeline)
}

// from copies the file of a directory to a temporary file beside Dest, has the
// copy judged, and renames it.
func (req GetRequest) from(ctx context.Context, dir string, judge func(src, copied *os.File, sum checksum) error) error {
	src, err := os.Open(filepath.Join(dir, req.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrAbsent
	}
	if err != nil {
		return err
	}
	defer src.Close()

	// The name is always the same, so that a crash leaves at most one; a server
	// asks for one file at a time.
	path := req.Dest + ".zreconcile"
	tmp, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write: %w", unlooked{err})
	}
	defer os.Remove(path)
	defer tmp.Close()
	sum, err := copyAll(ctx, tmp, src)
	if err != nil {
		return err
	}
	if err := judge(src, tmp, sum); err != nil {
		return err
	}
	return os.Rename(path, req.Dest)
}

// plain judges a file that is no segment: by its checksum, where one is kept.
func (req GetRequest) plain(_, _ *os.File, sum checksum) error {
	_, err := req.checkSum(sum)
	return err
}

// archived judges a copy of an archived segment.
func (req GetRequest) archived(copied *os.File, sum checksum, seg Segment) error {
	origin := filepath.Join(req.Archive, req.Name)
	f, err := req.sound(copied, origin, seg)
	if err != nil {
		return err
	}
	known, err := req.checkSum(sum)
	if err != nil || known {
		return err
	}
	return f.checkPages(seg.End(req.SegmentSize))
}

// checkSum compares a copy of an archived file with what Push kept of it.
func (req GetRequest) checkSum(sum checksum) (known bool, err error) {
	kept, known, err := readChecksum(req.Archive, req.Name)
	if err == nil && known && kept != sum {
		err = fmt.Errorf("%s is damaged: it has %d bytes with the CRC-32C %08x, and was archived with %d and %08x",
			filepath.Join(req.Archive, req.Name), sum.size, sum.sum, kept.size, kept.sum)
	}
	return known, err
}

// sound opens a copy as the segment that it must be.
func (req GetRequest) sound(copied *os.File, origin string, seg Segment) (*segmentFile, error) {
	f := &segmentFile{Closer: copied, segment: seg, origin: origin}
	return f, f.begin(copied, req.SegmentSize, req.SystemID)
}

// fromPartial takes the last segment of a timeline that was left by a promotion:
// the server renames it to NAME.partial, and what it holds up to there is all
// that the timeline ever had.
func (req GetRequest) fromPartial(ctx context.Context, seg Segment) error {
	req.Name += ".partial"
	for _, dir := range []string{req.Archive, req.Live} {
		err := req.from(ctx, dir, func(_, copied *os.File, _ checksum) error {
			_, err := req.sound(copied, filepath.Join(dir, req.Name), seg)
			return err
		})
		if !errors.Is(err, ErrAbsent) {
			return err
		}
	}
	return ErrAbsent
}

// fromLive takes a segment from the live server's pg_wal. The server may rename
// or overwrite it meanwhile, so the name must still be that of the same file
// after the copy; else the next try finds it in the archive or not at all.
func (req GetRequest) fromLive(ctx context.Context, seg Segment) error {
	if _, err := readNames(req.Live); err != nil {
		return fmt.Errorf("the live pg_wal cannot be looked at: %w", unlooked{err})
	}
	path := filepath.Join(req.Live, req.Name)
	for range 3 {
		moved := false
		err := req.from(ctx, req.Live, func(src, copied *os.File, _ checksum) error {
			if err := req.received(src, copied, path, seg); err != nil {
				return err
			}
			same, err := isAt(src, path)
			moved = err == nil && !same
			if moved {
				return ErrAbsent
			}
			return err
		})
		if !moved {
			return err
		}
	}
	return fmt.Errorf("the server replaces %s again and again", path)
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

// received judges a copy from pg_wal: sound pages from the beginning on, as far
// as it was received. A segment that is recycled or made in advance does not
// hold what its name says, which is an absence.
//
// The server may have written while the file was copied, so that an early page
// is older than a late one. It writes in order: what is before the last sound
// page of the copy is complete by now, and is copied again.
func (req GetRequest) received(src, copied *os.File, origin string, seg Segment) error {
	f, err := req.sound(copied, origin, seg)
	if bad := (*flaw)(nil); errors.As(err, &bad) && !bad.hard {
		return ErrAbsent
	}
	if err != nil {
		return err
	}
	end := f.lastSound()
	again := io.NewSectionReader(src, 0, int64(end-seg.Start(f.Size())))
	if _, err := io.Copy(io.NewOffsetWriter(copied, 0), again); err != nil {
		return err
	}
	if f, err = req.sound(copied, origin, seg); err != nil {
		return err
	}
	return f.checkPages(end)
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

// checkPages walks the pages up to an LSN: each is the one of its place. After
// a switch the rest of a segment is zeros.
func (f *segmentFile) checkPages(end LSN) error {
	for at := f.segment.Start(f.Size()); at < end; at += pageSize {
		_, _, err := f.pageAt(at, nil)
		if err == nil {
			continue
		}
		if bad := (*flaw)(nil); !errors.As(err, &bad) {
			return err
		}
		rest := io.NewSectionReader(f, int64(at-f.segment.Start(f.Size())), int64(end-at))
		if zero, readErr := onlyZeros(rest); readErr != nil || !zero {
			return errors.Join(err, readErr)
		}
		return nil
	}
	return nil
}

func onlyZeros(r io.Reader) (bool, error) {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return false, nil
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}
