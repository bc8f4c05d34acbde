package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// copyBuffer is how much is copied at once.
const copyBuffer = 1 << 20

// PushRequest is one call of archive_command.
type PushRequest struct {
	Path     string // %p: of the file to archive, below the caller's working directory
	Archive  string // the directory to keep it in
	DataDir  string // of the site's standby, which must be the caller's working directory; "" is not checked
	SystemID uint64 // of the cluster; 0 is not checked
	Mount    Mount
}

// Push archives one file. When it returns nil, the file is in the archive, whole
// and on stable storage. What is already there with the same content is success
// (pitfall 18); with other content it is an error, and nothing is overwritten
// (pitfall 2). Complete segments must be of this cluster and be what their
// names say; history, backup and .partial files are kept as they are.
func Push(ctx context.Context, req PushRequest) error {
	name := filepath.Base(req.Path)
	if err := push(ctx, req, name); err != nil {
		return fmt.Errorf("%s is not archived: %w", name, err)
	}
	return nil
}

func push(ctx context.Context, req PushRequest, name string) error {
	if err := req.Mount.served(); err != nil {
		return err
	}
	if err := req.checkCaller(); err != nil {
		return err
	}
	if err := req.Mount.check(req.Archive); err != nil {
		return err
	}
	switch Classify(name) {
	case KindOther, KindChecksum:
		return errors.New("its name is not that of a segment, or of a history, backup or .partial file")
	}
	src, err := openRegular(req.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := req.checkSegment(src, name); err != nil {
		return err
	}
	return store(ctx, src, req.Archive, name)
}

// checkCaller refuses a server that is not the site's standby: a promoted clone
// that archived here would plant its timeline in the archive (pitfall 34).
func (req PushRequest) checkCaller() error {
	if req.DataDir == "" {
		return nil
	}
	cwd, err := os.Stat(".")
	if err != nil {
		return err
	}
	want, err := os.Stat(req.DataDir)
	if err != nil {
		return err
	}
	if !os.SameFile(cwd, want) {
		dir, _ := os.Getwd()
		return fmt.Errorf("it comes from the server in %s, and this archive is that of the standby in %s: turn archive_mode off there", dir, req.DataDir)
	}
	return nil
}

// checkSegment checks the header of a complete segment.
func (req PushRequest) checkSegment(src *os.File, name string) error {
	if Classify(name) != KindSegment {
		return nil
	}
	h, err := ReadHeader(src)
	if err != nil {
		return err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	seg, ok := ParseSegment(name, h.SegmentSize)
	if !ok {
		return fmt.Errorf("no segment of %d bytes has that name", h.SegmentSize)
	}
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if info.Size() != h.SegmentSize {
		return fmt.Errorf("it has %d bytes, but its header names segments of %d", info.Size(), h.SegmentSize)
	}
	return h.check(seg, h.SegmentSize, req.SystemID)
}

// store brings the content of src under its name into the archive: a synced
// temporary file, its checksum, the name, and last the directory.
func store(ctx context.Context, src *os.File, dir, name string) error {
	final := filepath.Join(dir, name)
	there, err := present(final)
	if err != nil {
		return err
	}
	if there {
		return keepSame(ctx, src, dir, name)
	}
	tmp, err := createTemp(dir, name)
	if err != nil {
		return err
	}
	defer tmp.discard()
	// Whoever archived it meanwhile had the temporary file, and has kept a checksum.
	if there, err = present(final); err != nil {
		return err
	}
	if there {
		return keepSame(ctx, src, dir, name)
	}
	sum, err := copyFile(ctx, tmp.File, src)
	if err != nil {
		return err
	}
	if same, err := isAt(src, src.Name()); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%s was removed or recycled while it was copied", src.Name()))
	}
	// Two syncs at once are one write of the ZFS intent log.
	synced := make(chan error, 1)
	go func() { synced <- tmp.Sync() }()
	err = writeChecksum(dir, name, sum)
	if err := errors.Join(<-synced, err); err != nil {
		return err
	}
	err = tmp.become(renameNew, final)
	if errors.Is(err, fs.ErrExist) {
		return keepSame(ctx, src, dir, name)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

func present(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// keepSame succeeds when the archive has the same content under the name, which
// may not have reached the disk: another push may have died after its rename.
func keepSame(ctx context.Context, src *os.File, dir, name string) error {
	final := filepath.Join(dir, name)
	old, err := openRegular(final)
	if err != nil {
		return err
	}
	defer old.Close()
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	cmp := &comparer{with: old}
	sum, err := copyAll(ctx, cmp, src)
	if err == nil {
		err = cmp.finish()
	}
	if errors.Is(err, errDiffers) {
		return fmt.Errorf("%s and %s differ, and the archived file is never overwritten; compare them, and move the wrong one away", src.Name(), final)
	}
	if err != nil {
		return err
	}
	if err := old.Sync(); err != nil {
		return err
	}
	if err := writeChecksum(dir, name, sum); err != nil {
		return err
	}
	removeLeft(dir, name)
	return syncDir(dir)
}

var errDiffers = errors.New("the content differs")

// comparer is a writer that compares what is written with a file.
type comparer struct {
	with *os.File
	buf  []byte
}

func (c *comparer) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	_, err := io.ReadFull(c.with, c.buf[:len(p)])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.Equal(p, c.buf[:len(p)]):
		return 0, errDiffers
	case err != nil:
		return 0, err
	}
	return len(p), nil
}

// finish reports whether the file has no more than was written.
func (c *comparer) finish() error {
	n, err := c.with.Read(make([]byte, 1))
	if n > 0 {
		return errDiffers
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// copyAll copies a file in large pieces and sums it on the way.
func copyAll(ctx context.Context, dst io.Writer, src io.Reader) (checksum, error) {
	var c checksum
	buf := make([]byte, copyBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		n, err := io.ReadFull(src, buf)
		c.sum = crc32.Update(c.sum, castagnoli, buf[:n])
		c.size += int64(n)
		if _, err := dst.Write(buf[:n]); err != nil {
			return c, err
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return c, nil
		default:
			return c, err
		}
	}
}

// renameNew renames a file and never over another one (renameat2(2)); on a file
// system that cannot do that, such as zfs-fuse, by a link.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return linkNew(from, to)
	case err != nil:
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// linkNew gives a file another name, which must be new, and takes the old one away.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
