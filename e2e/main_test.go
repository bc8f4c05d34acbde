// Package e2e is the real thing: zreconcile's program on real ZFS pools (on
// sparse files) against real PostgreSQL primaries, held to what the contract
// promises and to nothing of its insides. It needs root; `make test` prepares
// the machine.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// program is the zreconcile that the tests run.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: run as root: pools are made and servers started as other users")
		return 1
	}
	if out, err := exec.Command("./setup.sh", "tests").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: setup.sh: %v\n%s", err, out)
		return 1
	}
	dir, err := os.MkdirTemp("/tmp", "zrbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // archive_command runs it as the OS user
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	program = filepath.Join(dir, "zreconcile")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/zreconcile").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: go build: %v\n%s", err, out)
		return 1
	}
	defer func() {
		if err := destroyPrimaries(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = 1
		}
	}()
	return m.Run()
}

// primaries are made when the first test asks for their kind and live to the
// end; a test that stops or spoils one makes its own.
var primaries = struct {
	sync.Mutex
	byKind map[primary.Kind]*primary.Primary
}{byKind: map[primary.Kind]*primary.Primary{}}

func sharedPrimary(t testing.TB, kind primary.Kind) *primary.Primary {
	t.Helper()
	primaries.Lock()
	defer primaries.Unlock()
	if p := primaries.byKind[kind]; p != nil {
		return p
	}
	p, err := primary.New(kind)
	if err != nil {
		t.Fatal(errors.Join(err, p.Destroy()))
	}
	primaries.byKind[kind] = p
	return p
}

// ownPrimary is for a test that spoils it.
func ownPrimary(t testing.TB, kind primary.Kind) *primary.Primary {
	t.Helper()
	p, err := primary.New(kind)
	t.Cleanup(func() {
		if err := p.Destroy(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func destroyPrimaries() error {
	var problems []error
	for _, p := range primaries.byKind {
		problems = append(problems, p.Destroy())
	}
	return errors.Join(problems...)
}
