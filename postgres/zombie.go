package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clearZombie takes away the postmaster.pid of a postmaster that was killed and
// that nobody has reaped yet, and its socket's lock file. The server takes such a process for a living one
// (CreateLockFile in miscinit.c asks with kill(pid, 0)) and refuses to start;
// in a container whose first process reaps late, for many seconds. The file is
// only removed when no process is left at work in the data directory, which is
// what the server's own check is for.
func (c *Cluster) clearZombie(ctx context.Context, p Process) error {
	ctx, cancel := context.WithTimeout(ctx, zombieDeadline)
	defer cancel()
	for p.PID != 0 && isZombie(p.PID) {
		busy, err := worksIn(c.DataDir)
		if err != nil {
			return err
		}
		if busy == 0 {
			return c.removeLocks(p)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the postmaster of %s (process %d) was killed, and its process %d still works there: end it first", c.DataDir, p.PID, busy)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// zombieDeadline is how long the children of a killed postmaster get to notice.
const zombieDeadline = 30 * time.Second

// removeLocks removes the socket's lock file, where it names the same process
// and data directory, and last the one that tells of it.
func (c *Cluster) removeLocks(p Process) error {
	if filepath.IsAbs(p.SocketDir) {
		name := fmt.Sprintf(".s.PGSQL.%d.lock", p.Port)
		b, err := readBelow(p.SocketDir, name, 64<<10)
		if lock, bad := parsePostmasterPID(b); err == nil && bad == nil && lock.PID == p.PID && sameFolder(lock.DataDir, c.DataDir) {
			if err := removeBelow(p.SocketDir, name); err != nil {
				return err
			}
		}
	}
	return removeBelow(c.DataDir, "postmaster.pid")
}

// removeBelow removes a file of dir, not what a link in its place leads to.
func removeBelow(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isZombie reads the state of a process (manual page proc_pid_stat): the field
// behind the name, which may itself hold parentheses.
func isZombie(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	at := bytes.LastIndexByte(stat, ')')
	return at >= 0 && at+2 < len(stat) && stat[at+2] == 'Z'
}

// worksIn finds a process whose working directory is dir, as that of all of a
// server's is; 0 is none.
func worksIn(dir string) (pid int, err error) {
	own, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		if at, err := os.Stat(link); err == nil && os.SameFile(at, own) {
			pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(link)))
			return pid, nil
		}
	}
	return 0, nil
}
