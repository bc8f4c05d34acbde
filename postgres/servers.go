package postgres

import (
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// RunningServers lists the data directories of the PostgreSQL servers that run
// on this host, sorted, from /proc: a server works in its data directory, and
// postmaster.pid there names the process that began it. No program is run. What
// may not be looked at, as an ordinary user, is left out.
func RunningServers() []string {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	var dirs []string
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if word := strings.TrimSpace(string(comm)); err != nil || word != "postgres" && word != "postmaster" {
			continue
		}
		proc := filepath.Dir(name)
		dir, err := os.Readlink(filepath.Join(proc, "cwd"))
		if err != nil {
			continue // it has ended, or is not ours to look at
		}
		b, err := readBelow(dir, "postmaster.pid", 64<<10)
		if err != nil {
			continue // its child, at work elsewhere
		}
		if p, err := parsePostmasterPID(b); err == nil && strconv.Itoa(p.PID) == filepath.Base(proc) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// IsCluster tells whether dir is a data directory.
func IsCluster(dir string) bool {
	for _, name := range []string{"PG_VERSION", "global/pg_control"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// Owner is the account that a file or folder belongs to.
func Owner(file string) (OSUser, error) {
	info, err := os.Stat(file)
	if err != nil {
		return OSUser{}, err
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(info.Sys().(*syscall.Stat_t).Uid), 10))
	if err != nil {
		return OSUser{}, err
	}
	return LookupOSUser(u.Username)
}

// Storage is where a data directory keeps what is not in it.
type Storage struct {
	WALDir      string            // that pg_wal is a link to; "" is inside
	Tablespaces map[string]string // folders by OID
}

// Storage reads the links of the data directory.
func (c *Cluster) Storage() (Storage, error) {
	s := Storage{Tablespaces: map[string]string{}}
	root, err := os.OpenRoot(c.DataDir)
	if err != nil {
		return s, err
	}
	defer root.Close()
	links, err := storageLinks(root)
	for _, l := range links {
		if folder, oid := path.Split(l.name); folder == "" {
			s.WALDir = l.target
		} else {
			s.Tablespaces[oid] = l.target
		}
	}
	return s, err
}

// StartedWith is the command line that the server of this data directory was
// last started with (its file postmaster.opts): the program, then its options.
// The server writes each option in double quotes. Nil is not known.
func (c *Cluster) StartedWith() []string {
	b, err := readBelow(c.DataDir, "postmaster.opts", 64<<10)
	if err != nil {
		return nil
	}
	program, rest, _ := strings.Cut(strings.TrimSpace(string(b)), ` "`)
	words := []string{program}
	if rest != "" {
		words = append(words, strings.Split(strings.TrimSuffix(rest, `"`), `" "`)...)
	}
	return words
}
