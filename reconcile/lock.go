package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another run holds the lock of the site.
var ErrLocked = errors.New("another run of zreconcile is changing this site")

// Lock is the right to change a site. It is a flock(2) on an open file that
// the programs we run inherit: it dies with its holder and with them.
type Lock struct {
	host *Host
	file *os.File
}

const lockPoll = 100 * time.Millisecond

// Lock takes the lock of a site, waiting up to timeout for another run to end;
// the error is ErrLocked where that was too short.
func (h *Host) Lock(ctx context.Context, site string, timeout time.Duration) (*Lock, error) {
	if err := os.MkdirAll(h.Folders.Run, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the lock: %w", err)
	}
	path := h.lockPath(site)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			h.lock = &Lock{host: h, file: f}
			return h.lock, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-waiting.Done():
			_ = f.Close()
			return nil, lockTimeout(ctx, path, timeout)
		case <-time.After(lockPoll):
		}
	}
}

func lockTimeout(ctx context.Context, path string, timeout time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %s was still held after %s, by another apply, snapshot or watch, or by a program that a killed one left at work; wait for it to end, or give a longer --lock-timeout", ErrLocked, path, timeout)
}

// Release gives the lock up. It closes the file and does not unlock it: a
// program that outlived its deadline still shares it, and keeps it.
func (l *Lock) Release() {
	l.host.lock = nil
	_ = l.file.Close()
}
