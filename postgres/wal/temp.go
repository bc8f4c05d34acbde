package wal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// tempFile is a file of the archive that has not got its name yet. Its temporary
// name is always the same, so that what a push that was killed left is found
// without a look at all names of the archive, of which there may be thousands. Who
// has it locked (flock(2)) is at work with it; the lock ends with the process.
type tempFile struct {
	*os.File
	named bool
}

// tempName begins with a dot, so that no listing takes the file for WAL.
func tempName(name string) string { return "." + name + ".push" }

// createTemp makes the temporary file of a name, empty, or takes over the one that
// was left.
func createTemp(dir, name string) (*tempFile, error) {
	path := filepath.Join(dir, tempName(name))
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = errors.New("another push of it is at work")
			}
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		ours, err := onlyAt(f, path)
		if err == nil && ours {
			err = f.Truncate(0)
		}
		if err == nil && ours {
			return &tempFile{File: f}, nil
		}
		_ = f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// onlyAt reports whether an open file has this name and no other. One that has
// become an archived file meanwhile lost the name or, where that was done by a
// link and its push was killed then, has both: that name is taken from it.
func onlyAt(f *os.File, path string) (bool, error) {
	same, err := isAt(f, path)
	if err != nil || !same {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		return false, os.Remove(path)
	}
	return true, nil
}

// become gives the file its name, by a way of renaming.
func (t *tempFile) become(rename func(from, to string) error, path string) error {
	err := rename(t.Name(), path)
	t.named = err == nil
	return err
}

// discard closes the file, and removes it unless it got its name.
func (t *tempFile) discard() {
	if !t.named { // still locked: nobody else's has the temporary name
		_ = os.Remove(t.Name())
	}
	_ = t.Close()
}

// removeLeft removes the temporary file of a push that was killed once the archived
// file had its name. That it can't is no failure of what is archived.
func removeLeft(dir, name string) {
	if _, err := os.Lstat(filepath.Join(dir, tempName(name))); err != nil {
		return
	}
	if left, err := createTemp(dir, name); err == nil {
		left.discard()
	}
}
