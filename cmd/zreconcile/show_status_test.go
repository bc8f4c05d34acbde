package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func at(t *testing.T, text string) *reconcile.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return &reconcile.Time{Time: moment}
}

func sampleStatus(t *testing.T) reconcile.Status {
	t.Helper()
	lagBytes, lagSeconds, retained := int64(2048), 0.1, int64(3<<30)
	s := reconcile.Status{
		Format: reconcile.Format, Site: "rds-prod",
		Pool: &reconcile.PoolStatus{Name: "zp1", Health: "ONLINE", Size: 100 << 30, Free: 60 << 30},
		Standby: reconcile.StandbyStatus{
			State: reconcile.StandbyStreaming, Running: true, Connected: true, InRecovery: true, SystemIdentifier: "7300000000000000001", Timeline: 1,
			ReceivedLSN: 0x11D97002068, ReplayedLSN: 0x11D97002000, ReplayedCommitAt: at(t, "2026-11-23T00:00:29Z"),
			LagBytes: &lagBytes, LagSeconds: &lagSeconds, PendingRestart: []string{"max_connections"},
			Connect: "host=/run/zreconcile/rds-prod port=1922", Slot: "zreconcile", SlotRetainedBytes: &retained,
		},
		Archive: reconcile.ArchiveStatus{
			Segments: 12, Bytes: 12 << 24, First: "000000010000011D00000090", Last: "000000010000011D00000097",
			Gaps: []reconcile.ArchiveGap{{Timeline: 1, From: "000000010000011D00000092", To: "000000010000011D00000093"}},
			Keeps: []reconcile.ArchiveKeep{
				{Timeline: 1, From: "000000010000011D00000090", To: "000000010000011D00000091", Segments: 2, Bytes: 2 << 24, Who: []string{"snapshot zr-20261121T010100Z"}, Needs: 1},
				{Timeline: 1, From: "000000010000011D00000094", To: "000000010000011D00000094", Segments: 1, Bytes: 1 << 24, Who: []string{}},
				{Timeline: 1, From: "000000010000011D00000095", To: "000000010000011D00000096", Segments: 2, Bytes: 2 << 24, Who: []string{"snapshot zr-20261122T010100Z", "restore before-drop"}, Needs: 7},
				{Timeline: 1, From: "000000010000011D00000097", To: "000000010000011D00000097", Segments: 1, Bytes: 1 << 24, Who: []string{"the standby"}, Needs: 1},
			},
		},
		Snapshots: []reconcile.SnapshotStatus{
			{Name: "zr-20261121T010100Z", TakenAt: at(t, "2026-11-21T01:01:00Z"), Used: 320 << 10,
				Earliest: &reconcile.Moment{LSN: 0x11D90000028, Time: at(t, "2026-11-21T01:01:01Z")}, KeptBy: []string{"last 2", "daily 2"},
				Verified: &reconcile.Verification{At: *at(t, "2026-11-21T04:30:00Z"), OK: true, Findings: []string{}}},
			{Name: "zr-20261122T010100Z", TakenAt: at(t, "2026-11-22T01:01:00Z"), Used: 64 << 10,
				KeptBy: []string{"last 1", "daily 1", "held"}, Label: "before the migration",
				Verified: &reconcile.Verification{At: *at(t, "2026-11-22T04:30:00Z"), Findings: []string{"amcheck: database postgres: index public.orders_pkey: item order invariant violated"}}},
		},
		LastDrill: &reconcile.LastDrill{At: *at(t, "2026-11-22T04:30:00Z"), Snapshot: "zr-20261122T010100Z"},
		Windows: []reconcile.Window{
			{From: *at(t, "2026-11-21T01:01:01Z"), To: *at(t, "2026-11-21T12:00:00Z")},
			{From: *at(t, "2026-11-22T01:01:00Z"), To: *at(t, "2026-11-23T00:00:29Z")},
		},
		Restores: []reconcile.RestoreStatus{
			{Name: "before-drop", State: "running", Snapshot: "zr-20261121T010100Z", Port: 1923,
				Reached: &reconcile.Moment{LSN: 0x11D91000028, Time: at(t, "2026-11-21T09:28:37Z")},
				Connect: "host='/run/zr econcile/x' port=1923", ExpiresAt: at(t, "2026-11-23T06:00:30Z")},
			{Name: "too-old", State: "refused", Why: "no snapshot is that old\nthe nearest moment is 2026-11-21 01:01:01"},
		},
	}
	s.Verdict = reconcile.Judge(judgedSite(), s, testNow)
	return s
}

// judgedSite has the limits that a status is judged by.
func judgedSite() *spec.Site {
	return &spec.Site{
		Pool: spec.Pool{Name: "zp1"}, Standby: &spec.Standby{}, Snapshots: &spec.Snapshots{}, Verify: &spec.Verify{}, Timezone: time.UTC,
		Health: spec.Health{Lag: 5 * time.Minute, SnapshotAge: 26 * time.Hour, DrillAge: 8 * 24 * time.Hour, Free: 0.15},
	}
}

