package postgres

import (
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

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

// ConfigFile is the configuration file that the server of this data directory
// was last started with; "" is that of the data directory.
func (c *Cluster) ConfigFile() string {
	for _, word := range c.StartedWith() {
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		if name == "config_file" || name == "config-file" {
			return value
		}
	}
	return ""
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
