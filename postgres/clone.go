package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// CloneOptions say how the clone of a standby's data directory is made harmless.
type CloneOptions struct {
	// Mountpoint is where the clone's dataset is mounted, DataDir or a folder
	// above it. Below it no link is trusted. Empty: DataDir itself.
	Mountpoint string
	// Files are written anew into the data directory: postgresql.conf,
	// postgresql.auto.conf, pg_hba.conf, pg_ident.conf.
	Files map[string][]byte
	// Links maps the live storage of pg_wal and of tablespaces to that of the
	// clone: old prefix -> new prefix, of whole path components.
	Links map[string]string
}

// ErrNoBase says that a snapshot can't be the base of a point-in-time recovery.
var ErrNoBase = errors.New("no base for a point-in-time recovery")

// staleFiles would let a clone reach its original, or not be a clone. The pid
// file comes first: with it, pg_ctl stop on the clone stops the live standby.
var staleFiles = []string{
	"postmaster.pid", "postmaster.opts",
	"standby.signal", // wins over recovery.signal, and waits for ever
	"promote", "fallback_promote", "logrotate",
	"current_logfiles",
}

// staleFolders are emptied: slots hold back WAL, and statistics go stale.
var staleFolders = []string{"pg_replslot", "pg_stat_tmp"}

// MakeHarmless turns a fresh clone of a standby's data directory into one that
// can be started beside it for a point-in-time recovery: nothing that names the
// original is left, its configuration files are o.Files, its storage links lead
// into the clone, and recovery.signal is there. It follows no link that the OS
// user may have planted, and refuses, before it changes anything, a directory
// with a server on it, one with a backup_label (ErrNoBase), and a link that
// o.Links does not map. It may be called again.
func (c *Cluster) MakeHarmless(ctx context.Context, o CloneOptions) error {
	root, err := c.openClone(o.Mountpoint)
	if err != nil {
		return err
	}
	defer root.Close()
	links, err := c.checkClone(root, o)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return removeStale(root) },
		func() error { return c.emptyFolders(root, staleFolders) },
		func() error { return removeSockets(root) },
		func() error { return c.replaceLogLinks(root) },
		func() error { return c.mapLinks(root, links) },
		func() error { return c.writeFiles(root, o.Files) },
		func() error { return syncFolder(root, ".") },
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return fmt.Errorf("making the clone %s harmless: %w", c.DataDir, err)
		}
	}
	return nil
}

// openClone opens the data directory by way of the mountpoint, so that no link
// below that leads out of the clone.
func (c *Cluster) openClone(mountpoint string) (*os.Root, error) {
	if mountpoint == "" {
		mountpoint = c.DataDir
	}
	mount, err := os.OpenRoot(mountpoint)
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	below, err := filepath.Rel(mountpoint, c.DataDir)
	if err != nil {
		return nil, err
	}
	root, err := mount.OpenRoot(below)
	if err != nil {
		return nil, fmt.Errorf("the data directory of the clone at %s: %w", mountpoint, err)
	}
	return root, nil
}

