package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/zfs"
)

// What the archive lacks and a snapshot or the live pg_wal has is brought, and
// what nobody needs is not (pitfall 16).
func TestHealing(t *testing.T) {
	hold := func(state *State, name string, from, to int) {
		p := snapshot(state, name).Properties
		p[markWALFrom], p[markReplayed] = zfs.Value{Value: lsn(from).String(), Source: "local"}, zfs.Value{Value: (lsn(to) + 9).String(), Source: "local"}
	}
	const newest = "zr-20261123T113000Z" // redo 80
	tests := map[string]struct {
		edits []string
		from  func(*State)
		want  []Attr
	}{
		"nothing is missing": {},
		"a hole that nobody can fill": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
		}},
		"a hole that a snapshot fills": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
			hold(s, older, 63, 70)
		}, want: []Attr{{Name: "segments", After: "3 from the snapshot zr-20261123T100000Z, 000000010000000000000041 to 000000010000000000000043"}}},
		"a hole in which a snapshot is consistent": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 70), segments(1, 74, 109)...)
			hold(s, newest, 65, 80)
			snapshot(s, older).Properties[markConsistent] = zfs.Value{Value: (lsn(71) + 100).String(), Source: "local"}
		}, want: []Attr{{Name: "segments", After: "3 from the snapshot zr-20261123T113000Z, 000000010000000000000047 to 000000010000000000000049"}}},
		"what a snapshot begins with": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 61, 64), segments(1, 65, 109)...)
			hold(s, older, 59, 70)
		}, want: []Attr{{Name: "segments", After: "1 from the snapshot zr-20261123T100000Z, 00000001000000000000003C to 00000001000000000000003C"}}},
		"what a snapshot begins with and has itself": {from: func(s *State) {
			s.Archive.Inventory.Segments = segments(1, 61, 109)
			hold(s, oldest, 60, 61)
			hold(s, older, 59, 70)
		}},
		"a hole before all that is kept": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 50, 54), segments(1, 58, 109)...)
			hold(s, older, 50, 70)
		}},
		"a hole between single points": {edits: []string{"dir: /arch/wal", "dir: /arch/wal\n  continuousFor: 1h"}, from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
			hold(s, older, 63, 70)
		}},
		"a damaged one that a snapshot has": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 66, 109)...)
			s.Archive.Inventory.Damaged = segments(1, 65, 65)
			hold(s, older, 63, 70)
		}, want: []Attr{{Name: "segments", After: "1 from the snapshot zr-20261123T100000Z, 000000010000000000000041 to 000000010000000000000041"},
			{Name: "damaged", Before: "000000010000000000000041", After: "set aside, for a sound copy"}}},
		"a damaged one that nobody has": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 66, 109)...)
			s.Archive.Inventory.Damaged = segments(1, 65, 65)
		}},
		"a damaged one whose live copy the archiver brings": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 107), segments(1, 109, 109)...)
			s.Archive.Inventory.Damaged = segments(1, 108, 108)
			s.Archive.Live.Segments = segments(1, 105, 110)
		}, want: []Attr{{Name: "damaged", Before: "00000001000000000000006C", After: "set aside, for a sound copy"}}},
		"what was not observed": {from: func(s *State) {
			s.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
			hold(s, older, 63, 70)
			s.fail(kindRetention, errTest)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			in, state := archived(t, test.edits...)
			state.Archive.Path = wal.Path{{Timeline: 1}}
			if test.from != nil {
				test.from(state)
			}
			var got []Attr
			for _, c := range diffHealing(in) {
				got = append(got, c.Attrs...)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The end of a run is told by the reason why it goes no further.
func TestEndReason(t *testing.T) {
	in, state := archived(t)
	state.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
	state.Archive.Inventory.Damaged = []wal.SegmentFile{{Segment: wal.Segment{Timeline: 1, Number: 66}, Size: 100, ModTime: time.Time{}}}
	c := coverageOf(in, wal.Path{{Timeline: 1}})
	for at, want := range map[int]string{
		65:  "the WAL segment 000000010000000000000041 is missing",
		66:  "the archived WAL segment 000000010000000000000042 (100B) is damaged, and no other copy is there",
		110: "all WAL that was received",
	} {
		if got := in.endReason(c, lsn(at)); got != want {
			t.Errorf("at %d: %s", at, got)
		}
	}
}

// A snapshot is not the only one that has a segment while the archiver will bring
// the live copy, but is where the server may remove that any time.
func TestOnlyHolders(t *testing.T) {
	for name, test := range map[string]struct {
		from func(*State)
		want map[string]wal.Segment
	}{
		"nobody else has it":         {from: func(*State) {}, want: map[string]wal.Segment{older: {Timeline: 1, Number: 65}}},
		"the archiver will bring it": {from: func(s *State) { s.Archive.Live.Segments = segments(1, 65, 110) }, want: map[string]wal.Segment{}},
		"the archiver has done with it": {from: func(s *State) {
			s.Archive.Live.Segments = segments(1, 65, 110)
			s.Archive.Unpushed = []wal.Segment{{Timeline: 1, Number: 66}, {Timeline: 1, Number: 67}}
		}, want: map[string]wal.Segment{older: {Timeline: 1, Number: 66}}},
	} {
		t.Run(name, func(t *testing.T) {
			in, state := archived(t, "last: 3", "last: 1")
			snapshot(state, oldest).UserRefs = 1
			p := snapshot(state, older).Properties
			p[markWALFrom], p[markReplayed] = zfs.Value{Value: lsn(63).String(), Source: "local"}, zfs.Value{Value: (lsn(70) + 9).String(), Source: "local"}
			state.Archive.Path = wal.Path{{Timeline: 1}}
			state.Archive.Inventory.Segments = append(segments(1, 60, 64), segments(1, 68, 109)...)
			test.from(state)
			if diff := cmp.Diff(test.want, in.onlyHolders()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
