package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is what postmaster.pid says, and whether it is true.
type Process struct {
	PID       int
	DataDir   string // the second line: whose file this is
	SocketDir string
	Port      int
	Status    string // starting, stopping, ready or standby
	StartedAt time.Time
	// Running only when the process is alive, is a postgres, works in our data
	// directory, and the file names our data directory: the file in a fresh
	// clone names the live standby.
	Running bool
	// Foreign when the file names another data directory than ours.
	Foreign bool
}

// Process reads postmaster.pid and looks at the process that it names, in /proc.
// No file is the zero Process. No program is run. A file that a server has just
// created and not written yet is waited for, up to pidFileDeadline.
func (c *Cluster) Process() (Process, error) {
	p, err := writtenPostmasterPID(context.Background(), c.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return Process{}, nil
	}
	if err != nil {
		return Process{}, fmt.Errorf("%s/postmaster.pid: %w", c.DataDir, err)
	}
	p.Foreign = !sameFolder(p.DataDir, c.DataDir)
	if p.Foreign {
		return p, nil
	}
	p.Running, err = servesFolder(p.PID, c.DataDir)
	return p, err
}

// parsePostmasterPID reads the lock file of a data directory (PostgreSQL
// sources, src/include/utils/pidfile.h): pid, data directory, start time, port,
// socket folder, listen address, shared memory key, status. A server that is
// just starting has written only the first lines.
func parsePostmasterPID(b []byte) (Process, error) {
	lines := strings.Split(string(b), "\n")
	line := func(n int) string {
		if n < len(lines) {
			return strings.TrimRight(lines[n], " \r")
		}
		return ""
	}
	pid, err := strconv.Atoi(line(0))
	if err != nil {
		return Process{}, fmt.Errorf("the first line is %q, where a process number is expected", line(0))
	}
	if pid < 0 {
		pid = -pid // a stand-alone backend (postgres --single) marks itself so
	}
	if pid == 0 {
		return Process{}, errors.New("the first line is 0, where a process number is expected")
	}
	p := Process{PID: pid, DataDir: line(1), SocketDir: line(4), Status: line(7)}
	if epoch, err := strconv.ParseInt(line(2), 10, 64); err == nil {
		p.StartedAt = time.Unix(epoch, 0).UTC()
	}
	if port, err := strconv.ParseUint(line(3), 10, 16); err == nil {
		p.Port = int(port)
	}
	return p, nil
}

func sameFolder(a, b string) bool {
	if !filepath.IsAbs(a) || !filepath.IsAbs(b) {
		return false
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// servesFolder tells whether pid is a PostgreSQL server at work in dir: it
// changes to its data directory when it starts. A zombie has no directory.
func servesFolder(pid int, dir string) (bool, error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	comm, err := os.ReadFile(filepath.Join(proc, "comm"))
	if err != nil {
		return false, ignoreGone(err)
	}
	if name := strings.TrimSpace(string(comm)); name != "postgres" && name != "postmaster" {
		return false, nil // the number was given to somebody else since
	}
	cwd, err := os.Stat(filepath.Join(proc, "cwd"))
	if errors.Is(err, fs.ErrPermission) {
		return false, fmt.Errorf("process %d is a PostgreSQL server of another user, and which one can't be told: run this as root", pid)
	}
	if err != nil {
		return false, ignoreGone(err)
	}
	own, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	return os.SameFile(cwd, own), nil
}

// ignoreGone maps "that process is gone" to nil. Reading in /proc says ESRCH
// when it went between opening and reading.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "no such process") {
		return nil
	}
	return err
}

// ErrForeignPID says that postmaster.pid names another cluster's data
// directory. Nothing may be stopped by way of such a file.
var ErrForeignPID = errors.New("postmaster.pid was copied from another data directory")

func (p Process) foreignError(dataDir string) error {
	return fmt.Errorf("%w: %s/postmaster.pid names %s (process %d); remove it once you are sure that no server runs on %s",
		ErrForeignPID, dataDir, p.DataDir, p.PID, dataDir)
}
