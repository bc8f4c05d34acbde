package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// planBudget is how many zfs and zpool processes a plan of a converged host
// may take, however many datasets and snapshots there are (the contract).
const planBudget = 6

// TestPlanBudget counts the processes of an empty plan. Pitfall 46.
func TestPlanBudget(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	few := s.countedPlan(t)
	for i := range 100 {
		command(t, "zfs", "snapshot", fmt.Sprintf("%s/data@stranger%d", s.Name, i))
	}
	for i := range 10 {
		command(t, "zfs", "create", "-o", "mountpoint=none", fmt.Sprintf("%s/stranger%d", s.Name, i))
	}
	many := s.countedPlan(t)
	t.Logf("zfs and zpool processes of an empty plan: %d with 1 snapshot, %d with 101", len(few), len(many))
	if len(few) == 0 || len(few) > planBudget || len(many) != len(few) {
		t.Errorf("a plan takes\n%s\nand with many snapshots and datasets\n%s", strings.Join(few, "\n"), strings.Join(many, "\n"))
	}
}

// countedPlan plans with a zfs and a zpool first in PATH that note each call.
func (s *site) countedPlan(t testing.TB) []string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	for _, name := range []string{"zfs", "zpool"} {
		real, err := exec.LookPath(name)
		must(t, err)
		script := fmt.Sprintf("#!/bin/sh\necho %s \"$*\" >>%s\nexec %s \"$@\"\n", name, log, real)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	cmd := prepared(t.Context(), "plan", "-f", s.File(), "--detailed-exitcode")
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH")) // the last one counts
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	must(t, err)
	return strings.Split(strings.TrimSpace(string(calls)), "\n")
}
