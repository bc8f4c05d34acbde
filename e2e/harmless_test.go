package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
	"github.com/zreconcile/zreconcile/postgres/version"
)

// hostile is a configuration by which a clone would run as the live standby,
// archive for it, wait for ever, stop elsewhere, or start programs of its own.
// %[1]s is the live data directory, %[2]s a folder in which any file is a trace,
// %[3]d the standby's port, %[4]s its socket folder, %[5]d the primary's port.
const hostile = `
data_directory = '%[1]s'
hba_file = '%[2]s/hba.conf'
ident_file = '%[2]s/ident.conf'
external_pid_file = '%[2]s/pid'
include_dir = '%[2]s/conf.d'
include '%[2]s/conf.d/more.conf'
Port %[3]d
listen_addresses = '*'
unix_socket_directories = '%[4]s'
cluster_name = 'live'
shared_buffers = '900TB'
hot_standby = off
archive_mode = always
archive_command = 'touch %[2]s/archived'
restore_command = 'touch %[2]s/restored; false'
recovery_end_command = 'touch %[2]s/ended'
archive_cleanup_command = 'touch %[2]s/cleaned'
recovery_min_apply_delay = '1d'
recovery_target = 'immediate'
recovery_target_xid = '3'
recovery_target_timeline = 'latest'
recovery_target_action = 'shutdown'
promote_trigger_file = '%[2]s/trigger'
primary_conninfo = 'host=127.0.0.1 port=%[5]d user=replicator password=plain-secret'
primary_slot_name = 'held'
synchronous_standby_names = '*'
shared_preload_libraries = 'pg_prewarm'
max_logical_replication_workers = 8
logging_collector = on
log_directory = '%[2]s'
log_filename = 'log'
`

// hostileSystem is what ALTER SYSTEM left.
const hostileSystem = `
hot_standby = 'off'
archive_mode = 'on'
archive_command = 'touch %[2]s/archived-too'
recovery_target_name = 'nowhere'
primary_conninfo = 'host=127.0.0.1 port=%[5]d user=replicator password=plain-secret'
`

// spoils takes a snapshot that holds more files, or more in them, than the
// running standby has read, and puts everything back.
func (s *site) spoils(t *testing.T, files map[string]string) (snapshot string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(s.DataDir(), name)
		was, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			defer func() { must(t, os.Remove(path)) }()
		} else {
			must(t, err)
			defer func() { must(t, os.WriteFile(path, was, 0o600)) }()
		}
		must(t, os.WriteFile(path, append(was, text...), 0o600))
		command(t, "chown", "postgres:postgres", path)
	}
	before := s.snapshotNames(t)
	s.run(t, "snapshot").exits(t, exitDone)
	after := s.snapshotNames(t)
	if len(after) != len(before)+1 {
		t.Fatalf("snapshots: %q, then %q", before, after)
	}
	return after[len(after)-1]
}

