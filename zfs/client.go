// Package zfs is a typed client of the command line tools zfs and zpool. It works with OpenZFS 2.0 and
// later and with zfs-fuse 0.7, and asks the tools what they can do instead of asking for their version.
package zfs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Deadlines of single commands. A suspended pool keeps a command in the kernel for ever; a run that waits
// with it would hold the site's lock.
const (
	listDeadline   = 60 * time.Second
	changeDeadline = 10 * time.Minute
)

// suspendedFor is how long a command may stay while the kernel says that its pool is suspended. What comes back by
// itself, as zpool status does, is there by then.
const suspendedFor = 5 * time.Second

// afterKill is how long a killed command may take to go before it is left behind: in an uninterruptible
// wait of the kernel it does not even die.
const afterKill = 5 * time.Second

// Client runs zfs and zpool. It may be used by several goroutines.
type Client struct {
	// Run executes a command; nil means (*exec.Cmd).Run. Logging, counting and faults are decorators of it.
	Run func(*exec.Cmd) error
	// BusyTimeout bounds the retries of what is refused as busy; 0 means 20 seconds.
	BusyTimeout time.Duration
	// Kstat is the folder where the kernel tells of pools; "" means /proc/spl/kstat/zfs.
	Kstat string

	mu       sync.Mutex
	zfsText  string // usage text of zfs, "" until asked
	poolText string // usage text of zpool, or that of `zpool get` where this was seen first
	// Native dataset properties that the tool said it supports; nil until it refused one.
	supported map[string]bool
}

// New returns a client whose commands run through run.
func New(run func(*exec.Cmd) error) *Client { return &Client{Run: run} }

// list runs a command that only reads and returns its standard output.
func (c *Client) list(ctx context.Context, target string, argv ...string) (string, error) {
	var out bytes.Buffer
	err := c.stream(ctx, listDeadline, &out, target, argv...)
	if errors.Is(err, ErrDeadline) || errors.Is(err, ErrCanceled) || errors.Is(err, ErrSuspended) {
		return "", err // the command may still be writing
	}
	return out.String(), err
}

// change runs a command that changes something.
func (c *Client) change(ctx context.Context, target string, argv ...string) error {
	return c.stream(ctx, changeDeadline, io.Discard, target, argv...)
}

// stream runs a command under a deadline of its own and gives its standard output to out. An error is an
// *Error. After ErrDeadline, ErrCanceled and ErrSuspended, out may still be written to and must not be looked at.
func (c *Client) stream(ctx context.Context, deadline time.Duration, out io.Writer, target string, argv ...string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go c.whileServed(ctx, target, giveUp)
	run := c.Run
	if run == nil {
		run = (*exec.Cmd).Run
	}
	return execute(ctx, run, out, target, argv)
}

// whileServed ends a command with ErrSuspended when the pool of its target has lost its devices meanwhile.
func (c *Client) whileServed(ctx context.Context, target string, giveUp context.CancelCauseFunc) {
	pool := poolOf(target)
	if c.KernelState(pool) == "" {
		return // nothing would tell
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for suspended := time.Duration(0); suspended < suspendedFor; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if suspended += time.Second; c.KernelState(pool) != Suspended {
			suspended = 0
		}
	}
	giveUp(ErrSuspended)
}

// poolOf is the pool of a dataset or snapshot.
func poolOf(name string) string {
	if at := strings.IndexAny(name, "/@#"); at >= 0 {
		return name[:at]
	}
	return name
}

// execute runs argv and types its failure. It returns soon after the end of ctx even when the command
// cannot be killed.
func execute(ctx context.Context, run func(*exec.Cmd) error, out io.Writer, target string, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// ZPOOL_VDEV_NAME_PATH: full device paths (zpool(8), ENVIRONMENT), without the flag that zfs-fuse lacks.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "ZPOOL_VDEV_NAME_PATH=YES")
	cmd.Stdout = out
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = afterKill

	done := make(chan error, 1)
	go func() { done <- run(cmd) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(2 * afterKill):
			err = ctx.Err()
		}
	}
	if err == nil {
		return nil
	}
	return newError(ctx, err, argv, target, stderr.String())
}

// lockedBuffer can be read while an abandoned command still writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
