package e2e

import (
	"os"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestReseedShowsNoMomentOfTheGap copies a quiet primary anew, whose WAL between
// the old copy and the new one was never received. The new standby is connected,
// and its receiver has heard of no position yet: that is no proof that nothing
// was committed behind the end of the old WAL.
func TestReseedShowsNoMomentOfTheGap(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	must(t, s.Primary.Exec("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.switchSegment(t)
	s.commit(t, 2)
	s.caughtUp(t)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	for n := range 3 {
		s.commit(t, 3+n)
		must(t, s.Primary.Exec("SELECT pg_switch_wal()"))
	}
	lost := utc(t, s.onPrimary(t, clockNow))
	must(t, os.Rename(s.DataDir(), s.DataDir()+".old"))
	time.Sleep(2 * time.Second)
	s.apply(t).exits(t, exitDone)

	for _, w := range s.status(t).Windows {
		if w.From.Before(lost) && w.To.After(lost) {
			t.Errorf("a window goes from %s to %s, and what was committed until %s is lost", w.From, w.To, lost)
		}
	}
	s.declare(t, entry{Name: "lost", Target: at(lost.Format("2006-01-02 15:04:05.000000+00")), Port: s.RestorePort})
	s.apply(t).exits(t, exitRefused).says(t, "the WAL on the way to the target is not whole", "is missing")
}
