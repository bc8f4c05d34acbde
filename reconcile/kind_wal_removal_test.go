package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// TestPitfall22_HistoriesStay removes WAL that nothing needs from a directory:
// the histories of timelines stay, by which old snapshots are told to be usable,
// and what is no segment.
func TestPitfall22_HistoriesStay(t *testing.T) {
	dir := t.TempDir()
	site := givenSite(t, "dir: /arch/wal", "dir: "+dir, "mountpoint: /arch", "mountpoint: "+filepath.Dir(dir))
	state := converged(t, site)
	state.Archive.Inventory = wal.Inventory{Segments: segments(1, 80, 109), Histories: []string{"00000002.history"},
		Partials: []string{"000000010000000000000051.partial"}, Others: []string{"000000010000000000000052.00000028.backup"}}
	stay := slices.Concat(state.Archive.Inventory.Histories, state.Archive.Inventory.Partials, state.Archive.Inventory.Others)
	for n, s := range state.Archive.Inventory.Segments {
		if n%2 == 0 { // what is gone already is no failure
			stay = append(stay, s.Name(givenSegment))
		}
	}
	for _, name := range stay {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("1\t0/5000000\tx\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := givenView(site, &state)
	if plan := diffWALRemoval(in); len(plan) != 1 || plan[0].Action != Delete {
		t.Fatalf("the plan is %+v", plan)
	}
	if err := applyWALRemoval(t.Context(), nil, in, Change{}); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(stay, func(name string) bool {
		segment, ok := wal.ParseSegment(name, givenSegment)
		return ok && segment.Number < 90 // the redo of the only snapshot
	})
	slices.Sort(want)
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
