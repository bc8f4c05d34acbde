//go:build vm

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestOpenZFSClusterOnSeveralDatasets has pg_wal and a tablespace on datasets of
// their own: one atomic snapshot of all, a restore of all, whose base nobody can
// destroy between the clones, and retention that destroys them in batches. Pitfalls 27, 45, 49.
func TestOpenZFSClusterOnSeveralDatasets(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.Retention = "{last: 2}"
	s.Apart = true
	s.write(t)
	s.converges(t)
	base := s.snapshotNames(t)[0]
	members := []string{s.Name + "/data@" + base, s.Name + "/pgwal@" + base, s.Name + "/ts@" + base}
	txg := strings.Fields(command(t, "zfs", append([]string{"get", "-Hp", "-o", "value", "createtxg"}, members...)...))
	if len(txg) != len(members) || len(slices.Compact(txg)) != 1 {
		t.Errorf("transaction groups %v", txg)
	}

	s.declare(t, entry{Name: "r", Target: "snapshot: " + base, Port: s.RestorePort})
	calls := s.applyWithZFS(t, exitDone, fmt.Sprintf(`[ "$1" != clone ] || $real destroy %s || echo refused >>$log`, members[1]))
	for said, want := range map[string]int{"refused": 3, "\nclone ": 3, "\nhold ": 1, "\nrelease ": 1} {
		if n := strings.Count(calls, said); n != want {
			t.Errorf("%q %d times, want %d:\n%s", said, n, want, calls)
		}
	}
	s.isConverged(t)
	if got := s.on(t, "r", "SELECT pg_is_in_recovery()::text"); got != "true" {
		t.Errorf("in recovery: %s", got)
	}

	s.declare(t)
	s.converges(t)
	for range 3 {
		s.run(t, "snapshot").exits(t, exitDone)
	}
	calls = s.applyWithZFS(t, exitDone, "")
	destroyed := 0
	for line := range strings.Lines(calls) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == "destroy" {
			destroyed++
			if len(words) != 2 || !strings.Contains(words[1], ",") || strings.Contains(words[1], "%") {
				t.Errorf("zfs %s", line)
			}
		}
	}
	if left := s.snapshotNames(t); destroyed != len(members) || len(left) != 2 || slices.Contains(left, base) {
		t.Errorf("%d commands destroyed what was too old, left are %v:\n%s", destroyed, left, calls)
	}
	s.isConverged(t)
}
