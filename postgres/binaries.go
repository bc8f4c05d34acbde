package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// needed are the programs that a folder of binaries must hold.
var needed = []string{"postgres", "pg_ctl", "pg_controldata", "pg_basebackup"}

// versionLine is what `postgres --version` prints: "postgres (PostgreSQL) 15.13
// (Debian 15.13-0+deb12u1)", or 18beta1 and 19devel before a release.
var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Major asks the postgres of binDir for its major version.
func Major(ctx context.Context, run Runner, binDir string) (int, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "postgres"), "--version")
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
	candidates := []string{hint}
	if hint == "" {
		candidates = candidateDirs(major)
	}
	var looked []string
	for _, dir := range candidates {
		err := holdsServer(dir, major)
		if err == nil {
			return dir, nil
		}
		looked = append(looked, fmt.Sprintf("%s: %v", dir, err))
	}
	return "", fmt.Errorf("the server programs of PostgreSQL %d were not found; install them (Debian: postgresql-%d; Red Hat, from postgresql.org: postgresql%d-server), or name their folder as standby.binDir. Looked at:\n  %s",
		major, major, major, strings.Join(looked, "\n  "))
}

func candidateDirs(major int) []string {
	var dirs []string
	seen := map[string]bool{}
	add := func(dir string) {
		if dir != "" && !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, dir)
		}
	}
	for _, name := range []string{"pg_ctl", "postgres"} {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				add(filepath.Dir(path))
			}
		}
	}
	add(fmt.Sprintf("/usr/lib/postgresql/%d/bin", major))
	add(fmt.Sprintf("/usr/pgsql-%d/bin", major))
	add("/usr/local/pgsql/bin")
	add(pgConfigBindir())
	return dirs
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
