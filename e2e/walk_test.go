package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestWalk goes the whole way of the procedure, from a bare host to the rows of
// a table that was dropped and back to a clean host, for each manner of primary.
// Pitfalls 1, 4, 5, 7, 21, 25-32, 36-39, 41, 48: each would break the walk.
func TestWalk(t *testing.T) {
	t.Parallel()
	for _, kind := range primary.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, sharedPrimary(t, kind))
			s.fromBareHost(t)
			s.secondRunChangesNothing(t)
			s.copyIsFitForThisHost(t)
			s.rowsFollow(t)
			s.restoresTheDroppedTable(t)
		})
	}
}

// fromBareHost plans, and applies, on a host that has nothing of the site.
func (s *site) fromBareHost(t *testing.T) {
	t.Helper()
	r := s.plan(t).exits(t, exitPending)
	p := r.plan(t)
	for _, kind := range []string{"pool", "dataset", "basebackup"} {
		if !p.has("create", kind) {
			t.Errorf("no creation of a %s in %v", kind, r)
		}
	}
	for _, c := range p.Changes {
		if c.Kind == "dataset" && c.Line == 0 {
			t.Errorf("%s points at no line of the file", c.Name)
		}
	}
	if _, err := tryCommand("zpool", "list", s.Name); err == nil {
		t.Fatal("plan made the pool")
	}
	at := []string{"-o", "json", "--at", time.Now().UTC().Format(time.RFC3339)}
	if once, again := s.run(t, "plan", at...).Stdout, s.run(t, "plan", at...).Stdout; once != again { // pitfall 53
		t.Error(cmp.Diff(once, again))
	}
	for _, c := range s.apply(t).exits(t, exitDone).plan(t).Changes {
		if c.Result != "done" {
			t.Errorf("%s %s/%s is %q: %s", c.Action, c.Kind, c.Name, c.Result, c.Error)
		}
	}
	s.isConverged(t)
}

// secondRunChangesNothing is rule 4, proven by bytes, times and history.
func (s *site) secondRunChangesNothing(t *testing.T) {
	t.Helper()
	before := s.traces(t)
	if changes := s.apply(t).exits(t, exitDone).plan(t).changes(); len(changes) != 0 {
		t.Errorf("the second apply changes %q", changes)
	}
	if diff := cmp.Diff(before, s.traces(t)); diff != "" {
		t.Errorf("the second apply left traces, -before +after:\n%s", diff)
	}
}

// callsTheSmallProgram looks at what PostgreSQL is given to call: the part of a
// program that was built as ours are that has the wal commands alone.
func (s *site) callsTheSmallProgram(t *testing.T) {
	t.Helper()
	helper, err := os.Stat(s.helper())
	must(t, err)
	whole, err := os.Stat(program)
	must(t, err)
	if helper.Size() > whole.Size()/4 {
		t.Errorf("PostgreSQL calls a program of %d bytes, and the whole one has %d", helper.Size(), whole.Size())
	}
}

