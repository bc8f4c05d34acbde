package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

func TestDiffArchive(t *testing.T) {
	state := func(f func(*State)) func(testing.TB, *State) { return func(_ testing.TB, s *State) { f(s) } }
	only := Only{kindWAL}
	created, updated, blocked := []string{"create wal//arch/wal"}, []string{"update wal//arch/wal"}, []string{"block wal//arch/wal"}
	gone := func(s *State) { s.Archive = Archive{} }
	checkDiffs(t, map[string]diffCase{
		"missing":       {only: only, want: created, from: state(func(s *State) { s.Archive = Archive{Dataset: "zp1/wal", Mounted: true} })},
		"another owner": {only: only, want: updated, from: state(func(s *State) { s.Archive.OwnedBy = 0 })},
		"open to all":   {only: only, want: updated, from: state(func(s *State) { s.Archive.Mode = 0o755 })},
		// pitfall 56
		"its dataset is not mounted": {only: only, want: blocked, from: state(func(s *State) { gone(s); unmount(s, "zp1/wal") })},
		"it lies on no dataset": {only: only, want: blocked, from: state(func(s *State) {
			gone(s)
			without(s, "zp1/wal")
		}), edits: []string{"    properties: {mountpoint: /arch, compression: on}\n", "    properties: {mountpoint: /arch, canmount: off}\n"}},
		// pitfall 51
		"it could not be read": {only: only, from: state(func(s *State) { gone(s); s.fail(kindWAL, errTest) })},
		// pitfall 19
		"the base backup's own WAL is brought": {only: only, want: updated, from: state(func(s *State) {
			s.Archive.Inventory.Segments = segments(1, 92, 109)
			s.Archive.Unpushed = []wal.Segment{{Timeline: 1, Number: 90}, {Timeline: 1, Number: 91}}
		})},
		"what nothing needs any more is not brought back": {only: only, from: state(func(s *State) {
			s.Archive.Unpushed = []wal.Segment{{Timeline: 1, Number: 88}, {Timeline: 1, Number: 89}}
		})},
		"but not from a promoted standby": {only: only, from: state(func(s *State) {
			s.Archive.Unpushed = []wal.Segment{{Timeline: 1, Number: 88}}
			s.Cluster.Status.InRecovery = false
		})},
	})
}

func TestUnpushed(t *testing.T) {
	done := map[string]bool{}
	for _, s := range segments(1, 1, 9) {
		done[s.Name(givenSegment)] = true
	}
	delete(done, segments(1, 5, 5)[0].Name(givenSegment)) // the archiver will bring it
	live := segments(1, 1, 9)
	live[5].Size = 1 // segment 6 is damaged
	got := unpushed(wal.Inventory{Segments: segments(1, 4, 4)}, wal.Inventory{Segments: live}, done, lsn(3)+1, lsn(9), givenSegment)
	want := []wal.Segment{{Timeline: 1, Number: 3}, {Timeline: 1, Number: 7}, {Timeline: 1, Number: 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("not from before the oldest need, what is archived, what is still to be, what is damaged, or what is being received (-want +got):\n%s", diff)
	}
}
