package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// checkedServer is a server with two databases: one has a table of a thousand
// rows and its index, the other is as it was made.
func checkedServer(t *testing.T) *Cluster {
	t.Helper()
	c := newServer(t)
	mustExec(t, c, `create database "odd name"`)
	mustExec(t, c, "create table orders as select n as id, repeat('x', 100) as filling from generate_series(1, 1000) n")
	mustExec(t, c, "create unique index orders_id on orders (id)")
	mustExec(t, c, "vacuum analyze orders")
	return c
}

// spoilt flips a byte of a relation's file, at a place in one of its blocks,
// while the server is down.
func spoilt(t *testing.T, c *Cluster, relation string, block, place int64) {
	t.Helper()
	path := filepath.Join(c.DataDir, ask[string](t, c, fmt.Sprintf("select pg_relation_filepath('%s')", relation)))
	mustExec(t, c, "checkpoint")
	stopped(t, c)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, block*8192+place); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, block*8192+place); err != nil {
		t.Fatal(err)
	}
}

func stopped(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Stop(testContext(t), "fast"); err != nil {
		t.Fatal(err)
	}
}

// findings are the texts of what a check has found.
func findings(t *testing.T, found []Finding, err error) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, f := range found {
		list = append(list, f.String())
	}
	return list
}

// one fails the test unless the only finding holds each of the texts.
func one(t *testing.T, found []string, texts ...string) {
	t.Helper()
	if len(found) != 1 {
		t.Fatalf("want one finding, got %q", found)
	}
	for _, text := range texts {
		if !strings.Contains(found[0], text) {
			t.Errorf("%q does not say %q", found[0], text)
		}
	}
}

func amchecked(t *testing.T, c *Cluster) []string {
	t.Helper()
	found, err := c.Amcheck(testContext(t))
	return findings(t, found, err)
}

// Pitfall 60: no database has the extension.
func TestAmcheckFindsNothingInASoundCluster(t *testing.T) {
	c := checkedServer(t)
	mustExec(t, c, "create schema s")
	mustExec(t, c, "create table s.\"Odd table\" (id int primary key, long text)")
	mustExec(t, c, "insert into s.\"Odd table\" select n, repeat(md5(n::text), 300) from generate_series(1, 50) n")
	if found := amchecked(t, c); len(found) != 0 {
		t.Errorf("found %q", found)
	}
	if found := amchecked(t, c); len(found) != 0 {
		t.Errorf("with the extension there, found %q", found)
	}
}

// Triggers for events are the cluster's own: a drill is none.
func TestAmcheckSetsOffNoEventTrigger(t *testing.T) {
	c := checkedServer(t)
	mustExec(t, c, "create function refuse() returns event_trigger language plpgsql as 'begin raise exception ''set off''; end'")
	mustExec(t, c, "create event trigger refuse on ddl_command_start execute function refuse()")
	if found := amchecked(t, c); len(found) != 0 {
		t.Errorf("found %q", found)
	}
}

// A row of a table that its index does not have.
func TestAmcheckNamesAnIndexThatLacksARow(t *testing.T) {
	c := checkedServer(t)
	mustExec(t, c, "update pg_index set indisready = false where indexrelid = 'orders_id'::regclass")
	mustExec(t, c, "insert into orders values (5000, 'in the table alone')")
	mustExec(t, c, "update pg_index set indisready = true where indexrelid = 'orders_id'::regclass")
	one(t, amchecked(t, c), "database postgres: index public.orders_id: ", "heap tuple", "lacks matching index tuple")
}

// Pages whose checksums nobody looks at, so that the damage is amcheck's to find.
func TestAmcheckNamesADamagedTable(t *testing.T) {
	c := checkedServer(t)
	testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), "ignore_checksum_failure = on\n")
	spoilt(t, c, "orders", 2, 8192-136+22) // t_hoff of the first row, which is at the end of its page
	start(t, c)
	found := amchecked(t, c)
	if !slices.ContainsFunc(found, func(s string) bool {
		return strings.HasPrefix(s, "database postgres: table public.orders: block 2, item 1: ")
	}) {
		t.Errorf("found %q", found)
	}
}

func TestAmcheckNamesAPageOfAnIndexThatCanNotBeRead(t *testing.T) {
	c := checkedServer(t)
	spoilt(t, c, "orders_id", 1, 4000)
	start(t, c)
	one(t, amchecked(t, c), "database postgres: index public.orders_id: invalid page in block 1 of relation base/")
}

