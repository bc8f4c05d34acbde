package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// TestOpening holds when a server of a clone lets sessions in to what
// ProcArrayApplyRecoveryInfo of procarray.c does. Pitfall 32.
func TestOpening(t *testing.T) {
	running := func(count uint32, overflow bool, next, oldest uint32) wal.Record {
		return wal.Record{Kind: wal.RunningXacts, Running: wal.Running{Count: count, Overflow: overflow, Next: next, Oldest: oldest}}
	}
	for _, c := range []struct {
		name    string
		records []wal.Record
		want    int // which record lets in; -1 is none
	}{
		{"the first record tells all", []wal.Record{{Kind: wal.Commit}, running(3, false, 100, 90)}, 1},
		{"nothing is told", []wal.Record{{Kind: wal.Commit}, {Kind: wal.CheckpointOnline}}, -1},
		{"a shutdown checkpoint", []wal.Record{{Kind: wal.CheckpointShutdown}}, 0},
		{"a later record tells all", []wal.Record{running(3, true, 100, 90), running(3, false, 110, 105)}, 1},
		{"the long transaction still runs", []wal.Record{running(3, true, 100, 90), running(2, true, 200, 90)}, -1},
		{"another one runs, all of the first are over", []wal.Record{running(3, true, 100, 90), running(2, true, 200, 99), running(2, true, 300, 100)}, 2},
		{"nothing runs any more", []wal.Record{running(3, true, 100, 90), running(0, true, 200, 80)}, 1},
		{"numbers began again", []wal.Record{running(3, true, 5, 4294967000), running(1, true, 20, 4294967295), running(1, true, 20, 5)}, 2},
	} {
		var o opening
		got := -1
		for i, record := range c.records {
			if o.sees(record) {
				got = i
				break
			}
		}
		if got != c.want {
			t.Errorf("%s: record %d, want %d", c.name, got, c.want)
		}
	}
}
