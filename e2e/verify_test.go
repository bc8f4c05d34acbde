package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// drillWith is a section verify that makes every check, and one query.
func drillWith(sql, expect string) string {
	return fmt.Sprintf("{every: 1d, checksums: true, amcheck: true, queries: [{sql: %s, expect: %s}]}", yamlQuote(sql), yamlQuote(expect))
}

// drillJSON is `verify -o json`, as the contract words it.
type drillJSON struct {
	Format   int
	Site     string
	Snapshot string
	OK       *bool
	At       *time.Time
	Checks   []struct {
		Name     string
		OK       bool
		Findings []string
	}
	Kept *struct {
		Dataset, DataDir, Connect, Role string
	}
	Errors []string
}

func (s *site) verify(t *testing.T, code int, args ...string) drillJSON {
	t.Helper()
	var d drillJSON
	s.run(t, "verify", append([]string{"-o", "json"}, args...)...).exits(t, code).decode(t, &d)
	if d.Format != 1 || d.Site != s.Name || d.OK == nil || d.Checks == nil || d.Errors == nil {
		t.Fatalf("a part is missing: %+v", d)
	}
	return d
}

// outcomes are the checks of a drill, and whether each was passed.
func (d drillJSON) outcomes() string {
	var list []string
	for _, c := range d.Checks {
		list = append(list, fmt.Sprintf("%s %t", c.Name, c.OK))
	}
	return strings.Join(list, ", ")
}

// finds fails the test unless a finding of the check holds each text.
func (d drillJSON) finds(t *testing.T, check string, texts ...string) {
	t.Helper()
	for _, c := range d.Checks {
		if c.Name != check {
			continue
		}
		if !slices.ContainsFunc(c.Findings, func(f string) bool {
			return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(f, text) })
		}) {
			t.Errorf("no finding of %s says %q: %q", check, texts, c.Findings)
		}
		return
	}
	t.Errorf("there is no check %s: %s", check, d.outcomes())
}

// leavesNothing wants no clone, no server and no folder of a drill.
func (s *site) leavesNothing(t *testing.T) {
	t.Helper()
	if out := command(t, "zfs", "list", "-H", "-r", "-o", "name", s.Name); strings.Contains(out, "drill") {
		t.Errorf("a dataset is left over:\n%s", out)
	}
	for _, arguments := range s.programs(t) {
		if strings.Contains(arguments, "drill") {
			t.Errorf("still running: %s", arguments)
		}
	}
	for _, pattern := range []string{"/run/zreconcile/" + s.Name + "/*drill*", "/var/log/zreconcile/" + s.Name + "/*drill*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
	if histories, _ := filepath.Glob(filepath.Join(s.WALMount, "archive", "*.history")); len(histories) > 0 {
		t.Errorf("a drill has archived its timeline: %q", histories)
	}
}

// A drill is made by the apply that takes the first snapshot, stamped, and not
// made again before its time. Pitfall 60: no database has amcheck.
func TestDrillOfTheFirstSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.stepTable(t)
	s.commit(t, 1)
	s.Verify = drillWith("SELECT count(*) FROM steps", "1")
	s.write(t)
	began := time.Now()
	p := s.apply(t).exits(t, exitDone).plan(t)
	last := p.Changes[len(p.Changes)-1]
	if n := strings.Count(strings.Join(p.changes(), "\n"), "verification/"); n != 1 {
		t.Errorf("%d drills in %q", n, p.changes())
	}
	names := s.snapshotNames(t)
	if len(names) != 1 || last.Kind != "verification" || last.Action != "create" || last.Name != names[0] || last.Result != "done" || last.Why != "the first drill" || last.Line == 0 {
		t.Errorf("snapshots %q, and the last change is %+v", names, last)
	}
	if next := s.plan(t).exits(t, exitDone).plan(t).Next; next == nil || next.Before(began.Add(24*time.Hour-time.Minute)) || next.After(time.Now().Add(24*time.Hour)) {
		t.Errorf("the next drill is due at %v", next)
	}
	s.leavesNothing(t)
	s.secondRunChangesNothing(t)
	s.isConverged(t)

	st := s.status(t)
	v := st.Snapshots[0].Verified
	if v == nil || !v.OK || len(v.Findings) != 0 || v.At.Before(began) || st.LastDrill == nil || !st.LastDrill.OK || st.LastDrill.Snapshot != names[0] || !st.LastDrill.At.Equal(v.At) {
		t.Errorf("verified %+v, last drill %+v", v, st.LastDrill)
	}
	s.run(t, "status").exits(t, exitDone).says(t, "verified ", "last drill: passed")
	if len(st.Restores) != 0 || st.Standby.Timeline != 1 {
		t.Errorf("restores %+v, standby %+v", st.Restores, st.Standby)
	}
	s.standbyStreams(t)
	if later := s.run(t, "plan", "-o", "json", "--at", time.Now().Add(25*time.Hour).UTC().Format(time.RFC3339)).exits(t, exitDone).plan(t); !later.has("create", "verification") {
		t.Errorf("no drill is due tomorrow: %q", later.changes())
	}

	// The mark on the dataset outlives the snapshot: no drill becomes due.
	s.run(t, "snapshot").exits(t, exitDone)
	command(t, "zfs", "destroy", s.Name+"/data@"+names[0])
	if st := s.status(t); st.LastDrill == nil || st.LastDrill.Snapshot != names[0] {
		t.Errorf("last drill after its snapshot is gone: %+v", st.LastDrill)
	}
	s.isConverged(t)
}