// TestHostileSnapshot makes restores, one of them promoted, from a snapshot that
// holds all that could do harm. The live standby, the primary and the archive
// feel nothing of them. Pitfalls 25, 26, 28, 29, 30, 31, 32, 34, 35, 61.
func TestHostileSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.subscribes(t)
	s.caughtUp(t)
	s.standbyText(t, "SELECT slot_name::text FROM pg_create_physical_replication_slot('held', true)")
	trap := filepath.Join(s.Dir, "trap")
	must(t, os.MkdirAll(filepath.Join(trap, "conf.d"), 0o755))
	must(t, os.WriteFile(filepath.Join(trap, "conf.d", "more.conf"), []byte("archive_mode = on\nport = 1\n"), 0o644))
	for _, name := range []string{"trigger", "hba.conf", "ident.conf"} {
		must(t, os.WriteFile(filepath.Join(trap, name), nil, 0o644))
	}
	command(t, "chown", "-R", "postgres:postgres", trap)
	fill := func(text string) string {
		return fmt.Sprintf(text+"# %[1]s %[2]s %[3]d %[4]s %[5]d\n", s.DataDir(), trap, s.Port, s.Dir+"/s", s.Primary.Port)
	}
	snapshot := s.spoils(t, map[string]string{
		"postgresql.conf":      fill(hostile),
		"postgresql.auto.conf": fill(hostileSystem),
		"postmaster.opts":      "/bin/false\n",
		".s.PGSQL.5432.lock":   fmt.Sprintf("%d\n", s.postmaster(t)),
		"recovery.done":        "\n",
	})
	s.converges(t)
	before := s.traces(t)
	trapped := s.files(t, trap)

	s.commit(t, 2)
	s.caughtUp(t)
	s.declare(t,
		entry{Name: "paused", Target: "latest: true", Port: freePort(t)},
		entry{Name: "own", Target: "snapshot: " + snapshot, Port: freePort(t), More: []string{"action: promote"}},
		entry{Name: "live-too", Target: "latest: true", Port: freePort(t), More: []string{"action: promote"}})
	s.converges(t)
	for name, want := range map[string]string{"paused": "1 2", "own": "1", "live-too": "1 2"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
		s.harmless(t, name)
		s.quiet(t, name)
	}
	for _, name := range []string{"own", "live-too"} {
		// What waits for a synchronous standby would hang here.
		if got := s.on(t, name, "WITH i AS (INSERT INTO steps VALUES (99) RETURNING n) SELECT n::text FROM i"); got != "99" {
			t.Errorf("an insert into %s gives %s", name, got)
		}
		s.on(t, name, "SELECT pg_switch_wal()::text")
	}
	if got := s.on(t, "live-too", "SELECT system_identifier::text FROM pg_control_system()"); got != s.status(t).Standby.SystemIdentifier {
		t.Errorf("the system identifier of a clone is %s", got) // which is why nothing may go by it
	}
	// The pid file in the snapshot was the live standby's.
	dir := s.cloneDir(t, "own")
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", dir)
	if _, err := os.Stat(filepath.Join(dir, "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("pg_ctl stop did not stop the clone: %v", err)
	}

	s.commit(t, 3)
	s.standbyStreams(t)
	if got := s.files(t, trap); got != trapped {
		t.Errorf("traces of a clone: %s, and before there were %s", got, trapped)
	}
	after := s.traces(t)
	for what, was := range before {
		standbys := what == "postmaster" || what == "started" || strings.HasPrefix(what, s.DataDir()+"/")
		if standbys && after[what] != was {
			t.Errorf("%s changed from %q to %q", what, was, after[what])
		}
	}
	if found, _ := filepath.Glob(filepath.Join(s.WALMount, "archive", "00000002*")); len(found) > 0 {
		t.Errorf("a clone archived %q", found)
	}
	if got := s.onPrimary(t, "SELECT string_agg(application_name, ' ') FROM pg_stat_replication"); got != "zreconcile-"+s.Name {
		t.Errorf("the primary feeds %s", got)
	}
}

// subscribes makes a subscription on the primary that any copy of it would
// consume, if it were let.
func (s *site) subscribes(t *testing.T) {
	t.Helper()
	must(t, s.Primary.Exec(
		fmt.Sprintf("CREATE SUBSCRIPTION consumed CONNECTION 'host=127.0.0.1 port=%d dbname=postgres user=replicator password=plain-secret' PUBLICATION p WITH (connect = false, slot_name = 'live')", s.Primary.Port),
		"ALTER SUBSCRIPTION consumed ENABLE"))
}

