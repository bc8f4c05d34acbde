package reconcile

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres"
)

func TestLag(t *testing.T) {
	at := func(d time.Duration) *time.Time { return new(givenNow.Add(d)) }
	streaming := postgres.Status{InRecovery: true, ReceiverState: "streaming", Received: lsn(5), Replayed: lsn(5), ReceiverLatestEnd: lsn(5), ReplayedCommitAt: at(-time.Hour)}
	with := func(f func(*postgres.Status)) postgres.Status { s := streaming; f(&s); return s }
	number := func(f float64) *float64 { return &f }
	bytes := func(n int64) *int64 { return &n }
	tests := map[string]struct {
		status  postgres.Status
		bytes   *int64
		seconds *float64
	}{
		"all is replayed, however long ago":          {streaming, bytes(0), number(0)},
		"received and not replayed":                  {with(func(s *postgres.Status) { s.Received += 7 }), bytes(7), number(3600)},
		"the primary has more":                       {with(func(s *postgres.Status) { s.ReceiverLatestEnd += 9 }), bytes(9), number(3600)},
		"behind, since it is not known when":         {with(func(s *postgres.Status) { s.Received += 7; s.ReplayedCommitAt = nil }), bytes(7), nil},
		"behind is never 0, whatever the clocks say": {with(func(s *postgres.Status) { s.Received += 7; s.ReplayedCommitAt = at(time.Minute) }), bytes(7), number(leastLag)},
		// pitfall 11
		"the primary's clock is ahead": {with(func(s *postgres.Status) {
			s.Received += 7
			s.PrimaryTime, s.LastMsgReceiptAt, s.ReplayedCommitAt = at(time.Hour-time.Second), at(-time.Second), at(time.Hour-10*time.Second)
		}), bytes(7), number(10)},
		"not connected": {with(func(s *postgres.Status) { s.ReceiverState = "" }), nil, number(3600)},
		// pitfall 15
		"not connected, and nothing replayed since the start": {with(func(s *postgres.Status) { s.ReceiverState, s.ReplayedCommitAt = "", nil }), nil, nil},
		"not connected, just now":                             {with(func(s *postgres.Status) { s.ReceiverState, s.ReplayedCommitAt = "", at(0) }), nil, number(leastLag)},
		"promoted":                                            {with(func(s *postgres.Status) { s.InRecovery, s.ReceiverState = false, "" }), nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b, s := lag(test.status, givenNow)
			if !cmp.Equal(b, test.bytes) || !cmp.Equal(s, test.seconds) {
				t.Errorf("got %v and %v:%s%s", b, s, cmp.Diff(test.bytes, b), cmp.Diff(test.seconds, s))
			}
		})
	}
}

// TestPitfall24_ArchiverFailures: the last failure counts until something was
// archived after it, and only then.
func TestPitfall24_ArchiverFailures(t *testing.T) {
	const segment = "00000001000000000000006E"
	earlier, later := new(ago(time.Minute)), new(ago(time.Second))
	for name, test := range map[string]struct {
		archived, failed *time.Time
		want             string
	}{
		"never failed":               {archived: later},
		"failed before anything was": {failed: earlier, want: segment},
		"failed since":               {archived: earlier, failed: later, want: segment},
		"goes on after a failure":    {archived: later, failed: earlier},
	} {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t)
			state := converged(t, site)
			s := state.Cluster.Status
			s.LastArchivedAt, s.LastFailedAt, s.LastFailedWAL = test.archived, test.failed, segment
			if got := givenView(site, &state).standbyStatus().ArchiverFailing; got != test.want {
				t.Errorf("shown as failing: %q, want %q", got, test.want)
			}
		})
	}
}

