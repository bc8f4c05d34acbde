package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

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
// are left out. Needs root; no program is run.
func RunningServers() ([]RunningServer, error) {
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
		s, found, err := runningServer(pid)
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
func runningServer(pid int) (s RunningServer, found bool, err error) {
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
	content, err := readBelow(dir, "postmaster.pid", 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil // a client program, or it ended
	}
	if err != nil {
		return s, false, ignoreGone(err)
	}
	named, err := parsePostmasterPID(content)
	if err != nil || named.PID != pid {
		return s, false, err // one of a postmaster's children
	}
	files, err := (&Cluster{DataDir: dir}).ReadFiles(conf.MainFile, conf.ManagedFile, conf.AutoFile)
	if err != nil {
		return s, false, ignoreGone(err)
	}
	return RunningServer{PID: pid, DataDir: named.DataDir, Files: files}, true, nil
}
