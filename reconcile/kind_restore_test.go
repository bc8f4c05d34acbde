package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// TestReplacing: under the altroot of a rescue system a clone is where it was,
// only further down, and is not made anew.
func TestReplacing(t *testing.T) {
	tests := map[string]struct {
		altroot, at, wanted string
		replaced            bool
	}{
		"where it should be":          {"", "/r", "/r", false},
		"a slash at the end":          {"", "/r", "/r/", false},
		"elsewhere":                   {"", "/other", "/r", true},
		"inherited, and not asked of": {"", "/zp1/zreconcile/s1/r", "", false},
		"under an altroot":            {"/mnt", "/mnt/r", "/r", false},
		"elsewhere under an altroot":  {"/mnt", "/mnt/other", "/r", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			state := State{ZFS: zfs.Inventory{Pool: &zfs.Pool{Name: "zp1", AltRoot: test.altroot}}}
			r := spec.Restore{Name: "r", Target: spec.Target{Latest: true}, Dataset: "zp1/r", Mountpoint: test.wanted}
			c := Clone{Restore: "r", Dataset: zfs.Dataset{Name: "zp1/r", Mountpoint: test.at}, Marks: marks{markTarget: "latest"}}
			attrs := (&view{state: &state}).replacing(r, c)
			if got := len(attrs) > 0; got != test.replaced {
				t.Errorf("replaced: %v, by %v", got, attrs)
			}
		})
	}
}

// TestStartNeedsTheArchive: a paused clone that is started again replays up to
// its target again, and is given no WAL while the archive is away. Pitfall 56.
func TestStartNeedsTheArchive(t *testing.T) {
	for name, test := range map[string]struct {
		mounted, promoted bool
		want              Action
	}{
		"the archive is there":               {true, false, Start},
		"the archive is away":                {false, false, Block},
		"it needs none, and it was promoted": {false, true, Start},
	} {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t)
			state := converged(t, site)
			addClone(&state, site, "r")
			clone := state.Clones[0]
			clone.Promoted = test.promoted
			if !test.mounted {
				unmount(&state, "zp1/wal")
			}
			r := spec.Restore{Name: "r", Dataset: clone.Dataset.Name, Port: 1999, Action: "promote"}
			clone.Marks[markTarget] = targetText(r.Target)
			changes := givenView(site, &state).existingRestore(r, clone)
			if last := changes[len(changes)-1]; last.Action != test.want {
				t.Errorf("%s: %s", last.Action, last.Why)
			}
		})
	}
}

// A pool that is not there because its disk is late may hold the snapshot that a
// restore is made from: nobody is told to declare it otherwise. One that will be
// made holds none.
func TestARestoreWithoutItsPool(t *testing.T) {
	edits := []string{"snapshots:\n", "restores: [{name: r, port: 1923, target: {time: '2026-11-23 11:00:00+00'}}]\nsnapshots:\n"}
	checkDiffs(t, map[string]diffCase{
		"the pool will be made":  {bare: true, only: Only{kindPool, kindRestore}, edits: edits, want: []string{"create pool/zp1", "block restore/r"}},
		"its disk is late":       {bare: true, only: Only{kindPool, kindRestore}, edits: edits, from: holding(zfs.Content{Kind: zfs.Missing}), want: []string{"block pool/zp1", "create restore/r"}},
		"its disk bears a label": {bare: true, only: Only{kindPool, kindRestore}, edits: edits, from: holding(zfs.Content{Kind: zfs.Label}), want: []string{"block pool/zp1", "create restore/r"}},
	})
}
