package postgres

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listener is a program that accepts TCP connections on a port of this host.
type Listener struct {
	Port    int
	PID     int    // 0 where it can't be told: only root may look
	Program string // its name, "" where it can't be told
}

func (l Listener) String() string {
	if l.PID == 0 {
		return "another program"
	}
	return fmt.Sprintf("%s (process %d)", l.Program, l.PID)
}

// stateListen is TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h).
const stateListen = "0A"

// Listeners reads who listens on some ports, from /proc (manual page
// proc_pid_net); no program is run.
func Listeners(wanted ...int) ([]Listener, error) {
	ports := map[string]int{} // by inode of the socket
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if err := listening(file, ports); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading who listens: %w", err)
		}
	}
	maps.DeleteFunc(ports, func(_ string, port int) bool { return !slices.Contains(wanted, port) })
	if len(ports) == 0 {
		return nil, nil // the files of all processes need not be looked at
	}
	var list []Listener
	owners := socketOwners(ports)
	for inode, port := range ports {
		l := owners[inode]
		l.Port = port
		list = append(list, l)
	}
	return list, nil
}

func listening(file string, ports map[string]int) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			continue
		}
		ports[fields[9]] = int(port)
	}
	return lines.Err()
}

// socketOwners finds the processes that have the sockets open. What may not be
// looked at stays unknown.
func socketOwners(inodes map[string]int) map[string]Listener {
	owners := map[string]Listener{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
		if _, wanted := inodes[inode]; !wanted || inode == target {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			continue
		}
		if have, known := owners[inode]; known && have.PID < pid {
			continue // the parent, which a fork inherited from, is told
		}
		name, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
		owners[inode] = Listener{PID: pid, Program: strings.TrimSpace(string(name))}
	}
	return owners
}
