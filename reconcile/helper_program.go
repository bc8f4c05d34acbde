package reconcile

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// headBytes are where Go's linker puts the build ID, which no two builds share.
const headBytes = 4096

// fileID identifies a file by size, time and head: packages that were built of one
// commit have all files of one time, and often of one size. A missing one is the
// zero value.
func fileID(path string) (FileID, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return FileID{}, nil
	}
	if err != nil {
		return FileID{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return FileID{}, err
	}
	id, err := contentID(f, info.Size(), info.ModTime())
	if err != nil {
		return FileID{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return id, nil
}

func contentID(content io.Reader, size int64, modTime time.Time) (FileID, error) {
	head, err := io.ReadAll(io.LimitReader(content, headBytes))
	return FileID{Size: size, ModTime: modTime, Head: sha256.Sum256(head)}, err
}

// replaced is true once another program lies where this one was started from, or
// none: after an upgrade, which program PostgreSQL is to call is for that one to say.
func (h *Host) replaced() (bool, error) {
	now, err := fileID(h.Self)
	return h.self != (FileID{}) && now != h.self, err
}

// programID is the helper's as it should be: that of Self or, with the time of
// Self, of the program that it has for PostgreSQL. One that is there stays where
// Self was replaced.
func (h *Host) programID(helper FileID) (FileID, error) {
	replaced, err := h.replaced()
	if err != nil || replaced && helper != (FileID{}) {
		return helper, err
	}
	self, err := fileID(h.Self)
	if err != nil || h.WALProgram == "" || self == (FileID{}) {
		return self, err
	}
	return contentID(strings.NewReader(h.WALProgram), int64(len(h.WALProgram)), self.ModTime)
}

// copyProgram keeps a copy of this program for PostgreSQL to call: where the
// package is removed, a missing restore_command would stop the server.
func (h *Host) copyProgram(path string) error {
	have, err := fileID(path)
	if want, wantErr := h.programID(have); wantErr == nil && err == nil && want == have {
		return nil
	}
	info, err := os.Stat(h.Self)
	if err != nil {
		return err
	}
	content := []byte(h.WALProgram)
	if h.WALProgram == "" {
		if content, err = os.ReadFile(h.Self); err != nil {
			return fmt.Errorf("reading this program to keep a copy for PostgreSQL: %w", err)
		}
	}
	return installProgram(path, content, info.ModTime())
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
