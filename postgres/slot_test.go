package postgres

import "testing"

// TestPitfall23_WhatASlotRetains writes WAL that nobody fetches through a slot:
// the primary keeps it, and says how much to one who may replicate, and before
// PostgreSQL 15 to one who may log in.
func TestPitfall23_WhatASlotRetains(t *testing.T) {
	ctx, c := testContext(t), newServer(t)
	repl := Primary{Conninfo: c.conninfo("repl"), Password: oddPassword}
	wide := Primary{Conninfo: c.conninfo("wide"), Password: "wide"}
	if err := CreateSlot(ctx, repl, "left_behind"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, "select pg_create_physical_replication_slot('reserves_nothing')")
	before := ask[int64](t, c, "select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn)::bigint from pg_replication_slots where slot_name = 'left_behind'")
	const written = 3 << 20
	mustExec(t, c, "create table filler as select repeat('x', 1000) from generate_series(1, 4000)")

	asks := map[string]func(name string) (Slot, bool, error){
		"READ_REPLICATION_SLOT": func(name string) (Slot, bool, error) { return ReadSlot(ctx, repl, name) },
		"pg_replication_slots":  func(name string) (Slot, bool, error) { return wide.selectSlot(ctx, name) },
	}
	for way, read := range asks {
		if slot, known, err := read("left_behind"); err != nil || !known || !slot.Exists || slot.Retained < before+written {
			t.Errorf("%s: %+v, %v, %v; it retained %d before %d more", way, slot, known, err, before, written)
		}
		if slot, known, err := read("reserves_nothing"); err != nil || !known || slot != (Slot{Exists: true}) {
			t.Errorf("%s: one that reserves nothing: %+v, %v, %v", way, slot, known, err)
		}
		if slot, known, err := read("no_such"); err != nil || !known || slot != (Slot{}) {
			t.Errorf("%s: one that is not there: %+v, %v, %v", way, slot, known, err)
		}
	}
	if _, known, err := repl.selectSlot(ctx, "left_behind"); known || err != nil {
		t.Errorf("one who may not log in is told: %v, %v", known, err)
	}
}
