package reconcile

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// gone is a parameter that nothing sets in a clone.
const gone = "(gone)"

// harmful are settings by which a clone would reach the live standby, its
// archive or its primary, or stop elsewhere, and what its server must load
// instead. since and until are the major versions that know them, 0 all.
var harmful = []struct {
	name, says, loads string
	since, until      int
}{
	{"Data_Directory", "/data/pg", gone, 0, 0},
	{"hba_file", "/data/pg/pg_hba.conf", gone, 0, 0},
	{"ident_file", "/data/pg/pg_ident.conf", gone, 0, 0},
	{"external_pid_file", "/run/live.pid", gone, 0, 0},
	{"port", "1922", "1923", 0, 0},
	{"listen_addresses", "*", "localhost", 0, 0},
	{"unix_socket_directories", "/run/live", "/run/zreconcile/s1/r", 0, 0},
	{"cluster_name", "live", "zreconcile-r", 0, 0},
	{"hot_standby", "off", "on", 0, 0},
	{"archive_mode", "always", "off", 0, 0},
	{"archive_command", "cp %p /arch/wal/%f", "", 0, 0},
	{"archive_library", "basic_archive", "", 15, 0},
	{"recovery_end_command", "rm -r /arch", "", 0, 0},
	{"archive_cleanup_command", "pg_archivecleanup /arch/wal %r", "", 0, 0},
	{"recovery_min_apply_delay", "1d", "0", 0, 0},
	{"recovery_target", "immediate", gone, 0, 0},
	{"recovery_target_time", "2020-03-21 17:28:37+00", gone, 0, 0},
	{"recovery_target_xid", "3", gone, 0, 0},
	{"recovery_target_name", "nowhere", gone, 0, 0},
	{"recovery_target_lsn", "0/1", "0/65000028", 0, 0},
	{"recovery_target_inclusive", "on", "off", 0, 0},
	{"recovery_target_timeline", "latest", "1", 0, 0},
	{"recovery_target_action", "shutdown", "pause", 0, 0},
	{"promote_trigger_file", "/run/trigger", "", 0, 15},
	{"primary_conninfo", "host=db", "", 0, 0},
	{"primary_slot_name", "live", "", 0, 0},
	{"synchronous_standby_names", "*", "", 0, 0},
	{"shared_preload_libraries", "pg_cron", "", 0, 0},
	{"max_logical_replication_workers", "8", "0", 0, 0},
	{"sync_replication_slots", "on", "off", 17, 0},
	{"shared_buffers", "32GB", "256MB", 0, 0},
}

// cloneLoads is what the server of a clone reads: first the snapshot's own
// files as they are made one, then the managed file, which wins.
func cloneLoads(t *testing.T, major int, files map[string]string, control postgres.ControlData, onTheWay wal.Settings) (base, managed map[string]string) {
	t.Helper()
	site := givenSite(t, "snapshots:\n", "restores: [{name: r, port: 1923, target: {latest: true}}]\nsnapshots:\n")
	state := converged(t, site)
	state.Server.Major = major
	in := givenView(site, &state)
	standby, err := wantedConf(in)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := standby.files
	for name, text := range files {
		snapshot[name] = append([]byte(text), snapshot[name]...)
	}
	w, err := in.cloneConf(site.Restores[0], StopPoint{LSN: lsn(101) + 40, Timeline: 1}, major, snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return conf.Effective(in.cloneBase(snapshot, control, onTheWay)), conf.Effective(w.files[managedFile])
}

// TestPitfall28_29_30_61_WhatACloneLoads: a clone has one target, a small
// shared_buffers, and nothing by which it could do harm, whatever the snapshot's
// files and ALTER SYSTEM say.
func TestPitfall28_29_30_61_WhatACloneLoads(t *testing.T) {
	for _, file := range []string{mainFile, autoFile} {
		for major := 12; major <= 17; major++ {
			t.Run(fmt.Sprint(file, " of ", major), func(t *testing.T) {
				var text strings.Builder
				for _, h := range harmful {
					if major >= h.since && (h.until == 0 || major <= h.until) {
						fmt.Fprintf(&text, "%s = '%s'\n", h.name, h.says)
					}
				}
				base, managed := cloneLoads(t, major, map[string]string{file: text.String()}, postgres.ControlData{}, wal.Settings{})
				maps.Copy(base, managed)
				for _, h := range harmful {
					got, set := base[strings.ToLower(h.name)]
					if !set {
						got = gone
					}
					want := h.loads
					if major < h.since || h.until != 0 && major > h.until {
						want = gone // an unknown parameter would keep the server from starting
					}
					if got != want {
						t.Errorf("%s is %q, want %q", h.name, got, want)
					}
				}
			})
		}
	}
}

// TestPitfall29_BothLayersOfAClone: what only a recovery obeys neither stays in
// the clone's own file nor is left to its default behind it.
func TestPitfall29_BothLayersOfAClone(t *testing.T) {
	var text strings.Builder
	for _, h := range harmful {
		fmt.Fprintf(&text, "%s = '%s'\n", h.name, h.says)
	}
	site := givenSite(t)
	state := converged(t, site)
	base := conf.Effective(givenView(site, &state).cloneBase(map[string][]byte{mainFile: []byte(text.String())}, postgres.ControlData{}, wal.Settings{}))
	_, managed := cloneLoads(t, 15, nil, postgres.ControlData{}, wal.Settings{})
	for _, name := range []string{"recovery_end_command", "archive_cleanup_command", "recovery_min_apply_delay", "promote_trigger_file",
		"primary_conninfo", "primary_slot_name", "unix_socket_directories"} {
		if value, set := base[name]; set {
			t.Errorf("%s = %q stays in postgresql.conf", name, value)
		}
		if _, set := managed[name]; !set {
			t.Errorf("%s is not set in %s", name, managedFile)
		}
	}
}

// TestPitfall31_NoLowerThanTheSnapshot: what a hot standby needs is what the
// snapshot's own pg_control says, or more where the WAL on the way or the live
// standby does.
func TestPitfall31_NoLowerThanTheSnapshot(t *testing.T) {
	const low = "max_connections = 10\nmax_worker_processes = 1\nmax_wal_senders = 1\nmax_prepared_transactions = 0\nmax_locks_per_transaction = 10\n"
	raised := postgres.ControlData{MaxConnections: 300, MaxWorkerProcesses: 30, MaxWALSenders: 31, MaxPreparedXacts: 32, MaxLocksPerXact: 333}
	for name, test := range map[string]struct {
		control  postgres.ControlData
		onTheWay wal.Settings
		want     map[string]string
	}{
		"the snapshot's": {raised, wal.Settings{MaxConnections: 150}, map[string]string{"max_connections": "300", "max_worker_processes": "30",
			"max_wal_senders": "31", "max_prepared_transactions": "32", "max_locks_per_transaction": "333"}},
		"on the way":         {raised, wal.Settings{MaxConnections: 400}, map[string]string{"max_connections": "400", "max_worker_processes": "30"}},
		"the live standby's": {postgres.ControlData{MaxConnections: 50}, wal.Settings{}, map[string]string{"max_connections": "100"}},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, managed := cloneLoads(t, 15, map[string]string{mainFile: low, managedFile: low, autoFile: low}, test.control, test.onTheWay)
			maps.Copy(loaded, managed)
			for parameter, want := range test.want {
				if got := loaded[parameter]; got != want {
					t.Errorf("%s is %s, want %s", parameter, got, want)
				}
			}
		})
	}
}