// promised are the fields of the contract, by where they stand.
var promised = map[string][]string{
	"":          {"format", "site", "standby", "archive", "snapshots", "windows", "restores"},
	"standby":   {"running", "systemIdentifier", "timeline", "receivedLSN", "replayedLSN", "replayedCommitAt", "lagBytes", "lagSeconds", "pendingRestart"},
	"archive":   {"segments", "first", "last", "gaps"},
	"gaps":      {"timeline", "from", "to"},
	"snapshots": {"name", "guid", "takenAt", "redoLSN", "earliest", "latest", "keptBy", "verified"},
	"windows":   {"from", "to"},
	"restores":  {"name", "state", "snapshot", "reached", "port", "connect", "expiresAt"},
}

func TestStatusHasTheFieldsOfTheContract(t *testing.T) {
	s := Status{Standby: (&view{site: givenSite(t), state: &State{}}).standbyStatus(), Archive: ArchiveStatus{Gaps: []ArchiveGap{{}}},
		Snapshots: []SnapshotStatus{{}}, Windows: []Window{{}}, Restores: []RestoreStatus{{}}}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var have any
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatal(err)
	}
	checkPromised(t, "", have)
}

func checkPromised(t *testing.T, where string, have any) {
	t.Helper()
	switch v := have.(type) {
	case []any:
		for _, e := range v {
			checkPromised(t, where, e)
		}
	case map[string]any:
		for _, name := range promised[where] {
			if _, there := v[name]; !there {
				t.Errorf("%s %s is not among %q", where, name, slices.Sorted(maps.Keys(v)))
			}
		}
		for name, e := range v {
			checkPromised(t, name, e)
		}
	}
}