func TestShowStatus(t *testing.T) {
	down := reconcile.Status{
		Site: "rds-prod", Pool: &reconcile.PoolStatus{Name: "zp1", Health: "DEGRADED"}, Standby: reconcile.StandbyStatus{State: reconcile.StandbyStopped},
		Failures: []string{"the primary: connection refused"},
	}
	promoted := sampleStatus(t)
	promoted.Standby = reconcile.StandbyStatus{State: reconcile.StandbyPromoted, Running: true, ArchiverFailing: "000000010000011D00000097", Slot: "zreconcile"}
	promoted.Restores[0].Promoted = true
	for range 20 {
		promoted.Snapshots = append(promoted.Snapshots, promoted.Snapshots[1])
		promoted.Windows = append(promoted.Windows, promoted.Windows[1])
	}
	safe := sampleStatus(t)
	safe.Standby.PendingRestart, safe.LastDrill, safe.Restores = nil, &reconcile.LastDrill{At: *at(t, "2026-11-22T18:00:00Z"), OK: true, Snapshot: "zr-20261121T010100Z"}, safe.Restores[:1]
	for _, s := range []*reconcile.Status{&down, &promoted, &safe} {
		s.Verdict = reconcile.Judge(judgedSite(), *s, testNow)
	}
	tests := []struct {
		golden string
		status reconcile.Status
		colour palette
	}{
		{"status.txt", sampleStatus(t), false},
		{"status-safe.txt", safe, false},
		{"status-safe-colour.txt", safe, true},
		{"status-colour.txt", sampleStatus(t), true},
		{"status-down.txt", down, false},
		{"status-promoted.txt", promoted, false},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			var out bytes.Buffer
			v := view{w: &out, palette: test.colour, utf8: bool(test.colour), width: 80, now: testNow, zone: time.UTC}
			showStatus(v, test.status, login{"postgres", "postgres", "host=db port=5432 sslmode=require"})
			golden(t, test.golden, out.Bytes())
		})
	}
}

// What is wrong with a pool stands in status, as text and as a page; what nobody
// tells of one that is suspended does not.
func TestStatusOfAPoolWithFaults(t *testing.T) {
	s := sampleStatus(t)
	s.Pool = &reconcile.PoolStatus{Name: "zp1", Health: "SUSPENDED", Faults: []string{"/dev/disk/by-id/nvme-B is REMOVED"}, Words: "Make sure the affected devices are connected."}
	var out bytes.Buffer
	showStatus(view{w: &out, width: 80, now: testNow, zone: time.UTC}, s, login{})
	for name, text := range map[string]string{"text": out.String(), "page": page(t, s)} {
		for _, want := range []string{"SUSPENDED", s.Pool.Faults[0], s.Pool.Words} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s does not say %q", name, want)
			}
		}
		if strings.Contains(text, "0B of 0B") {
			t.Errorf("the %s tells of free space that is not known", name)
		}
	}
	if _, known := poolBytes(s, func(p reconcile.PoolStatus) int64 { return p.Free }); known {
		t.Error("the metrics tell of free space that is not known")
	}
}

func TestStatusJSON(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, sampleStatus(t)); err != nil {
		t.Fatal(err)
	}
	golden(t, "status.json", out.Bytes())
	out.Reset()
	if err := writeJSON(&out, blankStatus("rds-prod")("zfs list failed")); err != nil {
		t.Fatal(err)
	}
	golden(t, "status-blank.json", out.Bytes())
}

func TestWindowIsRoundedInwards(t *testing.T) {
	v := view{zone: time.UTC}
	for _, test := range []struct{ from, to, want string }{
		{"2026-11-21T01:01:00.2Z", "2026-11-21T12:00:00.9Z", "2026-11-21 01:01:01Z to 2026-11-21 12:00:00Z"},
		{"2026-11-21T01:01:00Z", "2026-11-21T12:00:00Z", "2026-11-21 01:01:00Z to 2026-11-21 12:00:00Z"},
		{"2026-11-21T01:01:00.2Z", "2026-11-21T01:01:00.4Z", "2026-11-21T01:01:00.200000Z to 2026-11-21T01:01:00.400000Z"},
	} {
		if got := window(v, reconcile.Window{From: *at(t, test.from), To: *at(t, test.to)}); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestPsql(t *testing.T) {
	got := psql("host=/run/x port=1", login{role: `o'brien \`, database: "my db"})
	want := `psql 'host=/run/x port=1 user='\''o\'\''brien \\'\'' dbname='\''my db'\'''`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestUnknownLSN(t *testing.T) {
	if got := lsn(wal.LSN(0)); got != "" {
		t.Errorf("no position is shown as %q", got)
	}
}
