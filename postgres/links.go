package postgres

import (
	"errors"
	"os"
	"path"
)

// storageLink is a link of a data directory that leads to storage outside.
type storageLink struct {
	name   string // below the data directory: pg_wal, or pg_tblspc/16384
	target string // as it stands in the link
}

// storageLinks lists a linked pg_wal and the tablespaces (PostgreSQL
// documentation, "Database File Layout").
func storageLinks(root *os.Root) ([]storageLink, error) {
	names := []string{"pg_wal"}
	entries, err := readFolder(root, "pg_tblspc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		names = append(names, path.Join("pg_tblspc", entry.Name()))
	}
	var links []storageLink
	for _, name := range names {
		info, err := root.Lstat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			continue // pg_wal inside; or a tablespace in place
		}
		target, err := root.Readlink(name)
		if err != nil {
			return nil, err
		}
		links = append(links, storageLink{name: name, target: path.Clean(target)})
	}
	return links, nil
}

// readFolder lists a folder below root, in no order. A missing one is empty.
func readFolder(root *os.Root, name string) ([]os.DirEntry, error) {
	f, err := root.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// relink puts a link of u's to target in the place of the one called name.
func (u OSUser) relink(root *os.Root, name, target string) error {
	fresh := name + PartialSuffix
	if err := root.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := root.Symlink(target, fresh); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := root.Lchown(fresh, int(u.UID), int(u.GID)); err != nil {
			return err
		}
	}
	if err := root.Rename(fresh, name); err != nil {
		return err
	}
	return syncFolder(root, path.Dir(name))
}