// A drill that fails is an exit 1, once, and leaves no clone; a person may have
// it kept, and the next drill destroys it.
func TestDrillThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.Verify = drillWith("SELECT 1 + 1", "3")
	s.write(t)
	p := s.apply(t).exits(t, exitFailed).plan(t)
	if len(p.Changes) != 1 || p.Changes[0].Result != "failed" || !strings.Contains(p.Changes[0].Error, `query SELECT 1 + 1: database postgres: it gives "2", not "3"`) {
		t.Errorf("changes: %+v", p.Changes)
	}
	s.leavesNothing(t)
	s.isConverged(t)
	if v := s.status(t).Snapshots[0].Verified; v == nil || v.OK || len(v.Findings) != 1 || !strings.Contains(v.Findings[0], `not "3"`) {
		t.Errorf("verified: %+v", v)
	}
	s.run(t, "status").exits(t, exitDone).says(t, "drill FAILED", `not "3"`)

	d := s.verify(t, exitFailed, "--keep-failed")
	if want := "recovery true, libraries true, collations true, amcheck true, query SELECT 1 + 1 false, checksums true"; d.outcomes() != want {
		t.Errorf("checks: %s", d.outcomes())
	}
	if d.Kept == nil || d.Kept.Connect == "" {
		t.Fatalf("nothing is kept: %+v", d)
	}
	for query, want := range map[string]string{
		"SELECT pg_is_in_recovery()::text": "false",
		"SHOW listen_addresses":            "",
		"SHOW archive_mode":                "off",
		"SHOW primary_conninfo":            "",
		"SHOW shared_buffers":              "16MB",
		"SELECT (SELECT timeline_id FROM pg_control_checkpoint())::text": "2",
	} {
		if got := socketText(t, d.Kept.Connect, d.Kept.Role, query); got != want {
			t.Errorf("%s in the kept clone: %q, want %q", query, got, want)
		}
	}
	s.run(t, "plan").exits(t, exitDone).says(t, "is kept at "+d.Kept.Dataset)
	s.isConverged(t)
	if st := s.status(t); len(st.Restores) != 0 {
		t.Errorf("the kept clone shows as a restore: %+v", st.Restores)
	}

	s.Verify = drillWith("SELECT 1 + 1", "2")
	s.write(t)
	if d := s.verify(t, exitDone); !*d.OK || d.At == nil || d.Kept != nil || d.Snapshot != s.snapshotNames(t)[0] {
		t.Errorf("the drill after it: %+v", d)
	}
	s.leavesNothing(t)
	s.run(t, "verify").exits(t, exitDone).says(t, "restore drill of "+s.snapshotNames(t)[0]+": passed", "amcheck", "checksums")
	s.isConverged(t)
	s.standbyStreams(t)
}

