package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Suffixes of what is beside the final folder while a base backup is made.
// PartialSuffix marks an unfinished copy, which the next run removes;
// VerifiedSuffix a complete and verified one, of which only the last renames
// are missing, and which the next run finishes.
const (
	PartialSuffix  = ".zreconcile-partial"
	VerifiedSuffix = ".zreconcile-verified"
)

// BackupOptions are for one base backup.
type BackupOptions struct {
	Target     string // the data directory: missing or empty
	Staging    string // empty: Target + PartialSuffix, which it must end in
	WALDir     string // empty: pg_wal stays inside
	WALStaging string // empty: WALDir + PartialSuffix
	// Tablespaces maps locations on the primary to folders here, each missing or
	// empty. All must be named: pg_basebackup writes the others to the primary's
	// path on this host.
	Tablespaces map[string]string
	SystemID    uint64 // of the primary; 0: a verified copy of any is finished

	Checkpoint string // fast or spread; empty is fast
	MaxRate    string // bytes per second as pg_basebackup takes them, such as 200M; empty is no limit
	Slot       string // empty: a temporary one
	Conninfo   string // without the password
	Passfile   string // holds the password; readable by the OS user alone
	Progress   func(Progress)
}

// A folder of a base backup, and what it is called until the backup is whole.
type staged struct{ staging, final string }

func (o BackupOptions) complete() (BackupOptions, error) {
	if o.Staging == "" {
		o.Staging = o.Target + PartialSuffix
	}
	if o.WALDir != "" && o.WALStaging == "" {
		o.WALStaging = o.WALDir + PartialSuffix
	}
	if o.Checkpoint == "" {
		o.Checkpoint = "fast"
	}
	for _, f := range append(o.outside(), staged{o.Staging, o.Target}) {
		switch {
		case !filepath.IsAbs(f.final) || !filepath.IsAbs(f.staging):
			return o, fmt.Errorf("base backup: %q and %q must be absolute paths", f.staging, f.final)
		case !strings.HasSuffix(f.staging, PartialSuffix) || filepath.Dir(f.staging) != filepath.Dir(f.final):
			return o, fmt.Errorf("base backup: the staging folder %s must be beside %s and end in %s", f.staging, f.final, PartialSuffix)
		}
	}
	return o, nil
}

// outside are the folders that are not below the data directory, in a fixed order.
func (o BackupOptions) outside() []staged {
	var folders []staged
	if o.WALDir != "" {
		folders = append(folders, staged{o.WALStaging, o.WALDir})
	}
	for _, location := range sortedKeys(o.Tablespaces) {
		final := filepath.Clean(o.Tablespaces[location])
		folders = append(folders, staged{final + PartialSuffix, final})
	}
	return folders
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (o BackupOptions) verified() string { return o.Target + VerifiedSuffix }

// BaseBackup copies the primary into o.Target, all or nothing: pg_basebackup
// writes beside it, pg_verifybackup checks the copy by its manifest
// (PostgreSQL 13 and later), then it is renamed. Killed at any moment, the next
// call takes up: an unfinished copy is removed and made anew, a verified one is
// only renamed. When ctx ends, the programs are killed and the copy removed.
//
// pg_basebackup runs without -R, which would write the password into
// postgresql.auto.conf; the password comes from o.Passfile alone.
func (c *Cluster) BaseBackup(ctx context.Context, o BackupOptions) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	ready, err := c.hasVerified(ctx, o)
	if err != nil {
		return err
	}
	if ready {
		return c.finishBackup(o)
	}
	folders := append(o.outside(), staged{o.Staging, o.Target})
	if err := c.stageFolders(folders); err != nil {
		return err
	}
	if err := c.copyAndVerify(ctx, o); err != nil {
		return errors.Join(err, removeStaging(folders))
	}
	if err := renameFolder(o.Staging, o.verified()); err != nil {
		return err
	}
	return c.finishBackup(o)
}

// hasVerified tells whether an earlier run was killed with only renames left.
// One of another system is removed: its primary is not ours any more.
func (c *Cluster) hasVerified(ctx context.Context, o BackupOptions) (bool, error) {
	if _, err := os.Lstat(o.verified()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	copied := *c
	copied.DataDir = o.verified()
	data, err := copied.ControlData(ctx)
	if err != nil {
		return false, err
	}
	if o.SystemID != 0 && data.SystemID != o.SystemID {
		return false, removeTree(o.verified())
	}
	return true, nil
}

// stageFolders removes what an unfinished run left and makes empty folders, the
// OS user's alone. The final ones must be missing or empty.
func (c *Cluster) stageFolders(folders []staged) error {
	for _, f := range folders {
		if err := emptyOrMissing(f.final); err != nil {
			return err
		}
	}
	if err := removeStaging(folders); err != nil {
		return err
	}
	for _, f := range folders {
		dir, err := c.User.ownFolder(f.staging)
		if err != nil {
			return fmt.Errorf("making the folder for a base backup: %w", err)
		}
		_ = dir.Close() // it was only opened
	}
	return nil
}

func emptyOrMissing(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("base backup: %s is not empty (it holds %s); move it aside first", dir, entries[0].Name())
	}
	return nil
}

func removeStaging(folders []staged) error {
	var errs []error
	for _, f := range folders {
		errs = append(errs, removeTree(f.staging))
	}
	return errors.Join(errs...)
}

