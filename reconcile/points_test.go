package reconcile

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

func TestOurs(t *testing.T) {
	site := givenSite(t, "  port: 1922", "  port: 1922\n  walDir: /walds/pg_wal", "  - name: wal", "  - name: walds\n    properties: {mountpoint: /walds}\n  - name: wal")
	state := emptyPool(site)
	second := addSnapshot(&state, site, ago(time.Hour), 92)
	first := addSnapshot(&state, site, ago(2*time.Hour), 91)
	addStranger(&state, "zp1/data", "by-hand", nil)
	addStranger(&state, "zp1/data", "zr-20200101T000000Z", inherited("zp1/data", markSite, "s1", markFormat, marksFormat)) // pitfall 54
	addStranger(&state, "zp1/data", "theirs", local(markSite, "s2", markFormat, marksFormat))
	addStranger(&state, "zp1/data", "later", local(markSite, "s1", markFormat, "2"))
	addStranger(&state, "zp1/data", "unmarked", local(markSite, "s1"))
	addStranger(&state, "zp1/other", "elsewhere", local(markSite, "s1", markFormat, marksFormat))
	addStranger(&state, "zp1/walds", "alone", local(markSite, "s1", markFormat, marksFormat))

	list := ours(site, &state)
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	if diff := cmp.Diff([]string{first, second}, names); diff != "" {
		t.Fatalf("oldest first, and nobody else's (-want +got):\n%s", diff)
	}
	var members []string
	for _, m := range list[0].Members {
		members = append(members, m.Full())
	}
	if diff := cmp.Diff([]string{"zp1/data@" + first, "zp1/walds@" + first}, members); diff != "" {
		t.Errorf("members, the data directory's first (-want +got):\n%s", diff)
	}
	s := list[0]
	if s.Redo != lsn(91) || s.Consistent != lsn(92) || s.Timeline != 1 || !s.TakenAt.Equal(ago(2*time.Hour)) || !s.complete() || s.SystemID != "7123456789012345678" {
		t.Errorf("read as %+v", s)
	}
	if at := newest(list); at == nil || !at.Equal(ago(time.Hour)) {
		t.Errorf("the newest is of %v", at)
	}
	if newest(nil) != nil || ours(&spec.Site{}, &state) != nil {
		t.Error("none is none")
	}
}

func TestHeld(t *testing.T) {
	tests := map[string][]zfs.Snapshot{
		"":                        {{}, {}},
		"has a clone":             {{}, {Clones: 2}},
		"has a hold":              {{UserRefs: 1}, {UserRefs: 1}},
		"has a clone, has a hold": {{Clones: 1}, {UserRefs: 1}},
	}
	for want, members := range tests {
		if got := (Snapshot{Members: members}).held(); got != want {
			t.Errorf("held = %q, want %q", got, want)
		}
	}
}

func TestIncompleteSnapshotTakesItsTimeFromZFS(t *testing.T) {
	s := newSnapshot(zfs.Snapshot{Creation: givenNow, Properties: local(markConsistent, "0/10", markTakenAt, "yesterday", markRedo, "nonsense")})
	if !s.TakenAt.Equal(givenNow) || s.Redo != 0 || s.complete() {
		t.Errorf("read as %+v", s)
	}
}
