//go:build vm

// The tests with this tag boot the machine: make e2e-vm.
package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/vm/wire"
)

// image is what image.sh printed, job what BuildJob made.
var image, job string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("/tmp", "zrvm")
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("./image.sh", nonEmpty(os.Getenv("ZRECONCILE_VM_SUITE"))...)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm: image.sh:", err)
		return 1
	}
	image, job = strings.TrimSpace(string(out)), filepath.Join(dir, "job")
	versions, err := os.ReadFile(filepath.Join(image, "versions"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return 1
	}
	fmt.Printf("the machine has:\n%s", versions)
	if err := BuildJob(context.Background(), "../..", job, "e2e", "zfs"); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return 1
	}
	return m.Run()
}

func nonEmpty(words ...string) []string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

// boot makes and boots a machine; it ends with the test, and the console of one
// that failed is shown.
func boot(t *testing.T, disks int) *Machine {
	t.Helper()
	return bootWith(t, job, disks)
}

// bootWith does so with a job of the test's own.
func bootWith(t *testing.T, job string, disks int) *Machine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zrvm")
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{Image: image, Job: job, Dir: dir, Disks: disks}
	t.Cleanup(func() {
		if err := m.PullPlug(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			console, _ := os.ReadFile(m.Console())
			t.Logf("console:\n%s", console[max(0, len(console)-4000):])
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := m.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	if err := m.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %.0f s", time.Since(began).Seconds())
	return m
}

// in runs a program in the machine, which must succeed.
func in(t *testing.T, m *Machine, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := m.Run(t.Context(), &out, wire.Request{Argv: argv, Env: ground}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}
