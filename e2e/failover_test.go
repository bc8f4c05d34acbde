package e2e

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// follower is a standby of the site's primary, beside ours.
func (s *site) follower(t testing.TB) *primary.Primary {
	t.Helper()
	f, err := s.Primary.Follower()
	t.Cleanup(func() {
		if err := f.Destroy(); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	return f
}

// moments are targets with the rows that a restore to each must hold.
type moments struct {
	entries []entry
	want    map[string]string
}

func (m *moments) add(t testing.TB, name, target, rows string) {
	t.Helper()
	if m.want == nil {
		m.want = map[string]string{}
	}
	m.entries = append(m.entries, entry{Name: name, Target: target, Port: freePort(t)})
	m.want[name] = rows
}

// only forgets all others.
func (m *moments) only(names ...string) {
	m.entries = slices.DeleteFunc(m.entries, func(e entry) bool { return !slices.Contains(names, e.Name) })
}

// restored proves that each of them can be had, with its rows and no other.
func (s *site) restored(t *testing.T, m moments) {
	t.Helper()
	for some := range slices.Chunk(m.entries, 8) { // as many as fit on the pool
		s.declare(t, some...)
		s.converges(t)
		for _, e := range some {
			if got := s.on(t, e.Name, steps); got != m.want[e.Name] {
				t.Errorf("%s (%s) holds %s, want %s", e.Name, e.Target, got, m.want[e.Name])
			}
		}
	}
	s.declare(t)
	s.converges(t)
}

func at(moment string) string { return fmt.Sprintf("time: %q", moment) }

// TestFailover follows the primary to its successor, planned and after a crash,
// and once more to that one's: moments on either side of the switch can be had,
// of the segment in which it was as well, whatever names them and from whichever
// snapshot they begin.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind primary.Kind
		end  func(*primary.Primary) error // of the old primary
	}{
		"planned": {primary.Plain, (*primary.Primary).Stop},
		"crash":   {primary.Odd, (*primary.Primary).Kill},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ownPrimary(t, c.kind))
			s.converges(t)
			var m moments
			s.stepTable(t)
			s.commit(t, 1)
			s.caughtUp(t)
			s.run(t, "snapshot").exits(t, exitDone)
			m.add(t, "snap", "snapshot: "+slices.Max(s.snapshotNames(t)), "1")
			s.commit(t, 2)
			m.add(t, "earlier", at(s.onPrimary(t, clockNow)), "1 2")
			s.commit(t, 3)
			s.switchSegment(t)
			s.failsOver(t, &m, 3, c.end)
			if archived := s.status(t).Archive; len(archived.Gaps) > 0 {
				t.Errorf("gaps where there are none: %s", archived.Gaps)
			}
			s.restored(t, m)

			if name == "crash" { // and once more, to a third timeline
				m.only("snap", "close1", "between1", "later1")
				s.failsOver(t, &m, 10, c.end)
				s.restored(t, m)
			}
		})
	}
}

// failsOver replaces the primary amid five commits after n, and takes a
// snapshot behind the switch.
func (s *site) failsOver(t *testing.T, m *moments, n int, end func(*primary.Primary) error) {
	t.Helper()
	next := s.follower(t)
	timeline := s.status(t).Standby.Timeline
	rows := func(last int) string {
		text := "1"
		for i := 2; i <= last; i++ {
			text += fmt.Sprintf(" %d", i)
		}
		return text
	}
	name := func(what string) string { return fmt.Sprintf("%s%d", what, timeline) }
	s.commit(t, n+1)
	m.add(t, name("close"), at(s.onPrimary(t, clockNow)), rows(n+1))
	xid := s.commit(t, n+2)
	m.add(t, name("xid-before"), "xid: "+xid+", stop: before", rows(n+1))
	m.add(t, name("xid-after"), "xid: "+xid+", stop: after", rows(n+2))
	point := fmt.Sprintf("end-of-%d", timeline)
	must(t, s.Primary.Exec("SELECT pg_create_restore_point('"+point+"')"))
	m.add(t, name("point"), "restorePoint: "+point, rows(n+2))
	m.add(t, name("lsn"), "lsn: "+s.onPrimary(t, "SELECT pg_current_wal_flush_lsn()::text")+", stop: before", rows(n+2))
	must(t, next.CatchUp(s.Primary))
	s.caughtUp(t)

	standby := s.postmaster(t)
	must(t, end(s.Primary))
	must(t, next.Promote())
	s.Primary = next
	s.write(t)
	s.converges(t)
	m.add(t, name("between"), at(s.onPrimary(t, clockNow)), rows(n+2))
	s.commit(t, n+3)
	s.caughtUp(t)
	m.add(t, name("first"), at(s.onPrimary(t, clockNow)), rows(n+3))
	xid = s.commit(t, n+4)
	m.add(t, name("xid-later"), "xid: "+xid+", stop: after", rows(n+4))
	s.commit(t, n+5)
	first := s.switchSegment(t)
	s.run(t, "snapshot").exits(t, exitDone)
	m.add(t, name("snap"), "snapshot: "+slices.Max(s.snapshotNames(t)), rows(n+5))
	s.commit(t, n+6)
	m.add(t, name("later"), at(s.onPrimary(t, clockNow)), rows(n+6))
	s.commit(t, n+7)
	s.caughtUp(t)
	m.add(t, name("latest"), "latest: true", rows(n+7))

	s.reachesArchive(t, first)
	s.reachesArchive(t, fmt.Sprintf("%08X.history", timeline+1))
	if got := s.status(t).Standby.Timeline; got != timeline+1 {
		t.Errorf("the standby is on timeline %d, want %d", got, timeline+1)
	}
	if s.postmaster(t) != standby {
		t.Error("the standby was restarted")
	}
	if _, err := os.Stat(s.inArchive(fmt.Sprintf("%08X%s", timeline, first[8:]))); err != nil {
		t.Errorf("the last segment of timeline %d: %v", timeline, err)
	}
}

