package reconcile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A watch claims its site for as long as it lives, which forbids nobody
// anything: it lets eject tell whether one runs. The claim is a shared lock of an
// open file description on the file of the site's lock (fcntl(2), "Open file
// description locks"), which does not meet the flock(2) that changes are made
// under, and dies with its process.
type watchClaim struct {
	site string
	file *os.File
}

// byteLock is a lock of one byte of the lock's file.
func byteLock(kind int16, at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: 1}
}

func (h *Host) lockPath(site string) string { return filepath.Join(h.Folders.Run, site+".lock") }

// claim makes the claim that of the site, once its name is known or changed.
func (h *Host) claim(c *watchClaim, site string) error {
	if c.site == site {
		return nil
	}
	f, err := h.openLock(site)
	if err != nil {
		return err
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, byteLock(unix.F_RDLCK, watchByte)); err != nil {
		_ = f.Close()
		return fmt.Errorf("claiming %s: %w", f.Name(), err)
	}
	c.release()
	c.site, c.file = site, f
	return nil
}

func (c *watchClaim) release() {
	if c.file != nil {
		_ = c.file.Close()
	}
}

// watched tells whether a watch of the site runs.
func (h *Host) watched(site string) (bool, error) {
	f, err := os.OpenFile(h.lockPath(site), os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the lock: %w", err)
	}
	defer f.Close()
	asked := byteLock(unix.F_WRLCK, watchByte)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, asked); err != nil {
		return false, fmt.Errorf("asking for a watch of site %s: %w", site, err)
	}
	return asked.Type != unix.F_UNLCK, nil
}
