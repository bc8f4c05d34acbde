package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestRestoreAmidManySubtransactions: while a transaction with more than 64
// subtransactions runs, a snapshot's server does not know what else does, and
// lets nobody in. It would not pause at its target, but promote itself. An older
// snapshot leads there, or it is refused. Pitfall 32.
func TestRestoreAmidManySubtransactions(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	conn, err := dialPrimary(context.Background(), p)
	must(t, err)
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		_, err := conn.Exec(context.Background(), sql)
		must(t, err)
	}
	exec("CREATE TABLE others (n int)")
	exec("BEGIN")
	exec("DO $$ BEGIN FOR i IN 1..70 LOOP BEGIN INSERT INTO others VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$")
	must(t, p.Exec("CHECKPOINT"))
	s.commit(t, 2)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	amid := s.snapshotNames(t)[1]
	s.commit(t, 3)
	moment := s.onPrimary(t, clockNow)
	s.commit(t, 4)
	exec("COMMIT")
	s.commit(t, 5)
	must(t, p.Exec("CHECKPOINT"))
	s.commit(t, 6)
	later := s.onPrimary(t, clockNow)
	s.commit(t, 7)
	s.caughtUp(t)

	ports := []int{freePort(t), freePort(t), freePort(t)}
	s.declare(t,
		entry{Name: "amid", Target: fmt.Sprintf("time: %q", moment), Port: ports[0]},
		entry{Name: "later", Target: fmt.Sprintf("time: %q", later), Port: ports[1]},
		entry{Name: "promoted", Target: "snapshot: " + amid, Port: ports[2], More: []string{"action: promote"}})
	s.converges(t)
	for name, want := range map[string]string{"amid": "1 2 3", "later": "1 2 3 4 5 6", "promoted": "1 2"} {
		if got := s.on(t, name, steps); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}
	for name, others := range map[string]string{"amid": "0", "later": "70", "promoted": "0"} {
		if got := s.on(t, name, "SELECT count(*)::text FROM others"); got != others {
			t.Errorf("%s holds %s rows of the long transaction, want %s", name, got, others)
		}
	}
	s.declare(t, entry{Name: "pinned", Target: "snapshot: " + amid, Port: s.RestorePort})
	s.refuses(t, "pinned", "64 subtransactions", amid, "promote")

	// Without an older one, status shows no moment that needs it to let sessions in.
	s.declare(t)
	s.converges(t)
	command(t, "zfs", "destroy", s.Name+"/data@"+s.snapshotNames(t)[0])
	windows := s.status(t).Windows
	if len(windows) != 1 {
		t.Fatalf("%d windows", len(windows))
	}
	from := windows[0].From
	s.declare(t,
		entry{Name: "first", Target: fmt.Sprintf("time: %q", from.Format(time.RFC3339Nano)), Port: ports[0]},
		entry{Name: "before", Target: fmt.Sprintf("time: %q", from.Add(-time.Microsecond).Format(time.RFC3339Nano)), Port: ports[1]})
	if got := s.plan(t).exits(t, exitRefused).says(t, "64 subtransactions").plan(t).changes(); !slices.Contains(got, "block restore/before") || !slices.Contains(got, "create restore/first") {
		t.Errorf("at the edge of the window the plan is %q", got)
	}
}
