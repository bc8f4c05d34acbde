package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// fileID identifies a file by size and time; a missing one is the zero value.
func fileID(path string) (FileID, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return FileID{}, nil
	}
	if err != nil {
		return FileID{}, err
	}
	return FileID{Size: info.Size(), ModTime: info.ModTime()}, nil
}

// installProgram puts a program in place by rename, since a running one can't
// be written to, with the time of its original, by which copies are told.
func installProgram(path string, content []byte, mtime time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("the folder of the program that PostgreSQL calls: %w", err)
	}
	f, err := renameio.NewPendingFile(path, renameio.WithStaticPermissions(0o755))
	if err != nil {
		return fmt.Errorf("installing the program that PostgreSQL calls: %w", err)
	}
	defer f.Cleanup()
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("installing %s: %w", path, err)
	}
	if err := os.Chtimes(f.Name(), mtime, mtime); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}
