package wal

import (
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
	Dest        string // %p: in the caller's own pg_wal
	Archive     string
	Live        string // pg_wal of the live standby, which clones may read too; "" is none
	SystemID    uint64 // of the cluster; 0 is not checked
	SegmentSize int64  // of the cluster
	Clone       bool   // the caller is a restore, not the live standby
	Mount       Mount  // of the archive

	// Timelines are the only ones that are shown, so that a clone cannot follow
	// a timeline that its target does not name; none shows all.
	Timelines []Timeline
}

// Get brings a file of the archive to Dest, which is never left in part. A
// segment is verified: its header, the checksum kept by Push, and each record
// that begins in it. A clone is given the first whole copy of the archive, the
// live pg_wal and its own, or else the one that goes furthest (pitfalls 4, 16).
// The live standby is not: it reads its own pg_wal by itself.
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
	hidden, err := req.hidden(kind)
	if err != nil {
		return err
	}
	if hidden {
		return ErrAbsent
	}
	switch kind {
	case KindSegment:
		seg, ok := ParseSegment(req.Name, req.SegmentSize)
		if !ok {
			return fmt.Errorf("no segment of %d bytes has that name", req.SegmentSize)
		}
		return req.segment(ctx, seg)
	case KindHistory:
		return req.history(ctx)
	}
	from := place{dir: req.Archive, name: req.Name}
	_, err = req.fetch(from, req.Dest, from.whole(ctx, nil))
	return err
}

// checkArchive makes an absence provable: the archive is mounted and is a
// directory.
func (req GetRequest) checkArchive() error {
	if err := req.Mount.served(); err != nil {
		return err
	}
	if err := req.Mount.check(req.Archive); err != nil {
		return err
	}
	if err := lookInto(req.Archive); err != nil {
		return fmt.Errorf("the archive cannot be looked at: %w", unlooked{err})
	}
	return nil
}

// hidden reports whether the file is of a timeline that the caller may not see.
//
// The live standby looks for the history of each timeline after its own, and
// follows the newest. It learns of a failover from its primary, whose history
// files the WAL receiver fetches into pg_wal before it asks for WAL
// (WalRcvFetchTimeLineHistoryFiles of walreceiver.c). One that the archive alone
// has is a stranger's: to follow it is to leave the primary (pitfall 34). The
// server asks here first, and reads the file of pg_wal where this says that
// there is none (existsTimeLineHistory of timeline.c).
func (req GetRequest) hidden(kind Kind) (bool, error) {
	if kind != KindHistory {
		seg, ok := ParseSegment(req.Name[:segmentNameLen], req.SegmentSize)
		return ok && len(req.Timelines) > 0 && !slices.Contains(req.Timelines, seg.Timeline), nil
	}
	tli, _ := ParseHistoryName(req.Name)
	if len(req.Timelines) > 0 {
		return !slices.Contains(req.Timelines, tli), nil
	}
	if req.Clone {
		return false, nil
	}
	own, err := readNames(filepath.Dir(req.Dest))
	return contains(own, req.Name) || tli > newestTimeline(own, req.SegmentSize), err
}

// newestTimeline is the highest timeline that any of the names is of.
func newestTimeline(names []string, size int64) (newest Timeline) {
	for _, name := range names {
		if tli, ok := ParseHistoryName(name); ok {
			newest = max(newest, tli)
		}
		if seg, ok := ParseSegment(name, size); ok {
			newest = max(newest, seg.Timeline)
		}
	}
	return newest
}

// history fetches the history of a timeline. A clone is given the live
// standby's, which is its primary's, before that of the archive.
func (req GetRequest) history(ctx context.Context) error {
	dirs := []string{req.Archive}
	if req.Clone && req.Live != "" {
		dirs = []string{req.Live, req.Archive}
	}
	var failures []error
	for _, dir := range dirs {
		from := place{dir: dir, name: req.Name}
		_, err := req.fetch(from, req.Dest, from.whole(ctx, req.isHistory))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ErrAbsent):
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return ErrAbsent
	}
	return errors.Join(failures...)
}

// isHistory judges a history: it must lead to the timeline of its name.
func (req GetRequest) isHistory(src, copied *os.File) (LSN, error) {
	b, err := io.ReadAll(io.NewSectionReader(copied, 0, maxHistory))
	if err != nil {
		return 0, err
	}
	tli, _ := ParseHistoryName(req.Name)
	history, err := ParseHistory(b)
	if n := len(history); err == nil && (n == 0 || history[n-1].Timeline >= tli) {
		err = fmt.Errorf("it does not lead to timeline %d", tli)
	}
	if err != nil {
		return 0, fmt.Errorf("%s is no history of a timeline: %w", src.Name(), err)
	}
	return 0, nil
}

// maxHistory bounds what is read of a history file: a line is some 60 bytes.
const maxHistory = 1 << 20

// fetch brings a file to a temporary one beside Dest, and renames it to the path
// that is wanted. How far what was brought is whole is for the bringer to say.
func (req GetRequest) fetch(from place, to string, bring func(src, tmp *os.File) (LSN, error)) (LSN, error) {
	src, err := openRegular(from.path())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ErrAbsent
	}
	if err != nil {
		return 0, err
	}
	defer src.Close()

	// The name is always the same, so that a crash leaves at most one; a server
	// asks for one file at a time.
	path := req.Dest + ".zreconcile"
	tmp, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, fmt.Errorf("cannot write: %w", unlooked{err})
	}
	defer os.Remove(path)
	defer tmp.Close()
	end, err := bring(src, tmp)
	if err != nil {
		return 0, err
	}
	return end, os.Rename(path, to)
}

// whole brings all of a file of the archive, and has the copy judged.
func (p place) whole(ctx context.Context, judge func(src, copied *os.File) (LSN, error)) func(src, tmp *os.File) (LSN, error) {
	return func(src, tmp *os.File) (LSN, error) {
		sum, err := copyFile(ctx, tmp, src)
		if err == nil {
			err = p.checkSum(sum)
		}
		if err != nil || judge == nil {
			return 0, err
		}
		return judge(src, tmp)
	}
}
