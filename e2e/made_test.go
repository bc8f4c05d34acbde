package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// inventory is what tests of this process have made, by name, and which test. Others
// may test on this machine at the same time: what is theirs is not looked at.
type inventory struct {
	sync.Mutex
	pools, folders map[string]string
}

var made = inventory{pools: map[string]string{}, folders: map[string]string{}}

// pool notes one that has to be gone at the end.
func (m *inventory) pool(t testing.TB, name string) {
	m.Lock()
	defer m.Unlock()
	m.pools[name] = t.Name()
}

// folder notes one that no server may be at work in at the end.
func (m *inventory) folder(t testing.TB, dir string) {
	m.Lock()
	defer m.Unlock()
	m.folders[dir] = t.Name()
}

// isGone fails when a pool is there or a server at work after all tests: each
// cleans up by itself, and one that forgets something passes all the same. A server
// that was told to end is waited for.
func (m *inventory) isGone() error {
	m.Lock()
	defer m.Unlock()
	for _, dir := range primary.Folders() {
		m.folders[dir] = "a primary"
	}
	if len(m.pools)+len(m.folders) == 0 {
		return nil
	}
	for end := time.Now().Add(primary.Patience(20 * time.Second)); ; time.Sleep(100 * time.Millisecond) {
		pools, err := tryCommand("zpool", "list", "-H", "-o", "name")
		if err != nil {
			return fmt.Errorf("whether the tests left pools: zpool list: %w: %s", err, pools)
		}
		err = m.among(strings.Fields(pools), serverFolders())
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// among names those of the pools, and of the data directories of servers, that are
// of tests of this process.
func (m *inventory) among(pools, servers []string) error {
	var left []error
	for _, name := range pools {
		if test, ours := m.pools[name]; ours {
			left = append(left, fmt.Errorf("%s left the pool %s", test, name))
		}
	}
	for _, dir := range servers {
		for folder, test := range m.folders {
			if strings.HasPrefix(dir, folder+"/") {
				left = append(left, fmt.Errorf("%s left a server in %s", test, dir))
			}
		}
	}
	return errors.Join(left...)
}

// serverFolders are the working directories of all processes of servers, which are
// their data directories; of one that was removed, with a word of that behind.
func serverFolders() []string {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	var dirs []string
	for _, p := range processes {
		name, _ := os.ReadFile(filepath.Join(p, "comm"))
		dir, err := os.Readlink(filepath.Join(p, "cwd"))
		if comm := strings.TrimSpace(string(name)); err == nil && (comm == "postgres" || comm == "postmaster") {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// TestMadeAmong: what is left is told from what is somebody else's.
func TestMadeAmong(t *testing.T) {
	m := inventory{
		pools:   map[string]string{"zrt1": "TestOne", "zrt2": "TestTwo"},
		folders: map[string]string{"/tmp/zr1": "TestOne", "/tmp/zr2": "TestTwo", "/tmp/zrp3": "a primary"},
	}
	for _, tt := range []struct {
		name           string
		pools, servers []string
		want           string
	}{
		{"nothing is there", nil, nil, ""},
		{"all is somebody else's", []string{"zrt", "zrt12", "tank"}, []string{"/tmp/zr12/data", "/tmp/zrp34/data", "/var/lib/postgresql/15/main"}, ""},
		{"a pool", []string{"tank", "zrt2"}, nil, "TestTwo left the pool zrt2"},
		{"servers", nil, []string{"/tmp/zr1/data/pgdata", "/tmp/zrp3/data (deleted)"},
			"TestOne left a server in /tmp/zr1/data/pgdata\na primary left a server in /tmp/zrp3/data (deleted)"},
	} {
		got := ""
		if err := m.among(tt.pools, tt.servers); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestServerFolders sees a process by the name of a server's.
func TestServerFolders(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Symlink(sleep, filepath.Join(dir, "postgres")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "600")
	server.Dir = dir
	must(t, server.Start())
	eventually(t, "the server to be seen", func() bool { return slices.Contains(serverFolders(), dir) })
	cancel()
	_ = server.Wait()
	if slices.Contains(serverFolders(), dir) {
		t.Error("a server that has ended is seen")
	}
}