func TestPlanHasTheFieldsOfTheContract(t *testing.T) {
	b, err := json.Marshal(newPlan("s1", []Change{{Action: Block}}, nil, time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":1,"site":"s1","converged":false,"changes":[{"kind":"","name":"","action":"block","why":"","attrs":[]}],` +
		`"summary":{"create":0,"update":0,"replace":0,"delete":0,"start":0,"stop":0,"block":1},"next":null}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestReportOfAConvergedHost(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.Archive.Inventory.Segments = append(segments(1, 90, 95), segments(1, 98, 100)...)
	in := givenView(site, &state)
	commit := ago(time.Minute)
	wantStandby := StandbyStatus{State: StandbyStreaming, Running: true, Connected: true, InRecovery: true, SystemIdentifier: "7123456789012345678", Timeline: 1, ReceivedLSN: lsn(110), ReplayedLSN: lsn(110),
		ReplayedCommitAt: timePtr(commit), LagBytes: new(int64), LagSeconds: new(float64), PendingRestart: []string{}, Connect: "host=/run/zreconcile/s1 port=1922", Role: "postgres", ArchiveFailures: new(int64)}
	if diff := cmp.Diff(wantStandby, in.standbyStatus()); diff != "" {
		t.Errorf("standby (-want +got):\n%s", diff)
	}
	wantArchive := ArchiveStatus{Segments: 9, Bytes: 9 * givenSegment, First: "00000001000000000000005A", Last: "000000010000000000000064",
		Gaps: []ArchiveGap{{Timeline: 1, From: "000000010000000000000060", To: "000000010000000000000061"}}, NeededBy: "snapshot zr-20261123T113000Z, from 0/5A000000", Keeps: []ArchiveKeep{
			{Timeline: 1, From: "00000001000000000000005A", To: "00000001000000000000005F", Segments: 6, Bytes: 6 * givenSegment, Who: []string{"snapshot zr-20261123T113000Z"}, Needs: 1},
			{Timeline: 1, From: "000000010000000000000062", To: "000000010000000000000063", Segments: 2, Bytes: 2 * givenSegment, Who: []string{"snapshot zr-20261123T113000Z"}, Needs: 1},
			{Timeline: 1, From: "000000010000000000000064", To: "000000010000000000000064", Segments: 1, Bytes: givenSegment, Who: []string{"the standby", "snapshot zr-20261123T113000Z"}, Needs: 2}}}
	if diff := cmp.Diff(wantArchive, in.archiveStatus()); diff != "" {
		t.Errorf("archive (-want +got):\n%s", diff)
	}
	taken := ago(30 * time.Minute)
	wantSnapshots := []SnapshotStatus{{Name: "zr-20261123T113000Z", GUID: "zp1/data-1795433400", TakenAt: timePtr(taken), RedoLSN: lsn(90),
		Earliest: &Moment{LSN: lsn(91), Time: timePtr(taken.Add(-time.Second))}, KeptBy: []string{"last 1"}}}
	if diff := cmp.Diff(wantSnapshots, in.snapshotStatuses()); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
}

func TestWindows(t *testing.T) {
	at := func(minutes int) *Time { return timePtr(givenNow.Add(time.Duration(minutes) * time.Minute)) }
	snap := func(from, to int) SnapshotStatus {
		return SnapshotStatus{Earliest: &Moment{Time: at(from)}, Latest: &Moment{Time: at(to)}}
	}
	list := []SnapshotStatus{snap(0, 5), snap(5, 8), snap(7, 7), {}, {Earliest: &Moment{}, Latest: &Moment{}}, snap(20, 30), snap(21, 25)}
	list[1].LatestWhy = "a segment is missing"
	want := []Window{{From: *at(0), To: *at(8), Why: "a segment is missing"}, {From: *at(20), To: *at(30)}}
	if diff := cmp.Diff(want, windows(list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := windows(nil); got == nil || len(got) != 0 {
		t.Error("none is an empty list, not null")
	}
}

func TestRestoreStates(t *testing.T) {
	site := givenSite(t, "{last: 2}\n", `{last: 2}
restores:
  - {name: running, port: 1923, target: {latest: true}, expiresAfter: 1h}
  - {name: refused, port: 1924, target: {latest: true}}
  - {name: waiting, port: 1925, target: {latest: true}}
`)
	state := converged(t, site)
	made, reached := FormatTime(ago(time.Minute)), FormatTime(ago(time.Hour))
	addClone(&state, site, "running", markMadeAt, made, markPort, "1923", markBase, "zp1/data@zr-1", markReachedLSN, "0/10", markReachedAt, reached)
	addClone(&state, site, "gone", markPort, "1926")
	addClone(&state, site, "unfinished", markState, stateMaking)
	state.Clones[0].Process, state.Clones[0].SocketDir = postgres.Process{Running: true, Port: 1923}, "/run/zreconcile/s1/running"
	state.Resolved["refused"] = Resolution{Refused: "a gap"}
	type brief struct {
		State, Why, Snapshot, Connect string
		Port                          int
	}
	want := map[string]brief{
		"running":    {State: "running", Snapshot: "zr-1", Connect: "host=/run/zreconcile/s1/running port=1923", Port: 1923},
		"refused":    {State: "refused", Why: "a gap", Port: 1924},
		"waiting":    {State: "stopped", Why: "not made yet", Port: 1925},
		"gone":       {State: "stopped", Why: "not in the file any more", Port: 1926},
		"unfinished": {State: "failed", Why: "not in the file any more"},
	}
	got := map[string]brief{}
	for _, s := range givenView(site, &state).restoreStatuses() {
		got[s.Name] = brief{s.State, s.Why, s.Snapshot, s.Connect, s.Port}
		if s.Name == "running" {
			if s.Reached == nil || s.Reached.LSN != 0x10 || s.Reached.Time.String() != reached || s.ExpiresAt == nil || !s.ExpiresAt.Equal(ago(-59*time.Minute)) {
				t.Errorf("running: reached %v, expires %v", s.Reached, s.ExpiresAt)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What can be written to the pool is the root dataset's to say, and how much that is
// depends on the segments of the cluster.
func TestReportOfThePool(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	dataset(&state, "zp1").Available = 3 << 30
	state.Cluster.Control.SegmentSize = 1 << 30
	pool := (&view{site: site, state: &state, now: givenNow}).poolStatus()
	if pool.Available == nil || *pool.Available != 3<<30 || pool.Segment != 1<<30 {
		t.Errorf("%+v", pool)
	}
}