// A database that nobody can connect to is found out by its name.
func TestAmcheckNamesADatabaseThatCanNotBeOpened(t *testing.T) {
	c := checkedServer(t)
	oid := ask[string](t, c, "select oid::text from pg_database where datname = 'odd name'")
	mustExec(t, c, "checkpoint")
	if err := os.Remove(filepath.Join(c.DataDir, "base", oid, "PG_VERSION")); err != nil {
		t.Fatal(err)
	}
	one(t, amchecked(t, c), "database odd name: ", "not a valid data directory")
}

func TestAmcheckNamesThePackageThatThisHostLacks(t *testing.T) {
	c := checkedServer(t)
	stopped(t, c)
	testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), "allow_system_table_mods = on\n")
	start(t, c)
	mustExec(t, c, `create or replace view pg_catalog.pg_available_extensions as
 select e.name, e.default_version, null::text collate "C" as installed_version, e.comment from pg_available_extensions() e where e.name <> 'amcheck'`)
	found := amchecked(t, c)
	if !slices.ContainsFunc(found, func(s string) bool {
		return strings.HasPrefix(s, "database postgres: extension amcheck: this host lacks it; install ") && strings.Contains(s, "Debian: postgresql-")
	}) {
		t.Errorf("found %q", found)
	}
}

