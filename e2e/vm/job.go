package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// What stands in the machine's /job.
const (
	jobAgent   = "agent"
	jobProgram = "zreconcile" // what a user installs
	jobSource  = "src"        // files that the tests read, at their places in the repository
)

// sources are the parts of the repository that tests read at run time.
var sources = []string{"README.md", "docs", "e2e", "examples", "schema", "zfs/testdata", "postgres/testdata"}

// BuildJob puts the agent, the program and the compiled tests of packages (of
// the repository in root, as "e2e" or "zfs") into one file for the machine.
func BuildJob(ctx context.Context, root, file string, packages ...string) error {
	dir, err := os.MkdirTemp("", "zrjob")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	builds := [][]string{
		{"go", "build", "-o", filepath.Join(dir, jobAgent), "./e2e/vm/agent"},
		{"cmd/zreconcile/build.sh", filepath.Join(dir, jobProgram)},
	}
	for _, p := range packages {
		if err := os.MkdirAll(filepath.Join(dir, jobSource, p), 0o755); err != nil { // where its tests run
			return err
		}
		builds = append(builds, []string{"go", "test", "-c", "-tags", "vm", "-o", filepath.Join(dir, TestBinary(p)), "./" + p})
	}
	for _, command := range builds {
		if err := compile(ctx, root, command...); err != nil {
			return err
		}
	}
	for _, source := range sources {
		if err := copyTree(filepath.Join(root, source), filepath.Join(dir, jobSource, source)); err != nil {
			return err
		}
	}
	return pack(ctx, dir, file)
}

// PackageJob puts the agent and the Debian package of each version into one file
// for the machine, where they are /job/VERSION.deb.
func PackageJob(ctx context.Context, root, file string, versions ...string) error {
	dir, err := os.MkdirTemp("", "zrjob")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := compile(ctx, root, "go", "build", "-o", filepath.Join(dir, jobAgent), "./e2e/vm/agent"); err != nil {
		return err
	}
	for _, version := range versions {
		dist := filepath.Join(dir, "dist")
		out, err := exec.CommandContext(ctx, "make", "-s", "-C", root, "deb", "VERSION="+version, "DIST="+dist).CombinedOutput()
		if err != nil {
			return fmt.Errorf("make deb VERSION=%s: %w: %s", version, err, out)
		}
		made, err := filepath.Glob(filepath.Join(dist, "*.deb"))
		if err != nil || len(made) != 1 {
			return fmt.Errorf("make deb VERSION=%s made %q (%v)", version, made, err)
		}
		if err := os.Rename(made[0], filepath.Join(dir, version+".deb")); err != nil {
			return err
		}
	}
	return pack(ctx, dir, file)
}

func compile(ctx context.Context, root string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return nil
}

// pack makes one file of a folder, which the machine mounts as /job.
func pack(ctx context.Context, dir, file string) error {
	if err := os.Chmod(dir, 0o755); err != nil { // users but root run the program, too
		return err
	}
	out, err := exec.CommandContext(ctx, "mksquashfs", dir, file, "-noappend", "-quiet", "-no-progress", "-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-all-root").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mksquashfs %s: %w: %s", file, err, out)
	}
	return nil
}

// TestBinary is the name below /job of a package's compiled tests.
func TestBinary(pkg string) string { return filepath.Base(pkg) + ".test" }

// copyTree copies a file or a folder; one that is not there is left out.
func copyTree(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, info.Mode().Perm())
}
