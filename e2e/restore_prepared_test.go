package e2e

import (
	"fmt"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestRestoreWithAPreparedTransaction: a transaction that was prepared just
// before the primary handed over to its follower is looked up, at the shutdown
// checkpoint, in the last segment of the old timeline, of which recovery itself
// reads the copy that the new one begins with.
func TestRestoreWithAPreparedTransaction(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	must(t, p.Exec("ALTER SYSTEM SET max_prepared_transactions = 5"))
	must(t, p.Stop())
	must(t, p.Start())
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	next := s.follower(t)
	must(t, p.Exec("SELECT pg_switch_wal()")) // out of what the snapshot holds itself
	s.commit(t, 2)
	must(t, p.Exec("BEGIN; INSERT INTO steps VALUES (3); PREPARE TRANSACTION 'three'"))
	must(t, p.Stop())
	must(t, next.Promote())
	s.Primary = next
	s.write(t)
	s.converges(t)
	s.commit(t, 4)
	moment := s.onPrimary(t, clockNow)
	must(t, next.Exec("COMMIT PREPARED 'three'"))
	later := s.onPrimary(t, clockNow)
	s.commit(t, 5)
	s.caughtUp(t)
	s.declare(t,
		entry{Name: "before", Target: fmt.Sprintf("time: %q", moment), Port: freePort(t)},
		entry{Name: "behind", Target: fmt.Sprintf("time: %q", later), Port: freePort(t)},
		entry{Name: "promoted", Target: fmt.Sprintf("time: %q", moment), Port: freePort(t), More: []string{"action: promote"}})
	s.converges(t)
	for name, want := range map[string]string{"before": "1 2 4", "behind": "1 2 3 4", "promoted": "1 2 4"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}
	if got := s.on(t, "promoted", "SELECT string_agg(gid, ' ') FROM pg_prepared_xacts"); got != "three" {
		t.Errorf("the prepared transactions of the promoted restore are %q", got)
	}
}
