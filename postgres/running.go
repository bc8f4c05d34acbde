package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/conf"
)

// RunningServer is a PostgreSQL server of this host, whoever started it.
type RunningServer struct {
	PID     int    // of the postmaster
	DataDir string // as its postmaster.pid says
	Files   map[string][]byte
}

// RunningServers finds the servers at work by /proc, and reads their
// configuration files (postgresql.conf, zreconcile.conf and
// postgresql.auto.conf). Those of containers, which have programs of their own,
// are left out. One that just starts is waited for, a few seconds at most. Needs
// root; no program is run.
func RunningServers(ctx context.Context) ([]RunningServer, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var servers []RunningServer
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		s, found, err := runningServer(ctx, pid)
		if err != nil {
			return nil, fmt.Errorf("looking at process %d, a PostgreSQL server: %w", pid, err)
		}
		if found {
			servers = append(servers, s)
		}
	}
	sort.Slice(servers, func(i, j int) bool { return servers[i].DataDir < servers[j].DataDir })
	return servers, nil
}

// runningServer tells whether a process is a postmaster: a postgres of our mounts
// whose working directory holds a postmaster.pid that names it.
func runningServer(ctx context.Context, pid int) (s RunningServer, found bool, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	comm, err := os.ReadFile(filepath.Join(proc, "comm"))
	if name := strings.TrimSpace(string(comm)); err != nil || name != "postgres" && name != "postmaster" {
		return s, false, nil
	}
	theirs, err := os.Readlink(filepath.Join(proc, "ns/mnt"))
	if err != nil {
		return s, false, ignoreGone(err)
	}
	if own, err := os.Readlink("/proc/self/ns/mnt"); err != nil || theirs != own {
		return s, false, err
	}
	// By way of the process: that is its directory also where another file system
	// was mounted over its path since.
	dir := filepath.Join(proc, "cwd")
	path, err := os.Readlink(dir) // for a person
	if err != nil {
		return s, false, ignoreGone(err)
	}
	named, err := writtenPostmasterPID(ctx, dir)
	if err != nil && ignoreGone(err) != nil {
		return s, false, fmt.Errorf("%s: %w", filepath.Join(path, "postmaster.pid"), err)
	}
	if err != nil || named.PID != pid {
		return s, false, nil // a client program, or it ended; or one of a postmaster's children
	}
	files, err := (&Cluster{DataDir: dir}).ReadFiles(conf.MainFile, conf.ManagedFile, conf.AutoFile)
	if err != nil {
		return s, false, ignoreGone(err)
	}
	return RunningServer{PID: pid, DataDir: named.DataDir, Files: files}, true, nil
}

// pidFileDeadline is how long a server may take to write the postmaster.pid that
// it has created: two system calls, on a machine that may be loaded.
const pidFileDeadline = 5 * time.Second

// age is how long ago a file was written; one that can't be looked at is new.
func age(path string) time.Duration {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}

// writtenPostmasterPID reads the postmaster.pid of a data directory, and again
// while its first two lines, process number and directory, do not stand there: a
// server that starts creates the file and then writes it. One that was left so long
// ago is not waited for. One that is not there, or goes meanwhile, is fs.ErrNotExist.
func writtenPostmasterPID(ctx context.Context, dir string) (Process, error) {
	for began := time.Now(); ; {
		content, err := readBelow(dir, "postmaster.pid", 64<<10)
		if err != nil {
			return Process{}, err
		}
		if bytes.Count(content, []byte("\n")) >= 2 {
			return parsePostmasterPID(content)
		}
		if time.Since(began) >= pidFileDeadline || age(filepath.Join(dir, "postmaster.pid")) >= pidFileDeadline {
			return Process{}, fmt.Errorf("it holds %q and still no process number and data directory after %s: wait until the server has started, or see its log for why it does not", content, pidFileDeadline)
		}
		select {
		case <-ctx.Done():
			return Process{}, fmt.Errorf("waiting until it is written: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
