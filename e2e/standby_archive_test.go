package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestPitfall23_TheArchiveHealsTheStandby rolls the standby back, as a person
// may, to where the primary has no WAL any more: it goes on from its own archive,
// and what it archives again meanwhile is there already. Pitfalls 18, 23.
func TestPitfall23_TheArchiveHealsTheStandby(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	must(t, p.Exec("ALTER SYSTEM SET wal_keep_size = 0", "SELECT pg_reload_conf()"))
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	snapshot := slices.Max(s.snapshotNames(t))
	needed := s.onPrimary(t, "SELECT pg_walfile_name(pg_current_wal_lsn())")
	for n := 2; n <= 5; n++ {
		must(t, p.Exec("SELECT pg_switch_wal()"))
		s.commit(t, n)
		s.caughtUp(t)
	}
	eventually(t, needed+" to be archived", func() bool { return slices.Contains(s.archived(t), needed) })
	must(t, p.Exec("CHECKPOINT"))
	if left := s.onPrimary(t, "SELECT count(*)::text FROM pg_ls_waldir() WHERE name = '"+needed+"'"); left != "0" {
		t.Fatalf("the primary still has %s", needed)
	}

	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	command(t, "zfs", "rollback", s.Name+"/data@"+snapshot)
	s.converges(t)
	s.standbyStreams(t)
	if got := s.standbyText(t, steps); got != "1 2 3 4 5" {
		t.Errorf("it holds %s", got)
	}
	eventually(t, needed+" to be archived again", func() bool {
		return s.standbyText(t, "SELECT (archived_count > 0 AND last_archived_wal >= '"+needed+"')::text FROM pg_stat_archiver") == "true"
	})
	if failed := s.standbyText(t, "SELECT failed_count || ' at ' || coalesce(last_failed_wal, 'none') FROM pg_stat_archiver"); failed != "0 at none" {
		t.Errorf("archiving failed: %s", failed)
	}
	s.isConverged(t)
}

// TestPitfall24_FullArchive leaves the archive's dataset no space: replay goes
// on, and status tells what archiving fails on until it does not.
func TestPitfall24_FullArchive(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	used := strings.TrimSpace(command(t, "zfs", "get", "-Hp", "-o", "value", "used", s.Name+"/wal"))
	command(t, "zfs", "set", "quota="+used, s.Name+"/wal")
	must(t, s.Primary.Exec("CREATE TABLE filler AS SELECT md5(n::text) || md5((-n)::text) AS t FROM generate_series(1, 400000) n", "SELECT pg_switch_wal()"))
	defer func() { must(t, s.Primary.Exec("DROP TABLE filler")) }()
	s.commit(t, 1)
	eventually(t, "archiving to fail", func() bool { return s.status(t).Standby.ArchiverFailing != "" })
	s.caughtUp(t)
	if got := s.standbyText(t, steps); got != "1" {
		t.Errorf("replay stands at %s", got)
	}
	failing := s.status(t).Standby.ArchiverFailing
	s.run(t, "status").exits(t, exitDone).says(t, "archiving fails at "+failing)

	command(t, "zfs", "set", "quota=none", s.Name+"/wal")
	must(t, s.Primary.Exec("SELECT pg_switch_wal()")) // the archiver sleeps a minute when it has failed
	eventually(t, "archiving to go on", func() bool { return s.status(t).Standby.ArchiverFailing == "" })
	if !slices.Contains(s.archived(t), failing) {
		t.Errorf("%s is not in the archive", failing)
	}
	if left, err := filepath.Glob(filepath.Join(s.WALMount, "archive", "."+failing+".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	s.isConverged(t)
}

// TestPitfall23_WhatTheSlotRetains: a slot spares the standby the loss of WAL and
// fills the primary's disk while the standby is away, so status says how much.
func TestPitfall23_WhatTheSlotRetains(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Slot = "zreconcile"
	s.write(t)
	s.converges(t)
	s.caughtUp(t)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	before := s.retained(t)
	const written = 3 << 20 // the end of the four is perhaps not flushed
	must(t, s.Primary.Exec("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1048576)) FROM generate_series(1, 4)"))
	if after := s.retained(t); after < before+written {
		t.Errorf("the slot retained %d bytes, and %d with %d more", before, after, written)
	}
	s.run(t, "status").exits(t, exitDone).says(t, "zreconcile retains")

	must(t, s.Primary.Stop())
	if st := s.status(t).Standby; st.Slot != "zreconcile" || st.SlotRetainedBytes != nil {
		t.Errorf("what a primary that is gone retains is shown as %d", *st.SlotRetainedBytes)
	}
	s.run(t, "status").exits(t, exitDone).says(t, "zreconcile, what it retains on the primary is unknown")
}

// retained is what status says of the slot, in bytes.
func (s *site) retained(t *testing.T) int64 {
	t.Helper()
	st := s.status(t).Standby
	if st.Slot != s.Slot || st.SlotRetainedBytes == nil {
		t.Fatalf("of the slot status says %s", fmt.Sprint(st.Slot, st.SlotRetainedBytes))
	}
	return *st.SlotRetainedBytes
}
