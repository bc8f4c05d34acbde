package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// traced is a run of supplies as text: "archive 1:3-5, live 1:6".
func traced(supplies []supply) string {
	var parts []string
	for _, s := range supplies {
		place := map[walPlace]string{inArchive: "archive", inLive: "live", inSnapshot: s.snapshot.Name}[s.place]
		part := fmt.Sprintf("%s %d:%d", place, s.first.Timeline, s.first.Number)
		if s.last != s.first {
			part += fmt.Sprintf("-%d", s.last.Number)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// A run of WAL goes on over archive, live pg_wal and snapshots, and over switches
// of timelines, and ends at the first byte that nobody has.
func TestCoverage(t *testing.T) {
	switched := wal.Path{{Timeline: 1, To: lsn(5) + 100}, {Timeline: 2, From: lsn(5) + 100}}
	tests := map[string]struct {
		path     wal.Path
		archive  []wal.SegmentFile
		live     []wal.SegmentFile
		received wal.LSN // by a server that runs
		held     [2]int  // the first segment that a snapshot's pg_wal has, and the one behind its last
		from     wal.LSN
		want     string
		end      wal.LSN
	}{
		"nothing":                         {from: lsn(3), end: lsn(3)},
		"archive, then live":              {archive: segments(1, 1, 3), live: segments(1, 3, 6), received: lsn(5) + 7, from: lsn(2) + 9, want: "archive 1:2-3, live 1:4-5", end: lsn(5) + 7},
		"what live has not received":      {live: segments(1, 3, 6), received: lsn(4), from: lsn(4), end: lsn(4)},
		"a hole":                          {archive: append(segments(1, 1, 3), segments(1, 5, 9)...), from: lsn(1), want: "archive 1:1-3", end: lsn(4)},
		"a hole that a snapshot fills":    {archive: append(segments(1, 1, 3), segments(1, 6, 9)...), held: [2]int{2, 6}, from: lsn(1), want: "archive 1:1-3, zr-20261123T110000Z 1:4-5, archive 1:6-9", end: lsn(10)},
		"a hole that it fills in part":    {archive: append(segments(1, 1, 3), segments(1, 6, 9)...), held: [2]int{2, 5}, from: lsn(1), want: "archive 1:1-3, zr-20261123T110000Z 1:4", end: lsn(5)},
		"a switch":                        {path: switched, archive: append(segments(1, 3, 4), segments(2, 5, 7)...), from: lsn(3), want: "archive 1:3-4, archive 2:5-7", end: lsn(8)},
		"the old file up to the switch":   {path: switched, archive: append(segments(1, 3, 5), segments(2, 6, 7)...), from: lsn(3), want: "archive 1:3-5", end: lsn(5) + 100},
		"the new one has the old's part":  {path: switched, archive: segments(2, 5, 7), from: lsn(5) + 8, want: "archive 2:5-7", end: lsn(8)},
		"of a timeline that was left":     {path: switched, archive: segments(1, 6, 9), from: lsn(6), end: lsn(6)},
		"of a timeline that never came":   {archive: segments(2, 1, 9), from: lsn(1), end: lsn(1)},
		"a standby that does not run":     {live: segments(1, 3, 6), from: lsn(3), want: "live 1:3-6", end: lsn(7)},
		"the newest timeline is the best": {path: switched, archive: append(segments(1, 5, 5), segments(2, 5, 5)...), from: lsn(5), want: "archive 2:5", end: lsn(6)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t)
			state := converged(t, site)
			state.ZFS.Snapshots = nil
			state.Archive.Inventory.Segments, state.Archive.Live.Segments = test.archive, test.live
			state.Cluster.Status = nil
			if test.received != 0 {
				state.Cluster.Status = &postgres.Status{Received: test.received}
			}
			if test.held != [2]int{} {
				held := snapshot(&state, addSnapshot(&state, site, ago(time.Hour), 1)).Properties
				for mark, value := range local(markWALFrom, lsn(test.held[0]).String(), markReplayed, lsn(test.held[1]).String()) {
					held[mark] = value
				}
			}
			path := test.path
			if path == nil {
				path = wal.Path{{Timeline: 1}}
			}
			supplies, end := coverageOf(givenView(site, &state), path).follow(test.from, 0)
			if got := traced(supplies); got != test.want || end != test.end {
				t.Errorf("%s up to %s, want %s up to %s", got, end, test.want, test.end)
			}
		})
	}
}

func TestFollowEndsAtItsBound(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.Archive.Inventory.Segments = segments(1, 1, 9)
	if supplies, _ := coverageOf(givenView(site, &state), wal.Path{{Timeline: 1}}).follow(lsn(2), lsn(4)+1); traced(supplies) != "archive 1:2-4" {
		t.Error(traced(supplies))
	}
}

func TestOnPath(t *testing.T) {
	path := wal.Path{{Timeline: 1, To: 500}, {Timeline: 3, From: 500}}
	tests := []struct {
		timeline   wal.Timeline
		consistent wal.LSN
		want       bool
	}{{1, 400, true}, {1, 500, true}, {1, 501, false}, {2, 400, false}, {3, 499, false}, {3, 500, true}, {3, 900, true}}
	for _, test := range tests {
		if got := (Snapshot{Timeline: test.timeline, Consistent: test.consistent}).onPath(path); got != test.want {
			t.Errorf("timeline %d at %s: %v", test.timeline, test.consistent, got)
		}
	}
}