// TestFailoverThenAlone: a standby that crashed soon after a failover, whose
// pg_control does not tell of the new timeline, and that finds no primary any
// more: the latest moment is still that of what it received.
func TestFailoverThenAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	next := s.follower(t)
	s.caughtUp(t)
	must(t, s.Primary.Kill())
	must(t, next.Promote())
	s.Primary = next
	s.write(t)
	s.converges(t)
	s.commit(t, 2)
	s.caughtUp(t)
	must(t, next.Kill())
	s.killStandby(t)
	latest := entry{Name: "down", Target: "latest: true", Port: freePort(t)}
	s.declare(t, latest)
	s.run(t, "apply", "-o", "json", "--only", "restore").exits(t, exitDone)
	if got := s.on(t, "down", steps); got != "1 2" {
		t.Errorf("while the standby is down, the latest moment holds %s", got)
	}
	s.apply(t).exits(t, exitDone) // it starts, and is alone
	s.isConverged(t)
	if got := s.status(t).Standby.Timeline; got != 2 {
		t.Errorf("the standby is on timeline %d", got)
	}
	s.declare(t, latest, entry{Name: "alone", Target: "latest: true", Port: freePort(t)})
	s.converges(t)
	if got := s.on(t, "alone", steps); got != "1 2" {
		t.Errorf("while the standby is alone, the latest moment holds %s", got)
	}
}

// killStandby ends our standby as a power cut would.
func (s *site) killStandby(t testing.TB) {
	t.Helper()
	pid := s.postmaster(t)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the end of the standby's processes", func() bool { return len(s.programs(t)) == 0 })
}

// TestStandbyAheadOfFailover: our standby had received more than the follower
// that was promoted. It can't follow; it is left as it is, with what it holds,
// until a person moves it aside. What the abandoned timeline holds can be had
// as long as it is the standby's, and its snapshots after that, too.
func TestStandbyAheadOfFailover(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	shared := s.onPrimary(t, clockNow)
	xid := s.commit(t, 2)
	next := s.follower(t)
	must(t, next.Stop())
	s.commit(t, 3)
	lost := s.onPrimary(t, clockNow)
	s.commit(t, 4)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	snapshots := s.snapshotNames(t)
	s.switchSegment(t)
	must(t, s.Primary.Kill())
	must(t, next.Start())
	must(t, next.Promote())
	s.Primary = next
	s.write(t)
	s.apply(t)

	blocked := func(when string) {
		t.Helper()
		eventually(t, "the block of the standby "+when, func() bool { return s.plan(t).plan(t).has("block", "standby") })
		s.plan(t).exits(t, exitRefused).says(t, "can't follow", "timeline 2", "mv "+s.DataDir())
	}
	blocked("while it runs")
	s.plan(t).says(t, "forked off current database system timeline 1 before current recovery point")
	var own moments
	own.add(t, "shared", at(shared), "1")
	own.add(t, "xid", "xid: "+xid+", stop: after", "1 2")
	own.add(t, "abandoned-time", at(lost), "1 2 3")
	own.add(t, "abandoned-snap", "snapshot: "+slices.Max(snapshots), "1 2 3 4")
	own.add(t, "abandoned-latest", "latest: true", "1 2 3 4")
	s.restoredBeside(t, own)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	blocked("that is stopped, and would not start")
	s.apply(t).exits(t, exitRefused)

	mend := s.plan(t)
	for _, dir := range []string{s.DataDir(), s.DataMount + "/ts"} {
		mend.says(t, "mv "+dir+" "+dir+".old")
		must(t, os.Rename(dir, dir+".old"))
	}
	s.converges(t)
	s.caughtUp(t)
	s.commit(t, 5)
	s.commit(t, 6)
	s.caughtUp(t)
	var m moments
	m.add(t, "shared", at(shared), "1")
	m.add(t, "xid", "xid: "+xid+", stop: after", "1 2")
	m.add(t, "abandoned-snap", "snapshot: "+slices.Max(snapshots), "1 2 3 4")
	s.run(t, "snapshot").exits(t, exitDone)
	m.add(t, "new-snap", "snapshot: "+slices.Max(s.snapshotNames(t)), "1 2 5 6")
	s.commit(t, 7)
	s.caughtUp(t)
	m.add(t, "latest", "latest: true", "1 2 5 6 7")
	s.restored(t, m)
}

