package postgres

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// AddWAL writes a file of WAL into the pg_wal of a clone that is harmless
// already and has no server yet. One that is there stays as it is.
func (c *Cluster) AddWAL(name string, content io.Reader) (err error) {
	dir := filepath.Join(c.DataDir, "pg_wal")
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // follows no link
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("adding WAL to the clone %s: %w", c.DataDir, err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = fmt.Errorf("adding WAL to the clone %s: %w", c.DataDir, errors.Join(err, root.Remove(name)))
		}
	}()
	if err := c.User.own(f); err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Sync()
}
