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

func claimRange(kind int16) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: 0, Len: 1}
}

func (h *Host) lockPath(site string) string { return filepath.Join(h.Folders.Run, site+".lock") }

// claim makes the claim that of the site, once its name is known or changed.
func (h *Host) claim(c *watchClaim, site string) error {
	if c.site == site {
		return nil
	}
	if err := os.MkdirAll(h.Folders.Run, 0o755); err != nil {
		return fmt.Errorf("making the folder of the lock: %w", err)
	}
	f, err := os.OpenFile(h.lockPath(site), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, claimRange(unix.F_RDLCK)); err != nil {
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
	asked := claimRange(unix.F_WRLCK)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, asked); err != nil {
		return false, fmt.Errorf("asking for a watch of site %s: %w", site, err)
	}
	return asked.Type != unix.F_UNLCK, nil
}
