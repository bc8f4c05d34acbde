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

// Source is a place that segments are read from. Open answers an error that
// wraps fs.ErrNotExist only when the segment is provably absent; a place that
// cannot be looked at is another error. The origin names the file in messages.
// What it opens should be an io.ReaderAt, else it is read into memory.
type Source interface {
	Open(ctx context.Context, seg Segment, size int64) (r io.ReadCloser, origin string, err error)
}

// lister is a Source that can tell which segments it has.
type lister interface {
	segments(ctx context.Context, size int64) ([]Segment, error)
}

// Dir is a directory of segment files: an archive, or the pg_wal of a server,
// live or not. A file that is shorter than a segment is damage in either. A
// pg_wal holds segments that are recycled and not yet written; the addresses
// on their pages tell.
func Dir(path string) Source { return dir(path) }

type dir string

func (d dir) Open(_ context.Context, seg Segment, size int64) (io.ReadCloser, string, error) {
	path := filepath.Join(string(d), seg.Name(size))
	f, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, d.absent(err)
	}
	if err != nil {
		return nil, path, err
	}
	return f, path, nil
}

// absent lets a missing file be a proof only where the directory is there: an
// unmounted archive has lost no WAL (pitfall 51).
func (d dir) absent(missing error) error {
	info, err := os.Stat(string(d))
	switch {
	case err != nil:
		return unlooked{fmt.Errorf("the directory of WAL %s cannot be looked at: %w", string(d), err)}
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", string(d))
	}
	return missing
}

// unlooked hides fs.ErrNotExist of a directory from errors.Is: that nobody could
// look is no absence.
type unlooked struct{ cause error }

func (u unlooked) Error() string { return u.cause.Error() }

func (d dir) segments(_ context.Context, size int64) ([]Segment, error) {
	names, err := readNames(string(d))
	if err != nil {
		return nil, err
	}
	var list []Segment
	for _, name := range names {
		if s, ok := ParseSegment(name, size); ok {
			list = append(list, s)
		}
	}
	return list, nil
}

// Sources is the list of sources in the order in which they are tried. It opens
// the first copy whose header is sound for the segment, so that a damaged file
// in the archive does not hide a good one in pg_wal (pitfall 16). A Reader goes
// further: it falls back on the next copy when damage shows up in the middle.
func Sources(list ...Source) Source { return sources(list) }

type sources []Source

func (s sources) Open(ctx context.Context, seg Segment, size int64) (io.ReadCloser, string, error) {
	var worst error = fs.ErrNotExist
	for _, src := range flat(s) {
		f, err := openSegment(ctx, src, seg, size, 0)
		if err == nil {
			return f, f.origin, nil
		}
		worst = worse(worst, err)
	}
	var f *flaw
	if errors.As(worst, &f) {
		return nil, f.origin, f.damage()
	}
	return nil, "", worst
}

// flat lists the sources of a source.
func flat(s Source) []Source {
	list, ok := s.(sources)
	if !ok {
		return []Source{s}
	}
	var all []Source
	for _, each := range list {
		all = append(all, flat(each)...)
	}
	return all
}