// Damage can make a process of the server crash, which ends all its sessions:
// what comes after it is still looked at.
func TestCheckupGoesOnAfterACrash(t *testing.T) {
	c := checkedServer(t)
	k := &checkup{cluster: c, database: "postgres"}
	defer k.close()
	list, words, err := k.texts(testContext(t), "select pg_backend_pid()::text")
	if err != nil || words != "" {
		t.Fatal(words, err)
	}
	pid, err := strconv.Atoi(list[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if words, err := k.exec(testContext(t), "select 1"); err != nil || words == "" {
		t.Errorf("the session that crashed: %q, %v", words, err)
	}
	if list, words, err := k.texts(testContext(t), "select 'there'"); err != nil || words != "" || len(list) != 1 {
		t.Errorf("the session after it: %q, %q, %v", list, words, err)
	}
}

// A session can be had from a server that did not notice the crash yet, and ends
// with all others when it does: that is no finding about what was looked at.
func TestCheckupRepeatsWhatTheCrashOfAnotherCutOff(t *testing.T) {
	c := checkedServer(t)
	k := &checkup{cluster: c, database: "postgres"}
	defer k.close()
	cutOff := func(times int) (words string, tries int) {
		words, err := k.asked(testContext(t), func(conn *pgx.Conn) error {
			if tries++; tries <= times {
				if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			_, err := conn.Exec(testContext(t), "select 1")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return words, tries
	}
	for _, want := range []struct {
		cut, tries int
		said       bool
	}{
		{cut: 1, tries: 1, said: true}, // a crash of its own
		{cut: 1, tries: 2, said: false},
		{cut: 2, tries: 2, said: true}, // it crashes the server each time
	} {
		words, tries := cutOff(want.cut)
		if tries != want.tries || (words != "") != want.said {
			t.Errorf("cut off %d times: done %d times, %q", want.cut, tries, words)
		}
	}
}

// A server that is gone is found once, not with each of its indexes.
func TestAmcheckOfAServerThatIsGone(t *testing.T) {
	c := checkedServer(t)
	k := &checkup{cluster: c, database: "postgres"}
	defer k.close()
	found, err := k.eachRelation(testContext(t), "index", btreeIndexes, func(string) ([]string, string, error) {
		if k.conn != nil {
			stopped(t, c)
			k.close()
		}
		words, err := k.exec(testContext(t), "select 1")
		return nil, words, err
	})
	one(t, findings(t, found, err), "database postgres: index ", "connecting to ")
}

func TestAmcheckEndsWithItsContext(t *testing.T) {
	c := checkedServer(t)
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(testContext(t))
	cancel(interrupted)
	if found, err := c.Amcheck(ctx); !errors.Is(err, interrupted) || len(found) != 0 {
		t.Errorf("found %q, %v", found, err)
	}
}

func TestChecksums(t *testing.T) {
	c := checkedServer(t)
	file := ask[string](t, c, "select pg_relation_filepath('orders')")
	stopped(t, c)
	found, err := c.Checksums(testContext(t))
	if list := findings(t, found, err); len(list) != 0 {
		t.Fatalf("a sound cluster: found %q", list)
	}
	start(t, c)
	if _, err := c.Checksums(testContext(t)); err == nil {
		t.Error("a running cluster was checked")
	}
	spoilt(t, c, "orders", 2, 5000)
	found, err = c.Checksums(testContext(t))
	one(t, findings(t, found, err), "file "+file+", block 2: calculated checksum")
}

func TestChecksumsOfAClusterWithoutThem(t *testing.T) {
	c := checkedServer(t)
	stopped(t, c)
	if _, err := output(c.Run, c.tool(testContext(t), "pg_checksums", "--disable", "--no-sync", "-D", c.DataDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Checksums(testContext(t)); !errors.Is(err, ErrNoChecksums) {
		t.Errorf("got %v", err)
	}
}

// Pitfall 59: what was recorded under another glibc or ICU.
func TestCollations(t *testing.T) {
	c := checkedServer(t)
	found, err := c.Collations(testContext(t))
	if list := findings(t, found, err); len(list) != 0 {
		t.Fatalf("found %q", list)
	}
	mustExec(t, c, "update pg_collation set collversion = '1.2-other' where collname in ('und-x-icu', 'de-x-icu')")
	mustExec(t, c, "create database icu template template0 locale 'C' locale_provider icu icu_locale 'de'")
	mustExec(t, c, "update pg_database set datcollversion = '2.3-other' where datname = 'icu'")
	found, err = c.Collations(testContext(t))
	list := findings(t, found, err)
	for _, want := range []string{
		"database icu: its own collation was made with version 2.3-other, and this host has ",
		"database postgres: 2 collation(s), such as de-x-icu, were made with version 1.2-other, and this host has ",
	} {
		if !slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q is not in %q", want, list)
		}
	}
	if len(list) != 2 {
		t.Errorf("found %q", list)
	}
}

func TestLibraries(t *testing.T) {
	c := checkedServer(t)
	mustExec(t, c, "update pg_proc set probin = '$libdir/nosuchlib' where proname = 'plpgsql_call_handler'")
	list, found, err := c.Libraries(testContext(t))
	if err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
	if !slices.Contains(list["postgres"], "$libdir/nosuchlib") || slices.Contains(list["odd name"], "$libdir/nosuchlib") {
		t.Errorf("got %q", list)
	}
}

func TestAnswer(t *testing.T) {
	c := checkedServer(t)
	for sql, want := range map[string][2]string{
		"select count(*) > 0 from orders":           {"t", ""},
		"select 1.50, 'more'":                       {"1.50", ""},
		"select ''":                                 {"", ""},
		"select id from orders where id < 0":        {"", "it gives 0 rows, not one"},
		"select id from orders where id < 4":        {"", "it gives 3 rows, not one"},
		"select null":                               {"", "it gives null"},
		"select count(*) from nosuch":               {"", `relation "nosuch" does not exist`},
		"insert into orders values (0, 'a writer')": {"", "cannot execute INSERT in a read-only transaction"},
		"select 1; select 2":                        {"", "cannot insert multiple commands into a prepared statement"},
		"set work_mem = '5MB'":                      {"", "it is no query: it gives no rows"},
	} {
		answer, words, err := c.Answer(testContext(t), "postgres", sql)
		if err != nil || answer != want[0] || words != want[1] {
			t.Errorf("%s: %q, %q, %v", sql, answer, words, err)
		}
	}
	if _, words, err := c.Answer(testContext(t), "nosuch", "select 1"); err != nil || !strings.Contains(words, `database "nosuch" does not exist`) {
		t.Errorf("%q, %v", words, err)
	}
}

// badPage is what pg_checksums says of one.
const badPage = `pg_checksums: error: checksum verification failed in file "/d/base/5/16384.1", block 131072: calculated checksum 3B47 but block contains 1`

func TestBadPages(t *testing.T) {
	c := &Cluster{DataDir: "/d"}
	found := c.badPages(badPage + "\npg_checksums: error: could not open\n" + strings.ReplaceAll(badPage, "/d/", "/e/"))
	want := []string{
		"file base/5/16384.1, block 131072: calculated checksum 3B47 but block contains 1",
		"file /e/base/5/16384.1, block 131072: calculated checksum 3B47 but block contains 1",
	}
	if list := findings(t, found, nil); !slices.Equal(list, want) {
		t.Errorf("found %q", list)
	}
}

// Each line that says so is a finding, whatever stands in it.
func FuzzBadPages(f *testing.F) {
	f.Add(badPage)
	f.Add("checksum verification failed in file ")
	f.Add("x checksum verification failed in file \", block \n\n")
	f.Fuzz(func(t *testing.T, stderr string) {
		said := 0
		for line := range strings.Lines(stderr) {
			if strings.Contains(strings.TrimSpace(line), "checksum verification failed in file ") {
				said++
			}
		}
		if found := (&Cluster{DataDir: "/d"}).badPages(stderr); len(found) != said {
			t.Errorf("%d lines, %d findings: %v", said, len(found), found)
		}
	})
}