// fromAnotherHost makes the primary's cluster look like one of a host with
// another ICU and a library that is not here, until the test ends.
func (s *site) fromAnotherHost(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		must(t, s.Primary.Exec("DROP FUNCTION IF EXISTS lost()", "UPDATE pg_collation SET collversion = pg_collation_actual_version(oid) WHERE collname = 'de-x-icu'"))
	})
	must(t, s.Primary.Exec("CREATE FUNCTION lost() RETURNS language_handler AS '$libdir/plpgsql', 'plpgsql_call_handler' LANGUAGE C",
		"UPDATE pg_proc SET probin = '$libdir/nosuchlib' WHERE proname = 'lost'",
		"UPDATE pg_collation SET collversion = '1.1' WHERE collname = 'de-x-icu'"))
}

// A page of a table was damaged on the standby's disk before the snapshot.
// Pitfall 59: what this host lacks is told, and is no failure.
func TestDrillOfADamagedSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.fromAnotherHost(t)
	s.stepTable(t)
	// What autovacuum would write of the page, in full after a checkpoint, would mend it.
	must(t, s.Primary.Exec("ALTER TABLE steps SET (autovacuum_enabled = off)", "INSERT INTO steps SELECT generate_series(1, 10000)",
		"CREATE INDEX steps_n ON steps (n)", "VACUUM FREEZE steps", "CHECKPOINT"))
	s.converges(t)
	s.caughtUp(t)
	table := s.standbyText(t, "SELECT pg_relation_filepath('steps')")
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	f, err := os.OpenFile(filepath.Join(s.DataDir(), table), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("damage"), 3*8192+6000)
	must(t, err)
	must(t, f.Close())
	s.converges(t)
	good := s.snapshotNames(t)[0]
	s.run(t, "snapshot").exits(t, exitDone)
	bad := slices.Max(s.snapshotNames(t))

	d := s.verify(t, exitFailed)
	if d.Snapshot != bad || *d.OK {
		t.Errorf("%+v", d)
	}
	d.finds(t, "amcheck", "database postgres: table public.steps: ", "block 3")
	d.finds(t, "amcheck", "database postgres: index public.steps_n: ", "block 3")
	d.finds(t, "checksums", "file "+table+", block 3: ")
	d = s.verify(t, exitDone, good)
	if d.Snapshot != good || !*d.OK {
		t.Errorf("the snapshot before the damage: %+v", d)
	}
	d.finds(t, "libraries", "database postgres: library $libdir/nosuchlib: no file ")
	d.finds(t, "collations", "database postgres: 1 collation(s), such as de-x-icu, were made with version 1.1")
	st := s.status(t)
	if v := st.Snapshots[1].Verified; v == nil || v.OK || !strings.Contains(strings.Join(v.Findings, "\n"), "public.steps") {
		t.Errorf("the damaged one is stamped %+v", v)
	}
	if v := st.Snapshots[0].Verified; v == nil || !v.OK || len(v.Findings) != 2 {
		t.Errorf("the sound one is stamped %+v", v)
	}
	s.leavesNothing(t)
}

