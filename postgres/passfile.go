package postgres

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// WritePassfile writes lines in libpq's format (see conf.PassfileLine) to path,
// readable by u alone, as libpq demands. Its place must be outside the data
// directory, so that no snapshot holds it. An equal file is not written again;
// changed tells which.
func WritePassfile(path string, u OSUser, lines []string) (changed bool, err error) {
	content := []byte(strings.Join(lines, "\n") + "\n")
	dir, err := u.ownFolder(filepath.Dir(path))
	if err != nil {
		return false, fmt.Errorf("the folder of the passfile: %w", err)
	}
	defer dir.Close()
	name := filepath.Base(path)
	if holds(dir, name, u, content) {
		return false, nil
	}
	if err := replaceFile(dir, name, u, content); err != nil {
		return false, fmt.Errorf("writing the passfile %s: %w", path, err)
	}
	return true, nil
}

// holds tells whether name is a plain file of u's alone with that content.
func holds(dir *os.Root, name string, u OSUser, content []byte) bool {
	info, err := dir.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 || !owned(info, u) {
		return false
	}
	have, err := dir.ReadFile(name)
	return err == nil && bytes.Equal(have, content)
}

// replaceFile puts a file of u's, mode 0600, in the place of whatever bears the
// name in dir, a link included, and makes that last.
func replaceFile(dir *os.Root, name string, u OSUser, content []byte) error {
	f, err := renameio.NewPendingFile(name, renameio.WithRoot(dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := u.own(f.File); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncFolder(dir, ".")
}

// syncFolder makes renames in a folder outlast a power cut.
func syncFolder(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