// checkClone refuses what can't be made harmless, and returns the links to map.
func (c *Cluster) checkClone(root *os.Root, o CloneOptions) (map[string]string, error) {
	p, err := c.Process()
	if err != nil {
		return nil, err
	}
	if p.Running {
		return nil, fmt.Errorf("a server runs on %s (process %d): stop it first", c.DataDir, p.PID)
	}
	for name := range o.Files {
		if name != filepath.Base(name) || name == "." || name == ".." {
			return nil, fmt.Errorf("%q is no name of a file in a data directory", name)
		}
	}
	if _, err := root.Lstat("backup_label"); err == nil {
		return nil, fmt.Errorf("%w: %s holds a backup_label, so it is a base backup that was not replayed to its end", ErrNoBase, c.DataDir)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := refuseOtherLinks(root, c.DataDir); err != nil {
		return nil, err
	}
	return c.plannedLinks(root, o)
}

// plannedLinks returns name -> new target for each link that leads to live storage.
func (c *Cluster) plannedLinks(root *os.Root, o CloneOptions) (map[string]string, error) {
	links, err := storageLinks(root)
	if err != nil {
		return nil, err
	}
	planned := map[string]string{}
	for _, link := range links {
		if to, ok := mapPrefix(link.target, o.Links); ok {
			planned[link.name] = to
			continue
		}
		if !withinClone(link.target, o.Links) {
			return nil, fmt.Errorf("%s/%s leads to %s, which is live storage that was not cloned with it: the clone would write there", c.DataDir, link.name, link.target)
		}
	}
	return planned, nil
}

// mapPrefix replaces the longest old prefix of whole components.
func mapPrefix(target string, links map[string]string) (string, bool) {
	longest := ""
	for prefix := range links {
		if len(prefix) > len(longest) && isBelow(target, prefix) {
			longest = prefix
		}
	}
	// A clone may be mounted below its original: what is there already, stays.
	if longest == "" || withinClone(target, links) {
		return "", false
	}
	return path.Join(links[longest], strings.TrimPrefix(target, path.Clean(longest))), true
}

// withinClone tells whether a target lies in the clone already, as it does when
// MakeHarmless is called again.
func withinClone(target string, links map[string]string) bool {
	for _, fresh := range links {
		if isBelow(target, fresh) {
			return true
		}
	}
	return false
}

// isBelow: relative targets are below nothing.
func isBelow(target, prefix string) bool {
	prefix = path.Clean(prefix)
	return path.IsAbs(target) && (target == prefix || strings.HasPrefix(target, strings.TrimSuffix(prefix, "/")+"/"))
}

// logFolders are often links to /var/log; the server's data is never in them.
var logFolders = []string{"log", "pg_log"}

// refuseOtherLinks: PostgreSQL supports no further links among its folders, but
// works with them, and such a clone would write to live storage.
func refuseOtherLinks(root *os.Root, dataDir string) error {
	entries, err := readFolder(root, ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if entry.Type()&os.ModeSymlink == 0 || name == "pg_wal" || name == "log" || name == "pg_log" {
			continue
		}
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		at := target
		if !filepath.IsAbs(at) {
			at = filepath.Join(dataDir, at)
		}
		if info, err := os.Stat(at); err == nil && info.IsDir() && !isOwnFile(name) {
			return fmt.Errorf("%s/%s is a link to the folder %s, which was not cloned with it: the clone would write there", dataDir, name, target)
		}
	}
	return nil
}

// isOwnFile: what is removed or replaced anyway may be any link.
func isOwnFile(name string) bool {
	for _, stale := range append(staleFiles, staleFolders...) {
		if name == stale {
			return true
		}
	}
	return false
}

func removeStale(root *os.Root) error {
	for _, name := range staleFiles {
		if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// emptyFolders empties folders of the data directory; a link in place of one is
// replaced by an empty folder.
func (c *Cluster) emptyFolders(root *os.Root, names []string) error {
	for _, name := range names {
		if err := c.folderForLink(root, name); err != nil {
			return err
		}
		entries, err := readFolder(root, name)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := root.RemoveAll(path.Join(name, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) replaceLogLinks(root *os.Root) error {
	for _, name := range logFolders {
		if err := c.folderForLink(root, name); err != nil {
			return err
		}
	}
	return nil
}

// folderForLink puts an empty folder in the place of a link; all else stays.
func (c *Cluster) folderForLink(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode()&os.ModeSymlink == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := root.Remove(name); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o700); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return root.Lchown(name, int(c.User.UID), int(c.User.GID))
}

// removeSockets removes those that a socket folder inside the data directory
// left in it, with their lock files.
func removeSockets(root *os.Root) error {
	entries, err := readFolder(root, ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".s.PGSQL.") {
			if err := root.Remove(entry.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) mapLinks(root *os.Root, planned map[string]string) error {
	for _, name := range sortedKeys(planned) {
		if err := c.User.relink(root, name, planned[name]); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes the configuration, and last the file that makes the next
// start a recovery.
func (c *Cluster) writeFiles(root *os.Root, files map[string][]byte) error {
	for _, name := range sortedKeys(files) {
		if err := replaceFile(root, name, c.User, files[name]); err != nil {
			return err
		}
	}
	return replaceFile(root, "recovery.signal", c.User, nil)
}
