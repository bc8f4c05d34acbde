package zfs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

// Pitfall 54: what a child, a clone and a snapshot were handed down is not theirs.
func TestPitfall54_LocalUserProperties(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	runs := &counter{}
	c := New(runs.run)
	must(t, c.CreateDataset(ctx, pool+"/d", []Prop{{"zr:b", "2"}, {"zr:a", "1"}, {"yy:c", "3"}, {"atime", "off"}}, false))
	must(t, c.CreateDataset(ctx, pool+"/d/e", nil, false))
	must(t, c.Snapshot(ctx, []string{pool + "/d"}, "s", []Prop{{"zr:a", "s"}}))
	datasets := []string{pool, pool + "/d", pool + "/d/e"}
	local := func() map[string][]string {
		t.Helper()
		found, err := c.LocalUserProperties(ctx, "zr:", datasets)
		must(t, err)
		return found
	}
	if diff := cmp.Diff(map[string][]string{pool + "/d": {"zr:a", "zr:b"}}, local()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n := len(runs.commands)
	must(t, c.InheritAll(ctx, "zr:a", []string{pool + "/d", pool + "/d@s"}))
	if got := len(runs.since(n)); got != 1 {
		t.Errorf("%d processes for two targets", got)
	}
	if diff := cmp.Diff(map[string][]string{pool + "/d": {"zr:b"}}, local()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	inv := inventory(t, c, pool, Query{SnapshotProperties: []string{"zr:a"}})
	if v := inv.Snapshots[0].Properties["zr:a"]; v.Local() {
		t.Errorf("the snapshot still has %+v", v)
	}
	must(t, c.InheritAll(ctx, "zr:a", []string{pool + "/d@s"})) // a second time changes nothing, and is no error
}

func TestArgumentBatchesHoldAllNames(t *testing.T) {
	names := make([]string, 2500)
	for i := range names {
		names[i] = strings.Repeat("n", 99)
	}
	total := 0
	for batch := range argumentBatches(names) {
		if len(batch) == 0 || len(strings.Join(batch, " "))+1 > argumentLimit {
			t.Errorf("a batch of %d names", len(batch))
		}
		total += len(batch)
	}
	if total != len(names) {
		t.Errorf("%d of %d names", total, len(names))
	}
}
