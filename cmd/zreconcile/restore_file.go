package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/zreconcile/zreconcile/spec"
)

// entryFile is the file of site.d that holds one restore alone.
type entryFile struct {
	path    string
	site    string // the site file: who may read and write that may do so here
	before  []byte // its content; nil where there is none
	madeDir bool
}

// readEntryFile reads the file of a restore, if there is one.
func readEntryFile(site, name string) (*entryFile, error) {
	f := &entryFile{path: spec.EntryPath(site, name), site: site}
	var err error
	if f.before, err = os.ReadFile(f.path); errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	return f, err
}

func (f *entryFile) exists() bool { return f.before != nil }

// alone makes sure that the entry of this name stands in its own file or
// nowhere, and nothing else in that file: what a person wrote is a person's to
// change.
func (f *entryFile) alone(site *spec.Site, name string) error {
	for _, r := range site.Restores {
		switch {
		case r.Name == name && r.Pos.File != f.path:
			return fmt.Errorf("the restore %s stands at %s:%d: change it or take it out there, and run zreconcile apply; nothing was done", name, r.Pos.File, r.Pos.Line)
		case r.Name != name && r.Pos.File == f.path:
			return fmt.Errorf("%s:%d holds the restore %s: this command keeps a file for %s alone; change it or take it out there, and run zreconcile apply; nothing was done", r.Pos.File, r.Pos.Line, r.Name, name)
		}
	}
	return nil
}

// write replaces the file as a whole. Files are as open as the site file is.
func (f *entryFile) write(content []byte) error {
	info, err := os.Stat(f.site)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	dir := filepath.Dir(f.path)
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		f.madeDir = true
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("making the folder of more restores: %w", err)
	}
	pending, err := renameio.NewPendingFile(f.path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(info.Mode().Perm()))
	if err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	defer func() { _ = pending.Cleanup() }() // after the rename there is nothing to clean
	if err := pending.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	if _, err := pending.Write(content); err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	if err := pending.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("writing %s: %w", f.path, err)
	}
	return nil
}

// putBack leaves what was there before write.
func (f *entryFile) putBack() error {
	if f.exists() {
		return f.write(f.before)
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.madeDir {
		_ = os.Remove(filepath.Dir(f.path)) // somebody else may use it since
	}
	return nil
}
