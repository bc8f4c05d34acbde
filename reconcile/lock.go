package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another run holds the lock of the site.
var ErrLocked = errors.New("another run of zreconcile is changing this site")

// Lock is the right to change a site. It has two parts on one file: flock(2),
// for all changes, and a lock of the open file description (fcntl(2)) on the
// byte standbyByte, for the standby and its snapshots. Who holds the first gives
// the second up while a step takes long and is about a clone alone, so that
// snapshots are taken and the standby is looked after meanwhile (see aside).
//
// Programs that we run inherit the open files: a lock dies with its holder and
// with them.
type Lock struct {
	host    *Host
	site    string
	all     *os.File // nil is not held
	standby *os.File // nil is not held
}

// The bytes of the lock's file that are locked. What stands in them is for people.
const (
	watchByte   = 0
	standbyByte = 1
	urgentByte  = 2 // by each urgent run that waits
)

const lockPoll = 100 * time.Millisecond

// Lock takes the lock of a site, waiting up to timeout for another run to end;
// the error is ErrLocked where that was too short. An urgent run goes first.
func (h *Host) Lock(ctx context.Context, site string, timeout time.Duration) (*Lock, error) {
	return h.take(ctx, site, timeout, func(f *os.File) error {
		if urgent, err := h.byteHeld(site, urgentByte); err == nil && urgent {
			return unix.EWOULDBLOCK
		}
		return lockAll(f)
	})
}

// take takes both parts of the lock, the first by a way of its own.
func (h *Host) take(ctx context.Context, site string, timeout time.Duration, first func(*os.File) error) (*Lock, error) {
	ctx, cancel := h.lockDeadline(ctx, site, timeout)
	defer cancel()
	all, err := h.awaitLock(ctx, site, first)
	if err != nil {
		return nil, err
	}
	_ = all.Truncate(0) // what the holder before said is none of whoever has the rest
	standby, err := h.awaitLock(ctx, site, lockStandby)
	if err != nil {
		_ = all.Close()
		return nil, err
	}
	h.lock = &Lock{host: h, site: site, all: all, standby: standby}
	h.lock.doing("its beginning")
	return h.lock, nil
}

// LockUrgently is Lock for what can't wait: a drill that is made by a schedule
// gives way to it, and the run that made it, or any other, does not take the lock
// again before it.
func (h *Host) LockUrgently(ctx context.Context, site string, timeout time.Duration) (*Lock, error) {
	sign, err := h.openLock(site)
	if err != nil {
		return nil, err
	}
	defer sign.Close()
	if err := unix.FcntlFlock(sign.Fd(), unix.F_OFD_SETLK, byteLock(unix.F_RDLCK, urgentByte)); err != nil {
		return nil, fmt.Errorf("locking %s: %w", sign.Name(), err)
	}
	return h.take(ctx, site, timeout, lockAll)
}

// LockStandby takes that part of the lock alone which guards the standby and its
// snapshots: a long step of another run lets it be had.
func (h *Host) LockStandby(ctx context.Context, site string, timeout time.Duration) (*Lock, error) {
	ctx, cancel := h.lockDeadline(ctx, site, timeout)
	defer cancel()
	standby, err := h.awaitLock(ctx, site, lockStandby)
	if err != nil {
		return nil, err
	}
	h.lock = &Lock{host: h, site: site, standby: standby}
	return h.lock, nil
}

// lockDeadline ends the wait for a lock with an error that says so.
func (h *Host) lockDeadline(ctx context.Context, site string, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, lockTimeout{path: h.lockPath(site), after: timeout})
}

// lockTimeout is ErrLocked, with what the holder last said of itself.
type lockTimeout struct {
	path  string
	after time.Duration
}

func (lockTimeout) Unwrap() error { return ErrLocked }

func (e lockTimeout) Error() string {
	holder := "by another apply, snapshot or watch"
	if said, err := os.ReadFile(e.path); err == nil && len(said) > 0 {
		holder = "by " + strings.TrimSpace(string(said))
	}
	return fmt.Sprintf("%v: %s was still held after %s, %s, or by a program that a killed run left at work; wait for it to end, or give a longer --lock-timeout", ErrLocked, e.path, e.after, holder)
}

// doing notes in the lock's file what its holder is at, for those who wait.
func (l *Lock) doing(step string) {
	if l == nil || l.all == nil {
		return
	}
	said := fmt.Sprintf("process %d, which is at %s since %s\n", os.Getpid(), step, FormatTime(l.host.Clock()))
	if _, err := l.all.WriteAt([]byte(said), 0); err == nil {
		_ = l.all.Truncate(int64(len(said))) // without it those who wait are told less, and no more
	}
}

func lockAll(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func lockStandby(f *os.File) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, byteLock(unix.F_WRLCK, standbyByte))
}

// openLock opens the file of a site's locks.
func (h *Host) openLock(site string) (*os.File, error) {
	if err := os.MkdirAll(h.Folders.Run, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of the lock: %w", err)
	}
	f, err := os.OpenFile(h.lockPath(site), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	return f, nil
}

// awaitLock tries to lock until it can be had, or ctx ends with its cause.
func (h *Host) awaitLock(ctx context.Context, site string, lock func(*os.File) error) (*os.File, error) {
	f, err := h.openLock(site)
	if err != nil {
		return nil, err
	}
	for {
		err := lock(f)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EACCES) { // fcntl(2) may give either
			_ = f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// byteLock is a lock of one byte of the lock's file.
func byteLock(kind int16, at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: 1}
}

// byteHeld tells whether somebody holds a byte of the lock's file. It makes none.
func (h *Host) byteHeld(site string, at int64) (bool, error) {
	f, err := os.OpenFile(h.lockPath(site), os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the lock: %w", err)
	}
	defer f.Close()
	asked := byteLock(unix.F_WRLCK, at)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, asked); err != nil {
		return false, fmt.Errorf("asking who holds the lock of site %s: %w", site, err)
	}
	return asked.Type != unix.F_UNLCK, nil
}

// aside runs a step that may take hours and is about a clone alone: its recovery,
// the checks of a drill. Another run may care for the standby meanwhile, and the
// end of that is waited for: it may take longer than the step itself, such as the
// start of a standby that crashed, so that ctx must not have the step's deadline.
func (h *Host) aside(ctx context.Context, step func() error) error {
	if l := h.lock; l != nil && l.all != nil && l.standby != nil {
		_ = l.standby.Close()
		l.standby = nil
	}
	err := step()
	return errors.Join(err, h.whole(ctx))
}

// whole takes the part of the lock back that a long step gave up.
func (h *Host) whole(ctx context.Context) (err error) {
	l := h.lock
	if l == nil || l.all == nil || l.standby != nil {
		return nil
	}
	if l.standby, err = h.awaitLock(ctx, l.site, lockStandby); err != nil {
		return hostError{err}
	}
	return nil
}

// files are those that a program which we run inherits.
func (l *Lock) files() []*os.File {
	var held []*os.File
	for _, f := range []*os.File{l.all, l.standby} {
		if f != nil {
			held = append(held, f)
		}
	}
	return held
}

// Release gives the lock up. It closes the files and does not unlock them: a
// program that outlived its deadline still shares them, and keeps the lock.
func (l *Lock) Release() {
	l.host.lock = nil
	for _, f := range l.files() {
		_ = f.Close()
	}
}