// copyIsFitForThisHost looks for what the primary's files must not do here.
func (s *site) copyIsFitForThisHost(t *testing.T) {
	t.Helper()
	st := s.status(t)
	if !st.Standby.Running || st.Standby.Timeline != 1 || len(st.Standby.PendingRestart) != 0 {
		t.Errorf("status of the standby: %+v", st.Standby)
	}
	if len(st.Snapshots) != 1 || len(st.Snapshots[0].KeptBy) == 0 {
		t.Errorf("snapshots after the first apply: %+v", st.Snapshots)
	}
	for query, want := range map[string]string{
		"SELECT pg_is_in_recovery()::text":        "true",
		"SELECT status FROM pg_stat_wal_receiver": "streaming",
		"SHOW shared_buffers":                     "16MB",
		"SHOW work_mem":                           "5MB",
		"SHOW archive_mode":                       "always",
		"SHOW data_directory":                     s.DataDir(),
		"SHOW port":                               fmt.Sprint(s.Port),
		"SELECT count(*)::text FROM pg_settings WHERE pending_restart":                              "0",
		"SELECT (current_setting('archive_command') LIKE '%wal push%')::text":                       "true",
		"SELECT (current_setting('primary_conninfo') LIKE '%password=%')::text":                     "false", // pitfall 5
		"SELECT (current_setting('restore_command') LIKE '%wal get%')::text":                        "true",  // pitfall 1
		"SELECT count(*)::text FROM pg_hba_file_rules WHERE error IS NOT NULL":                      "0",
		"SELECT (pg_read_file('postmaster.opts') LIKE '%config_file%')::text":                       "false",
		"SELECT (current_setting('hba_file') LIKE current_setting('data_directory') || '/%')::text": "true",
	} {
		if got := s.standbyText(t, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	s.hidesThePassword(t)
	s.callsTheSmallProgram(t)
	switch s.Primary.Kind {
	case primary.Managed:
		for _, line := range confLines(t, filepath.Join(s.DataDir(), "postgresql.conf")) {
			setting, _, _ := strings.Cut(line, "#") // the reason beside it may name them
			for _, foreign := range []string{"rds_", "zhparser", "/data/", "pg_pathman"} {
				if strings.Contains(setting, foreign) {
					t.Errorf("postgresql.conf still says %s", line)
				}
			}
		}
	case primary.Odd:
		if got := s.standbyText(t, "SELECT count(*)::text FROM in_tablespace"); got != "1000" {
			t.Errorf("%s rows in the tablespace", got)
		}
		if got := s.standbyText(t, "SHOW max_connections"); got != "300" {
			t.Errorf("max_connections is %s", got)
		}
	}
}

// hidesThePassword looks through the data directory: it goes into snapshots. Pitfall 36.
func (s *site) hidesThePassword(t *testing.T) {
	t.Helper()
	for _, name := range []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "zreconcile.conf"} {
		content, err := os.ReadFile(filepath.Join(s.DataDir(), name))
		if err == nil && strings.Contains(string(content), strings.TrimSpace(s.Password)) {
			t.Errorf("%s holds the password", name)
		}
	}
}

func (s *site) rowsFollow(t *testing.T) {
	t.Helper()
	must(t, s.Primary.Exec(
		"DROP TABLE IF EXISTS orders, late, after_the_drop",
		"CREATE TABLE late (n int)",
		"CREATE TABLE orders (id int PRIMARY KEY, note text)",
		"INSERT INTO orders SELECT n, md5(n::text) FROM generate_series(1, 5000) n"))
	s.caughtUp(t)
	if got := s.standbyText(t, "SELECT count(*)::text FROM orders"); got != "5000" {
		t.Errorf("%s rows followed, want 5000", got)
	}
}

// sumOfOrders tells one state of the table from every other.
const sumOfOrders = "SELECT count(*) || ' ' || md5(string_agg(id || note, ',' ORDER BY id)) FROM orders"

// restoresTheDroppedTable declares a restore to just before the drop, reads
// the rows, and takes the restore out of the file again.
//
// The drop is the very next transaction: a server that replays by time pauses
// at its commit, and by then has taken its exclusive lock, so that the rows are
// there and nobody can read them. Recovery must end before that.
func (s *site) restoresTheDroppedTable(t *testing.T) {
	t.Helper()
	var rows, moment string
	must(t, s.Primary.QueryRow(sumOfOrders, &rows))
	must(t, s.Primary.QueryRow("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')", &moment))
	must(t, s.Primary.Exec(
		"DROP TABLE orders",
		"INSERT INTO late VALUES (1)",
		"CREATE TABLE after_the_drop (n int)"))
	s.caughtUp(t)
	before, datasets := s.traces(t), s.datasets(t)

	s.Restores = s.restoreTo("before-drop", fmt.Sprintf("time: %q", moment))
	s.write(t)
	if p := s.plan(t).exits(t, exitPending).plan(t); !slices.Equal(p.changes(), []string{"create restore/before-drop"}) {
		t.Errorf("the plan is %q", p.changes())
	}
	s.converges(t)

	st := s.status(t)
	if len(st.Restores) != 1 || st.Restores[0].State != "running" || st.Restores[0].Port != s.RestorePort {
		t.Fatalf("restores: %+v", st.Restores)
	}
	connect := st.Restores[0].Connect
	for query, want := range map[string]string{
		sumOfOrders:                       rows,
		"SELECT count(*)::text FROM late": "0",
		"SELECT (to_regclass('after_the_drop') IS NULL)::text": "true",
		"SELECT pg_get_wal_replay_pause_state()":               "paused",
		"SHOW archive_mode":                                    "off",
		"SHOW primary_conninfo":                                "",
	} {
		if got := socketText(t, connect, s.Primary.Superuser, query); got != want {
			t.Errorf("on the restore, %s: %q, want %q", query, got, want)
		}
	}
	if got := s.standbyText(t, "SELECT (to_regclass('orders') IS NULL)::text"); got != "true" {
		t.Error("the standby did not follow the drop")
	}

	s.Restores = ""
	s.write(t)
	s.converges(t)
	if diff := cmp.Diff(datasets, s.datasets(t)); diff != "" {
		t.Errorf("datasets before the restore and after it:\n%s", diff)
	}
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.RestorePort)); err == nil {
		conn.Close()
		t.Error("the restore's server still listens")
	}
	if _, err := trySocketText(connect, s.Primary.Superuser, "SELECT ''"); err == nil {
		t.Error("the restore's socket still answers")
	}
	after := s.traces(t)
	for _, trace := range []string{"postmaster", "started", "conf loaded", filepath.Join(s.DataDir(), "postgresql.conf")} {
		if before[trace] != after[trace] {
			t.Errorf("the standby was touched: %s was %q, is %q", trace, before[trace], after[trace])
		}
	}
}

// datasets lists what the pool holds.
func (s *site) datasets(t *testing.T) []string {
	t.Helper()
	return strings.Fields(command(t, "zfs", "list", "-H", "-r", "-t", "all", "-o", "name", s.Name))
}
