// Package servers finds a real server of each major version for the tests: this
// host's own, and those that e2e/setup.sh brings, which hold initdb, pg_ctl and
// postgres and no other program.
package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Each runs a subtest for every major version, in parallel. A server that is
// missing fails CI, and is a skip elsewhere.
func Each(t *testing.T, test func(t *testing.T, major int, binDir string)) {
	for major := version.Oldest; major <= version.Newest; major++ {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			test(t, major, Find(t, major))
		})
	}
}

// Find is the folder of the programs of a major version.
func Find(t testing.TB, major int) (binDir string) {
	t.Helper()
	brought := fmt.Sprintf("/var/cache/zreconcile/postgres/%d/bin", major)
	dirs := append(own(major), brought)
	if dir, found := firstOf(dirs); found {
		return dir
	}
	why := fmt.Sprintf("there is no server of PostgreSQL %d in %s: run e2e/setup.sh tests", major, strings.Join(dirs, ", "))
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip("NOT TESTED: " + why)
	return ""
}

// Own is the newest version that this host itself has, and the folder of its
// programs, which are all there are.
func Own() (major int, binDir string, err error) {
	for major = version.Newest; major >= version.Oldest; major-- {
		if dir, found := firstOf(own(major)); found {
			return major, dir, nil
		}
	}
	return 0, "", errors.New("this host has no server of PostgreSQL: run e2e/setup.sh tests")
}

// own are the folders of the packages of Debian and of postgresql.org.
func own(major int) []string {
	return []string{fmt.Sprintf("/usr/lib/postgresql/%d/bin", major), fmt.Sprintf("/usr/pgsql-%d/bin", major)}
}

func firstOf(dirs []string) (dir string, found bool) {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, true
		}
	}
	return "", false
}