// restoredBeside is restored where something else is blocked.
func (s *site) restoredBeside(t *testing.T, m moments) {
	t.Helper()
	s.declare(t, m.entries...)
	s.apply(t).exits(t, exitRefused)
	for _, e := range m.entries {
		if got := s.on(t, e.Name, steps); got != m.want[e.Name] {
			t.Errorf("%s (%s) holds %s, want %s", e.Name, e.Target, got, m.want[e.Name])
		}
	}
	s.declare(t)
	s.apply(t).exits(t, exitRefused)
}

// TestPrimaryOnALaterTimeline: the primary had failed over before this site was
// made. The history comes with the base backup, and the archiver is not told of
// it; what a stranger leaves in its place misleads nobody.
func TestPrimaryOnALaterTimeline(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd))
	next := s.follower(t)
	must(t, s.Primary.Kill())
	must(t, next.Promote())
	s.Primary, s.Port = next, freePort(t)
	s.write(t)
	s.converges(t)
	const history = "00000002.history"
	if _, err := os.Stat(s.inArchive(history)); err != nil {
		t.Error(err)
	}
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	var m moments
	m.add(t, "snap", "snapshot: "+slices.Max(s.snapshotNames(t)), "1")
	s.commit(t, 2)
	m.add(t, "time", at(s.onPrimary(t, clockNow)), "1 2")
	s.switchSegment(t)
	s.commit(t, 3)
	s.caughtUp(t)
	m.add(t, "latest", "latest: true", "1 2 3")
	s.restored(t, m)

	must(t, os.WriteFile(s.inArchive(history), []byte("1\tFF/0\ta stranger's\n"), 0o600))
	m.only("snap", "time")
	s.restored(t, m)
}

// TestFailoverInPlace: the next primary is found where the file says already,
// behind the old one's address or by the next host of a list. There is nothing
// to apply, and the standby follows by itself. It has not heard of a checkpoint
// of the new timeline yet when a snapshot is taken that already belongs to it.
func TestFailoverInPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Host = "[127.0.0.2, 127.0.0.1]" // nobody listens on the first
	s.write(t)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	before := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	next, old := s.follower(t), s.Primary
	must(t, next.CatchUp(old))
	s.caughtUp(t)
	must(t, old.Kill())
	must(t, next.TakePortOf(old))
	s.Primary = next
	var checkpointer int
	must(t, next.QueryRow("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'", &checkpointer))
	must(t, syscall.Kill(checkpointer, syscall.SIGSTOP))
	must(t, next.Promote())
	s.commit(t, 3)
	s.caughtUp(t)
	s.isConverged(t)
	s.run(t, "snapshot").exits(t, exitDone)
	base := slices.Max(s.snapshotNames(t))
	must(t, syscall.Kill(checkpointer, syscall.SIGCONT))
	if got := s.standbyText(t, "SELECT timeline_id::text FROM pg_control_checkpoint()"); got != "1" {
		t.Fatalf("the standby has a checkpoint of timeline %s: the test tries nothing", got)
	}
	var m moments
	m.add(t, "before", at(before), "1")
	s.commit(t, 4)
	m.add(t, "after", at(s.onPrimary(t, clockNow)), "1 2 3 4")
	s.commit(t, 5)
	s.caughtUp(t)
	m.add(t, "latest", "latest: true", "1 2 3 4 5")
	s.declare(t, m.entries...)
	s.converges(t)
	for _, r := range s.status(t).Restores {
		if r.Name != "before" && r.Snapshot != base {
			t.Errorf("%s begins with %s, and not with %s, the newest", r.Name, r.Snapshot, base)
		}
	}
	s.restored(t, m)
}
