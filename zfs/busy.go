package zfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const defaultBusyTimeout = 20 * time.Second

// whileBusy tries again what ZFS refuses as busy: right after a server stopped, an unmount or a clone it
// often is, for a second. At the end the error names who holds the dataset.
func (c *Client) whileBusy(ctx context.Context, name string, attempt func() error) error {
	limit := c.BusyTimeout
	if limit == 0 {
		limit = defaultBusyTimeout
	}
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = 50*time.Millisecond, 2*time.Second
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = attempt()
		if last != nil && !errors.Is(last, ErrBusy) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(limit))
	if err == nil {
		return nil
	}
	var failed *Error
	if errors.As(last, &failed) && failed.Kind == ErrBusy {
		held := *failed
		held.Stderr = firstLines(failed.Stderr, 2) + heldBy(Holders(name))
		return &held
	}
	return last
}

func heldBy(holders []string) string {
	if len(holders) == 0 {
		return " (no process with an open file or working directory in it was found)"
	}
	return " (held by " + strings.Join(holders[:min(len(holders), 5)], "; ") + ")"
}

// Holders names who keeps a dataset busy, as far as /proc shows: processes with a root, working directory,
// program or open file in it, mounts inside it, and other mount namespaces where it is mounted.
func Holders(dataset string) []string {
	own, err := mountsOf("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var holders []string
	var target string
	for _, m := range own {
		if m.IsZFS() && m.Source == dataset {
			target = m.Target
		}
	}
	for _, m := range own {
		if target != "" && m.Target != target && Below(m.Target, target) {
			holders = append(holders, fmt.Sprintf("mount of %s at %s", m.Source, m.Target))
		}
	}
	here, _ := os.Readlink("/proc/self/ns/mnt")
	namespaces := map[string]bool{here: true}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range processes {
		if use := useOf(proc, target); use != "" {
			holders = append(holders, describe(proc)+" has "+use)
		}
		if ns, err := os.Readlink(proc + "/ns/mnt"); err == nil && !namespaces[ns] {
			namespaces[ns] = true
			if mountedIn(proc, dataset) {
				holders = append(holders, "mount namespace of "+describe(proc))
			}
		}
	}
	slices.Sort(holders)
	return holders
}

// useOf says what of a process lies in dir, or "".
func useOf(proc, dir string) string {
	if dir == "" {
		return ""
	}
	for link, use := range map[string]string{"cwd": "its working directory", "root": "its root", "exe": "its program"} {
		if path, err := os.Readlink(filepath.Join(proc, link)); err == nil && Below(path, dir) {
			return use + " " + path
		}
	}
	files, _ := os.ReadDir(filepath.Join(proc, "fd"))
	for _, f := range files {
		if path, err := os.Readlink(filepath.Join(proc, "fd", f.Name())); err == nil && Below(path, dir) {
			return "open file " + path
		}
	}
	return ""
}

func mountedIn(proc, dataset string) bool {
	mounts, err := mountsOf(filepath.Join(proc, "mountinfo"))
	return err == nil && slices.ContainsFunc(mounts, func(m mountLine) bool { return m.IsZFS() && m.Source == dataset })
}

// describe names a process by number and command name.
func describe(proc string) string {
	comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
	return fmt.Sprintf("process %s (%s)", filepath.Base(proc), strings.TrimSpace(string(comm)))
}