// quiet asks a clone's own server what it does and what it would do.
func (s *site) quiet(t *testing.T, name string) {
	t.Helper()
	for query, want := range map[string]string{
		"SELECT count(*)::text FROM pg_subscription WHERE subenabled":       "1", // it is there, and idle
		"SELECT count(*)::text FROM pg_stat_subscription WHERE pid > 0":     "0",
		"SELECT count(*)::text FROM pg_replication_slots":                   "0",
		"SELECT count(*)::text FROM pg_stat_wal_receiver":                   "0",
		"SELECT archived_count + failed_count || '' FROM pg_stat_archiver":  "0",
		"SHOW recovery_min_apply_delay":                                     "0",
		"SHOW synchronous_standby_names":                                    "",
		"SHOW external_pid_file":                                            "",
		"SHOW archive_library":                                              "",
		"SHOW cluster_name":                                                 "zreconcile-" + name,
		"SHOW hba_file":                                                     s.cloneDir(t, name) + "/pg_hba.conf",
		"SHOW ident_file":                                                   s.cloneDir(t, name) + "/pg_ident.conf",
		"SHOW unix_socket_directories":                                      "/run/zreconcile/" + s.Name + "/" + name,
		"SELECT string_agg(DISTINCT sourcefile, ' ') FROM pg_file_settings": s.cloneDir(t, name) + "/postgresql.conf " + s.cloneDir(t, name) + "/zreconcile.conf",
		"SELECT coalesce(string_agg(backend_type, ' '), '') FROM pg_stat_activity WHERE backend_type ~ 'logical|prewarm|archiver|walreceiver|walsender'": "",
	} {
		if got := s.on(t, name, query); got != want {
			t.Errorf("%s: %s: %q, want %q", name, query, got, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(s.cloneDir(t, name), ".s.PGSQL.5432.lock")); !os.IsNotExist(err) {
		t.Errorf("%s keeps a stale socket's lock: %v", name, err)
	}
}

// files lists a folder's.
func (s *site) files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// TestPromotedRestoreIsApart: what a promoted restore writes, on a timeline of
// the same number as the primary's next, reaches neither the archive nor the
// live standby, even where somebody turns archiving on in it; the standby starts
// again, later restores do not follow the restore, nor does the next one of its
// name. Pitfalls 29, 34, 35.
func TestPromotedRestoreIsApart(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	e := entry{Name: "r", Target: "latest: true", Port: freePort(t), More: []string{"action: promote", "keep: false"}}
	s.declare(t, e)
	s.converges(t)
	write := func(n int) {
		t.Helper()
		s.on(t, "r", fmt.Sprintf("WITH i AS (INSERT INTO steps VALUES (%d)) SELECT pg_switch_wal()::text", n))
		s.on(t, "r", "SELECT pg_create_restore_point('a record in the next')::text")
	}
	write(97)
	write(98)
	own := filepath.Join(s.cloneDir(t, "r"), "pg_wal")
	for _, name := range []string{"00000002.history", s.on(t, "r", "SELECT pg_walfile_name(pg_current_wal_lsn())")} {
		if _, err := os.Stat(filepath.Join(own, name)); err != nil {
			t.Errorf("the promoted restore has no timeline of its own: %v", err)
		}
	}
	s.archivesByHand(t, "r")
	write(99)
	eventually(t, "the clone's archiver to be refused, or not", func() bool {
		return s.on(t, "r", "SELECT (failed_count + archived_count > 0)::text FROM pg_stat_archiver") == "true"
	})
	if got := s.on(t, "r", "SELECT archived_count::text FROM pg_stat_archiver"); got != "0" {
		t.Errorf("%s files of the clone went into the archive", got)
	}
	for _, dir := range []string{filepath.Join(s.WALMount, "archive"), filepath.Join(s.DataDir(), "pg_wal")} {
		if found, _ := filepath.Glob(filepath.Join(dir, "00000002*")); len(found) > 0 {
			t.Errorf("the clone's timeline reached %q", found)
		}
	}

	s.commit(t, 2)
	s.asOSUser(t, "pg_ctl", "restart", "-w", "-m", "fast", "-D", s.DataDir(), "-l", filepath.Join(s.DataDir(), "by-hand.log"))
	s.standbyStreams(t)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.converges(t)
	s.standbyStreams(t)
	if got := s.status(t).Standby.Timeline; got != 1 {
		t.Errorf("the standby is on timeline %d", got)
	}
	later := entry{Name: "later", Target: "latest: true", Port: freePort(t)}
	s.commit(t, 3)
	s.caughtUp(t)
	s.declare(t, e, later)
	s.converges(t)
	if got := s.on(t, "later", steps); got != "1 2 3" {
		t.Errorf("a later restore holds %s", got)
	}
	if got := s.on(t, "r", steps); got != "1 97 98 99" {
		t.Errorf("the promoted restore holds %s", got)
	}

	s.declare(t, later)
	s.converges(t)
	s.declare(t, e, later)
	s.converges(t)
	if got := s.on(t, "r", steps); got != "1 2 3" {
		t.Errorf("the next restore of the name holds %s", got)
	}
}

// archivesByHand is what a person may do who takes a promoted restore into use:
// to archive as the live standby does.
func (s *site) archivesByHand(t *testing.T, name string) {
	t.Helper()
	for setting, value := range map[string]string{"archive_mode": "on", "archive_command": s.standbyText(t, "SHOW archive_command")} {
		text := fmt.Sprintf("%s = '%s'\n", setting, strings.ReplaceAll(value, "'", "''"))
		conf := filepath.Join(s.cloneDir(t, name), "postgresql.auto.conf")
		was, err := os.ReadFile(conf)
		must(t, err)
		must(t, os.WriteFile(conf, append(was, text...), 0o600))
	}
	dir := s.cloneDir(t, name)
	s.asOSUser(t, "pg_ctl", "restart", "-w", "-m", "fast", "-D", dir, "-l", filepath.Join(dir, "by-hand.log"))
	if got := s.on(t, name, "SHOW archive_mode"); got != "on" {
		t.Fatalf("archive_mode of the restore is %s: the test tries nothing", got)
	}
}

// TestPausedRestoreStartsAgain: a paused restore comes to the same place on each
// start, though the standby has gone on: in the middle of the WAL, behind a
// segment's end, and at the end of all that there was. Pitfall 33.
func TestPausedRestoreStartsAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	middle := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	s.switchSegment(t)
	border := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	s.caughtUp(t)
	want := map[string]string{"middle": "1", "border": "1 2", "end": "1 2 3"}
	s.declare(t,
		entry{Name: "middle", Target: at(middle), Port: freePort(t)},
		entry{Name: "border", Target: at(border), Port: freePort(t)},
		entry{Name: "end", Target: "latest: true", Port: freePort(t)})
	s.converges(t)
	place := func(name string) string { return s.on(t, name, "SELECT pg_last_wal_replay_lsn()::text") }
	stood := map[string]string{}
	for name := range want {
		stood[name] = place(name)
	}
	s.commit(t, 4)
	s.switchSegment(t)
	for _, mode := range []string{"fast", "immediate"} {
		for name := range want {
			s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", mode, "-D", s.cloneDir(t, name))
		}
		s.plansAndConverges(t, "start restore/border", "start restore/end", "start restore/middle")
		for name, rows := range want {
			if got := s.on(t, name, steps); got != rows || place(name) != stood[name] {
				t.Errorf("after a %s stop %s holds %s at %s, want %s at %s", mode, name, got, place(name), rows, stood[name])
			}
			if got := s.on(t, name, "SELECT pg_get_wal_replay_pause_state()"); got != "paused" {
				t.Errorf("after a %s stop %s is %s", mode, name, got)
			}
		}
	}
}

// harmless looks for what a clone must not do. Pitfalls 25, 26, 29, 30, 61.
func (s *site) harmless(t *testing.T, name string) {
	t.Helper()
	is := s.settings(t, name)
	for setting, want := range harmlessSettings(t, is["server_version_num"]) {
		if got, known := is[setting]; !known || got != want {
			t.Errorf("%s of %s is %q, want %q", setting, name, got, want)
		}
	}
	if slots := s.on(t, name, "SELECT count(*)::text FROM pg_ls_dir('pg_replslot')"); slots != "0" {
		t.Errorf("%s has %s replication slots", name, slots)
	}
	dir := is["data_directory"]
	pid, owner := readPidFile(filepath.Join(dir, "postmaster.pid"))
	if owner != dir || dir == s.DataDir() || pid == s.postmaster(t) {
		t.Errorf("postmaster.pid of %s names %d of %s", dir, pid, owner)
	}
	if scores, err := os.ReadFile("/proc/self/oom_score_adj"); err == nil && os.WriteFile("/proc/self/oom_score_adj", scores, 0) == nil {
		clone, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil || strings.TrimSpace(string(clone)) != "500" {
			t.Errorf("the clone's OOM score is %s (%v)", clone, err)
		}
	}
}

// settings are all that a restore's own server has in force, in one question: each
// is a run of status.
func (s *site) settings(t *testing.T, restore string) (inForce map[string]string) {
	t.Helper()
	text := s.on(t, restore, "SELECT json_object_agg(name, current_setting(name))::text FROM pg_settings")
	must(t, json.Unmarshal([]byte(text), &inForce))
	return inForce
}

// harmlessSettings are those of a clone whose server_version_num is given.
func harmlessSettings(t *testing.T, number string) map[string]string {
	t.Helper()
	want := map[string]string{
		"archive_mode": "off", "archive_command": "(disabled)", "primary_conninfo": "", "primary_slot_name": "",
		"recovery_end_command": "", "archive_cleanup_command": "", "max_logical_replication_workers": "0",
		"shared_preload_libraries": "", "shared_buffers": "16MB", "hot_standby": "on", "listen_addresses": "localhost",
		"recovery_target": "", "recovery_target_time": "", "recovery_target_xid": "", "recovery_target_name": "",
	}
	n, err := strconv.Atoi(number)
	must(t, err)
	for setting, of := range map[string]struct {
		feature version.Feature
		value   string
	}{
		"archive_library":           {version.ArchiveLibrary, ""},
		"promote_trigger_file":      {version.PromoteTriggerFile, ""},
		"recovery_init_sync_method": {version.RecoveryInitSyncMethod, "syncfs"},
		"sync_replication_slots":    {version.SyncReplicationSlots, "off"},
	} {
		if of.feature.In(n / 10000) {
			want[setting] = of.value
		}
	}
	return want
}
