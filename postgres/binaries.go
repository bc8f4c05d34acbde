package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// needed are the programs that a folder of binaries must hold.
var needed = []string{"postgres", "pg_ctl", "pg_controldata", "pg_basebackup"}

// versionLine is what `pg_ctl --version` prints: "pg_ctl (PostgreSQL) 15.13
// (Debian 15.13-0+deb12u1)", or 18beta1 and 19devel before a release.
var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Major asks the pg_ctl of binDir for its major version, which it shares with
// the server beside it and which takes a tenth of the time to load.
func Major(ctx context.Context, run Runner, binDir string) (int, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "pg_ctl"), "--version")
	cmd.Env = environment(OSUser{})
	cmd.Dir = "/"
	out, err := output(run, cmd)
	if err != nil {
		return 0, err
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s --version says %q, which is no PostgreSQL version", cmd.Path, bytes.TrimSpace(out))
	}
	return strconv.Atoi(string(m[1]))
}

// FindBinaries returns the folder that holds the server programs of the given
// major version. hint is the spec's binDir: when it is given, only it is looked
// at. Otherwise PATH is searched (links resolved, since Debian and others put
// only links there), then the folders where the packages of Debian and of
// postgresql.org and a build from source put them, then what pg_config says.
func FindBinaries(hint string, major int) (string, error) {
	candidates := slices.Values([]string{hint})
	if hint == "" {
		candidates = candidateDirs(major)
	}
	var looked []string
	for dir := range candidates {
		err := holdsServer(dir, major)
		if err == nil {
			return dir, nil
		}
		looked = append(looked, fmt.Sprintf("%s: %v", dir, err))
	}
	return "", fmt.Errorf("the server programs of PostgreSQL %d were not found; install them (Debian: postgresql-%d; Red Hat, from postgresql.org: postgresql%d-server), or name their folder as standby.binDir. Looked at:\n  %s",
		major, major, major, strings.Join(looked, "\n  "))
}

// candidateDirs are the folders to look at, each once; pg_config is a program
// and asked only where nothing before it has the server.
func candidateDirs(major int) iter.Seq[string] {
	sources := []func() string{
		func() string { return folderOf("pg_ctl") },
		func() string { return folderOf("postgres") },
		func() string { return fmt.Sprintf("/usr/lib/postgresql/%d/bin", major) },
		func() string { return fmt.Sprintf("/usr/pgsql-%d/bin", major) },
		func() string { return "/usr/local/pgsql/bin" },
		pgConfigBindir,
	}
	return func(yield func(string) bool) {
		seen := map[string]bool{"": true}
		for _, source := range sources {
			dir := source()
			if !seen[dir] && !yield(dir) {
				return
			}
			seen[dir] = true
		}
	}
}

// folderOf is where a program of PATH really lies; "" is nowhere.
func folderOf(program string) string {
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	return filepath.Dir(path)
}

func pgConfigBindir() string {
	ctx, cancel := deadline(context.Background())
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return "" // not installed: one place less to look at
	}
	return strings.TrimSpace(string(out))
}

func holdsServer(dir string, major int) error {
	if _, err := os.Stat(dir); err != nil {
		return errors.New("no such folder")
	}
	var missing []string
	for _, name := range needed {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("has no %s", strings.Join(missing, ", "))
	}
	got, err := Major(context.Background(), nil, dir)
	if err != nil {
		return err
	}
	if got != major {
		return fmt.Errorf("is PostgreSQL %d", got)
	}
	return nil
}
