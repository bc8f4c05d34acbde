package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// WriteFiles puts files of the OS user's, mode 0600, into the data directory,
// each by rename, following no link that the OS user planted there.
func (c *Cluster) WriteFiles(files map[string][]byte) error {
	root, err := os.OpenRoot(c.DataDir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range sortedKeys(files) {
		if name != filepath.Base(name) {
			return fmt.Errorf("%q is no name of a file in a data directory", name)
		}
		if err := replaceFile(root, name, c.User, files[name]); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(c.DataDir, name), err)
		}
	}
	return nil
}

// ReadFiles reads the named plain files of the data directory that are there.
func (c *Cluster) ReadFiles(names ...string) (map[string][]byte, error) {
	const limit = 16 << 20
	files := map[string][]byte{}
	for _, name := range names {
		b, err := readBelow(c.DataDir, name, limit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", filepath.Join(c.DataDir, name), err)
		}
		files[name] = b
	}
	return files, nil
}

// OwnFolder makes the folder at path the OS user's alone. Its parents must be
// there or are made; of a link in its place nothing is changed.
func OwnFolder(path string, u OSUser, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.Close()
	name := filepath.Base(path)
	if err := parent.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer root.Close()
	if os.Geteuid() == 0 {
		if err := root.Chown(".", int(u.UID), int(u.GID)); err != nil {
			return err
		}
	}
	return root.Chmod(".", mode)
}

// MakeSocketDir makes the folder of a server's socket where it is missing, the
// OS user's: 0755 for a shared one, 0700 for a private one. One that is there
// is left as it is.
func MakeSocketDir(path string, u OSUser, mode os.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := OwnFolder(path, u, mode); err != nil {
		return fmt.Errorf("the folder of the socket: %w", err)
	}
	return nil
}

// RunAs runs a program of ours as the OS user, in a folder, to its end. What it
// said is in the error.
func RunAs(ctx context.Context, run Runner, u OSUser, dir string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = environment(u)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u.Credential()}
	_, err := output(run, cmd)
	return err
}
