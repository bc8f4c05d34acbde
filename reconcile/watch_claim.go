package reconcile

import (
	"fmt"
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
func (h *Host) watched(site string) (bool, error) { return h.byteHeld(site, watchByte) }
