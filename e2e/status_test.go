package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
	"github.com/zreconcile/zreconcile/postgres/conf"
)

// Exit codes of `status --check`.
const (
	checkOK       = 0
	checkWarning  = 1
	checkCritical = 2
	checkUnknown  = 3
)

// check is `status --check`, which is one line whatever happens.
func (s *site) check(t testing.TB, args ...string) result {
	t.Helper()
	return oneLine(t, s.run(t, "status", append([]string{"--check"}, args...)...))
}

func oneLine(t testing.TB, r result) result {
	t.Helper()
	if strings.Count(r.Stdout, "\n") != 1 || !strings.HasSuffix(r.Stdout, "\n") {
		t.Errorf("not one line: %v", r)
	}
	return r
}

// TestStatusCheck goes through what a monitor sees of a site's life.
func TestStatusCheck(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.check(t).exits(t, checkCritical).says(t, "CRITICAL: the pool "+s.Name+" is not imported")
	s.converges(t)
	s.stepTable(t) // its commits prove times
	s.commit(t, 1)
	s.caughtUp(t)
	s.check(t).exits(t, checkOK).says(t, "OK: any moment from ", " to ", "; never proven | lag=", " free=", " snapshot_age=")
	if text := s.run(t, "status").exits(t, exitDone).Stdout; !strings.HasPrefix(text, "SAFE: any moment from ") {
		t.Errorf("status begins otherwise:\n%s", text)
	}
	s.check(t, "-o", "json").exits(t, checkOK).says(t, `"verdict":{"level":"ok","headline":"any moment from `)

	// Who may not look is not told that nothing is there.
	oneLine(t, zreconcileAs(t, "nobody", "status", "--check", "-f", s.File())).exits(t, checkUnknown).says(t, "UNKNOWN: ", "run it with sudo")

	must(t, os.WriteFile(s.File(), []byte(s.text(t)+"helth: {}\n"), 0o644))
	s.check(t).exits(t, checkUnknown).says(t, `UNKNOWN: the site file is invalid: `, `unknown key "helth"`)
	must(t, os.WriteFile(s.File(), []byte(s.text(t)+"health: {free: 99.99%}\n"), 0o644)) // also of a large disk
	s.check(t).exits(t, checkWarning).says(t, "WARNING: ", "of the pool "+s.Name+" is free, less than 100%; any moment from ", ";99.99:;")
	s.write(t)

	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.check(t).exits(t, checkCritical).says(t, "CRITICAL: the standby does not run; any moment from ")
	s.converges(t)
	s.check(t).exits(t, checkOK)

	must(t, p.Stop())
	eventually(t, "the standby to notice", func() bool { return s.check(t).Code == checkWarning })
	s.check(t).says(t, "WARNING: the standby is not connected to its primary; any moment from ")
	must(t, p.Start())
	eventually(t, "the standby to come back", func() bool { return s.check(t).Code == checkOK })

	command(t, "zfs", "unmount", "-f", s.Name+"/wal")
	s.check(t).exits(t, checkCritical).says(t, "CRITICAL: there is no archive of WAL: its dataset is not mounted")
	command(t, "zfs", "mount", s.Name+"/wal")
	s.asOSUser(t, "pg_ctl", "promote", "-w", "-D", s.DataDir())
	s.check(t).exits(t, checkCritical).says(t, "CRITICAL: the standby was promoted")
}

// TestBringBack runs the line that status prints for a restore, as it stands but
// for the name of the table, against the primary that lost it. The superuser is
// called otherwise than usual, and the password is full of quotes.
func TestBringBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.converges(t)
	must(t, s.Primary.Exec(
		"DROP TABLE IF EXISTS orders",
		"CREATE TABLE orders (id serial PRIMARY KEY, note text)",
		"CREATE INDEX orders_by_note ON orders (note)",
		"INSERT INTO orders (note) SELECT md5(n::text) FROM generate_series(1, 5000) n"))
	rows, moment := s.onPrimary(t, sumOfOrders), s.onPrimary(t, clockNow)
	must(t, s.Primary.Exec("DROP TABLE orders"))
	s.caughtUp(t)
	s.Restores = s.restoreTo("before-drop", fmt.Sprintf("time: %q", moment))
	s.write(t)
	s.converges(t)
	line := s.bringBackLine(t, "orders")

	// A dump that ends on the way brings nothing back, not half of the rows.
	half := t.TempDir()
	must(t, os.WriteFile(filepath.Join(half, "pg_dump"), []byte("#!/bin/sh\n/usr/bin/pg_dump \"$@\" | head -n 2000\nexit 1\n"), 0o755))
	// The end of the pipe is psql's, which found no fault.
	if out, err := s.shell(t, line, half); err != nil || !strings.Contains(out, "COPY ") {
		t.Errorf("no rows were on their way: %v: %s", err, out)
	}
	if got := s.onPrimary(t, "SELECT (to_regclass('orders') IS NULL)::text"); got != "true" {
		t.Error("half a dump was brought back")
	}

	if out, err := s.shell(t, line); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	if got := s.onPrimary(t, sumOfOrders); got != rows {
		t.Errorf("brought back %s, want %s", got, rows)
	}
	// WAL holds a sequence up to 32 values ahead (sequence.c, SEQ_LOG_VALS).
	if got := s.onPrimary(t, "SELECT (nextval(pg_get_serial_sequence('orders', 'id')) BETWEEN 5001 AND 5033) || ' ' || to_regclass('orders_by_note')"); got != "true orders_by_note" {
		t.Errorf("sequence and index are %s", got)
	}

	// Where the table is there it is left alone, unless it is asked for.
	must(t, s.Primary.Exec("DELETE FROM orders WHERE id > 10"))
	if out, err := s.shell(t, line); err == nil {
		t.Errorf("the table is there, and the line did not fail:\n%s", out)
	}
	if got := s.onPrimary(t, "SELECT count(*)::text FROM orders"); got != "10" {
		t.Errorf("the table that is there has %s rows", got)
	}
	if out, err := s.shell(t, strings.Replace(line, "pg_dump ", "pg_dump --clean --if-exists ", 1)); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := s.onPrimary(t, sumOfOrders); got != rows {
		t.Errorf("replaced by %s, want %s", got, rows)
	}
	must(t, s.Primary.Exec("DROP TABLE orders"))
}

// bringBackLine is the line of the only restore, for a table.
func (s *site) bringBackLine(t *testing.T, table string) string {
	t.Helper()
	r := s.run(t, "status").exits(t, exitDone)
	for line := range strings.Lines(r.Stdout) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "bring back "); ok {
			return strings.Replace(text, "TABLE", table, 1)
		}
	}
	t.Fatalf("no line brings a table back: %v", r)
	return ""
}

// shell runs a line as root's would, with the password of the primary's
// superuser in a password file; the programs of more folders come first.
func (s *site) shell(t *testing.T, line string, folders ...string) (string, error) {
	t.Helper()
	entry, err := conf.PassfileLine("*", "*", "*", s.Primary.Superuser, s.Primary.Password)
	must(t, err)
	passfile := filepath.Join(t.TempDir(), "pgpass")
	must(t, os.WriteFile(passfile, []byte(entry), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + strings.Join(append(folders, os.Getenv("PATH")), ":"), "HOME=/nonexistent", "LC_ALL=C", "PGPASSFILE=" + passfile}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
