package e2e

import (
	"fmt"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// A server pauses on the way (from PostgreSQL 14) where the primary raised what
// a hot standby needs no lower: that is not the target. Pitfalls 31, 32, 40.
func TestRestoreAcrossARaise(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	first := s.snapshotNames(t)[0]
	s.stepTable(t)
	s.commit(t, 1)
	must(t, p.Exec("ALTER SYSTEM SET max_connections = 150"))
	must(t, p.Stop())
	must(t, p.Start())
	s.commit(t, 2)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	eventually(t, "plan to see the raise", func() bool { return s.plan(t).plan(t).has("update", "conf") })
	s.converges(t)
	s.caughtUp(t)
	s.declare(t, entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort})
	s.converges(t)
	if got := s.on(t, "r", steps); got != "1 2" {
		t.Errorf("it holds %s", got)
	}
	// Said too low in the file, the server stops short of the target, and is not believed.
	s.declare(t, entry{Name: "low", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort, More: []string{"conf: {set: {max_connections: 110}}"}})
	s.apply(t).exits(t, exitFailed).says(t, "its target is", "max_connections")
	if got := s.restoreState(t, "low"); got != "failed" {
		t.Errorf("the restore that stopped short is %s (from %s)", got, first)
	}
}

// A standby that somebody promoted archives on a timeline of its own: moments
// before that can still be had, and a paused restore starts again. Pitfall 34.
func TestRestoreFromAPromotedStandby(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	s.caughtUp(t)
	before := entry{Name: "before", Target: "latest: true", Port: freePort(t)}
	s.declare(t, before)
	s.converges(t)
	s.asOSUser(t, "pg_ctl", "promote", "-w", "-D", s.DataDir())
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.cloneDir(t, "before"))
	s.declare(t, before, entry{Name: "after", Target: fmt.Sprintf("time: %q", moment), Port: freePort(t)})
	s.apply(t).exits(t, exitRefused).says(t, "promoted")
	for name, want := range map[string]string{"before": "1 2", "after": "1"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}

	s.declare(t, entry{Name: "own", Target: "latest: true", Port: freePort(t)})
	s.plan(t).exits(t, exitRefused).says(t, "is not the primary's")
}