// slowDrill starts a drill and waits until it is at its query, which takes long.
func slowDrill(t *testing.T, s *site, command string) *background {
	t.Helper()
	s.Verify = drillWith("SELECT 'zr' || pg_sleep(100)", "zr")
	s.write(t)
	drill := s.start(t, command)
	connect := fmt.Sprintf("host=/run/zreconcile/%s/:drill port=%d", s.Name, s.Port)
	eventually(t, "the drill to come to its query", func() bool {
		n, err := trySocketText(connect, s.Primary.Superuser, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'SELECT ''zr''%'")
		return err == nil && n == "1" || drill.over()
	})
	if drill.over() {
		t.Fatal("the drill ended before it was seen")
	}
	return drill
}

// Killed in the middle: the clone is no restore, and the next apply destroys it
// before it makes the drill that is still due.
func TestKilledDrillIsCleanedUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	drill := slowDrill(t, s, "apply")
	if st := s.status(t); len(st.Restores) != 0 {
		t.Errorf("the drill shows as a restore: %+v", st.Restores)
	}
	must(t, drill.cmd.Process.Kill())
	<-drill.ended
	s.Verify = drillWith("SELECT 1", "1")
	s.write(t)
	want := []string{"delete verification/" + s.Name + "/zreconcile/" + s.Name + "/:drill", "create verification/" + s.snapshotNames(t)[0]}
	if got := s.plan(t).exits(t, exitPending).plan(t).changes(); !slices.Equal(got, want) {
		t.Errorf("the plan is %q, want %q", got, want)
	}
	if st := s.status(t); len(st.Restores) != 0 || st.LastDrill != nil {
		t.Errorf("restores %+v, last drill %+v", st.Restores, st.LastDrill)
	}
	for _, c := range s.apply(t).exits(t, exitDone).plan(t).Changes {
		if c.Result != "done" {
			t.Errorf("%+v", c)
		}
	}
	s.leavesNothing(t)
	s.isConverged(t)
	s.standbyStreams(t)
}

// Interrupted: the clone goes, and nothing is said about the snapshot. So it is
// for a person's drill that meets what is left of a killed one.
func TestInterruptedDrillStampsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	drill := slowDrill(t, s, "verify")
	must(t, drill.cmd.Process.Signal(syscall.SIGTERM))
	drill.ends(t, exitFailed)
	if said := drill.output.String(); !strings.Contains(said, "interrupted") || strings.Contains(said, "found in a restore drill") {
		t.Errorf("it says %s", said)
	}
	s.leavesNothing(t)
	if st := s.status(t); st.Snapshots[0].Verified != nil || st.LastDrill != nil {
		t.Errorf("stamped: %+v, %+v", st.Snapshots[0].Verified, st.LastDrill)
	}
	drill = slowDrill(t, s, "verify")
	must(t, drill.cmd.Process.Kill())
	<-drill.ended
	s.Verify = ""
	s.write(t)
	if d := s.verify(t, exitDone); d.outcomes() != "recovery true, libraries true, collations true, amcheck true, checksums true" {
		t.Errorf("without a section verify: %s", d.outcomes())
	}
	s.leavesNothing(t)
	s.isConverged(t)
}

// The bootstrap role has another name, a tablespace lies beside the data
// directory, and the segments are small.
func TestDrillOfAnOddCluster(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.Verify = drillWith("SELECT count(*) FROM in_tablespace", "1000")
	s.write(t)
	s.converges(t)
	if v := s.status(t).Snapshots[0].Verified; v == nil || !v.OK {
		t.Errorf("verified: %+v", v)
	}
	s.leavesNothing(t)
	s.standbyStreams(t)
}

// What forbids a drill is no verdict about the snapshot.
func TestDrillIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Debian))
	s.run(t, "verify").exits(t, exitFailed, exitRefused) // there is no pool yet
	s.converges(t)
	s.Verify = drillWith("SELECT 1", "1")
	s.PoolMore = "  keepFree: 99.9%\n"
	s.write(t)
	r := s.apply(t).exits(t, exitRefused)
	r.says(t, "keepFree")
	if p := r.plan(t); !p.has("block", "verification") {
		t.Errorf("changes: %q", p.changes())
	}
	s.verify(t, exitRefused)
	s.PoolMore = ""
	s.write(t)
	s.run(t, "verify", "zr-20200101T000000Z").exits(t, exitRefused).says(t, "no snapshot zr-20200101T000000Z")
	if st := s.status(t); st.LastDrill != nil {
		t.Errorf("stamped: %+v", st.LastDrill)
	}
	// Where there are no checksums, that is told, and nothing else is wrong.
	d := s.verify(t, exitDone, s.Name+"/data@"+s.snapshotNames(t)[0])
	d.finds(t, "checksums", "no data checksums")
	s.isConverged(t)
}