// removeTree removes path and all below it, and follows no link: not at path
// and not below.
func removeTree(path string) error {
	parent, err := os.OpenRoot(filepath.Dir(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := parent.RemoveAll(filepath.Base(path)); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// copyAndVerify fills the staging folders.
func (c *Cluster) copyAndVerify(ctx context.Context, o BackupOptions) error {
	major, err := Major(ctx, c.Run, c.BinDir)
	if err != nil {
		return err
	}
	if err := c.copyPrimary(ctx, o, major); err != nil {
		return err
	}
	if !version.BackupManifest.In(major) {
		return nil
	}
	return c.verifyBackup(ctx, o.Staging)
}

func (c *Cluster) copyPrimary(ctx context.Context, o BackupOptions, major int) error {
	said := &progressReader{report: o.Progress}
	err := c.Run.runMortal(func() *exec.Cmd {
		cmd := c.tool(ctx, "pg_basebackup", backupArgs(o, major)...)
		if o.Passfile != "" {
			cmd.Env = append(cmd.Env, "PGPASSFILE="+o.Passfile)
		}
		// It has a child that receives WAL: both must end.
		cmd.SysProcAttr.Setpgid = true
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.Stderr = said
		return cmd
	})
	if ctx.Err() != nil {
		return fmt.Errorf("the base backup was stopped: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("base backup into %s: %w", o.Staging, &CommandError{Program: "pg_basebackup", Words: said.words(), Err: err})
	}
	return nil
}

// backupArgs follow the manual page pg_basebackup. The password is none of them.
func backupArgs(o BackupOptions, major int) []string {
	args := []string{
		"-d", o.Conninfo, "--no-password",
		"-D", o.Staging, "--format=plain", "--wal-method=stream",
		"--checkpoint=" + o.Checkpoint, "--label=zreconcile", "--progress",
	}
	if version.BackupManifest.In(major) {
		args = append(args, "--manifest-checksums=CRC32C")
	}
	if o.WALDir != "" {
		args = append(args, "--waldir="+o.WALStaging)
	}
	if o.MaxRate != "" {
		args = append(args, "--max-rate="+o.MaxRate)
	}
	if o.Slot != "" {
		args = append(args, "--slot="+o.Slot)
	}
	for _, location := range sortedKeys(o.Tablespaces) {
		final := filepath.Clean(o.Tablespaces[location])
		args = append(args, "--tablespace-mapping="+escapeMapping(location)+"="+escapeMapping(final+PartialSuffix))
	}
	return args
}

// escapeMapping: an equals sign in a path of --tablespace-mapping takes a backslash.
func escapeMapping(path string) string { return strings.ReplaceAll(path, "=", `\=`) }

// verifyBackup checks every file against the manifest, and with pg_waldump that
// the WAL needed to become consistent is there and reads.
func (c *Cluster) verifyBackup(ctx context.Context, dir string) error {
	args := []string{"--quiet", dir}
	if _, err := os.Stat(filepath.Join(c.BinDir, "pg_waldump")); err != nil {
		args = append([]string{"--no-parse-wal"}, args...)
	}
	var said bytes.Buffer
	err := c.Run.runMortal(func() *exec.Cmd {
		cmd := c.tool(ctx, "pg_verifybackup", args...)
		cmd.Stdout, cmd.Stderr = &said, &said
		return cmd
	})
	if ctx.Err() != nil {
		return fmt.Errorf("the base backup was stopped: %w", context.Cause(ctx))
	}
	if err != nil {
		err = &CommandError{Program: "pg_verifybackup", Words: firstLines(strings.TrimSpace(said.String())), Err: err}
		return fmt.Errorf("the base backup in %s is damaged and was not used; run it again, and check disk and memory if it fails again: %w", dir, err)
	}
	return nil
}

// finishBackup points the links of a verified copy at the final folders and
// renames all of them, the data directory last. Each step may have been done by
// a run before.
func (c *Cluster) finishBackup(o BackupOptions) error {
	if err := c.relinkStaged(o.verified(), o.outside()); err != nil {
		return err
	}
	for _, f := range o.outside() {
		if _, err := os.Lstat(f.staging); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := renameFolder(f.staging, f.final); err != nil {
			return err
		}
	}
	return renameFolder(o.verified(), o.Target)
}

func (c *Cluster) relinkStaged(dataDir string, folders []staged) error {
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return err
	}
	defer root.Close()
	prefixes := map[string]string{}
	for _, f := range folders {
		prefixes[f.staging] = f.final
	}
	links, err := storageLinks(root)
	if err != nil {
		return err
	}
	for _, link := range links {
		if to, ok := prefixes[link.target]; ok {
			if err := c.User.relink(root, link.name, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// renameFolder renames within one folder, over an empty one if need be, and
// makes that last.
func renameFolder(from, to string) error {
	parent, err := os.OpenRoot(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer parent.Close()
	// Remove takes an empty folder only.
	if err := parent.Remove(filepath.Base(to)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("renaming %s to %s: there is something in its place: %w", from, to, err)
	}
	if err := parent.Rename(filepath.Base(from), filepath.Base(to)); err != nil {
		return err
	}
	return syncFolder(parent, ".")
}
