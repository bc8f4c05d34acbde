package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestHoldWhileRestoring has a stranger destroy the base of a restore just before
// it is cloned, which is refused; and a run that is killed there, whose hold keeps
// nothing from the next run, while that of a stranger keeps what it is on.
func TestHoldWhileRestoring(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Retention = "{last: 1}"
	s.write(t)
	s.converges(t)
	base := s.snapshotNames(t)[0]
	full := s.Name + "/data@" + base
	s.declare(t, entry{Name: "r", Target: "snapshot: " + base, Port: s.RestorePort})

	calls := s.applyWithZFS(t, exitDone, fmt.Sprintf(`[ "$1" != clone ] || $real destroy %s || echo refused >>$log`, full))
	if n := strings.Count(calls, "refused"); n != 1 {
		t.Errorf("the base was to be destroyed, and that was refused %d times:\n%s", n, calls)
	}
	for _, verb := range []string{"hold", "release"} {
		if n := strings.Count("\n"+calls, "\n"+verb+" "); n != 1 {
			t.Errorf("%d processes to %s", n, verb)
		}
	}
	s.isConverged(t)
	if refs := s.userRefs(t, full); refs != "0" {
		t.Errorf("%s holds are left", refs)
	}

	s.declare(t)
	s.converges(t)
	s.declare(t, entry{Name: "killed", Target: "snapshot: " + base, Port: s.RestorePort})
	s.applyWithZFS(t, -1, `[ "$1" != clone ] || { kill -9 $PPID; exit 1; }`)
	if refs := s.userRefs(t, full); refs != "1" {
		t.Fatalf("%s holds of the run that was killed", refs)
	}
	command(t, "zfs", "hold", "theirs", full)
	s.declare(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.converges(t)
	if refs := s.userRefs(t, full); refs != "1" {
		t.Errorf("%s holds, and one is a stranger's", refs)
	}
	command(t, "zfs", "release", "theirs", full)
	command(t, "zfs", "hold", "zreconcile:restore", full) // again of a run that was killed
	s.converges(t)
	if left := s.snapshotNames(t); slices.Contains(left, base) || len(left) != 1 {
		t.Errorf("it keeps retention from pruning: %v", left)
	}
}

func (s *site) userRefs(t *testing.T, snapshot string) string {
	t.Helper()
	return strings.TrimSpace(command(t, "zfs", "get", "-Hp", "-o", "value", "userrefs", snapshot))
}

// applyWithZFS applies with a zfs first in PATH that notes its arguments in $log,
// and does something else before it becomes $real. It returns the log.
func (s *site) applyWithZFS(t *testing.T, code int, before string) string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	real, err := exec.LookPath("zfs")
	must(t, err)
	script := fmt.Sprintf("#!/bin/sh\nlog=%s real=%s\necho \"$*\" >>$log\n%s\nexec $real \"$@\"\n", log, real, before)
	must(t, os.WriteFile(filepath.Join(dir, "zfs"), []byte(script), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := prepared(ctx, "apply", "-f", s.File())
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH")) // the last one counts
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != code {
		t.Fatalf("apply: %v\n%s", err, output.String())
	}
	calls, err := os.ReadFile(log)
	must(t, err)
	return string(calls)
}
