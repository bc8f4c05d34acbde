package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// plansAndConverges proves what the plan wants, and that an apply brings it about.
func (s *site) plansAndConverges(t testing.TB, want ...string) {
	t.Helper()
	p := s.plan(t).exits(t, exitPending).plan(t).changes()
	if !slices.Equal(p, want) {
		t.Errorf("the plan is %q, want %q", p, want)
	}
	s.converges(t)
}

// TestRestoreChanges changes an entry in each way: in place, or by a new clone,
// or not at all once somebody may work on it.
func TestRestoreChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	one := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	two := s.onPrimary(t, clockNow)
	s.commit(t, 3)
	s.caughtUp(t)
	e := entry{Name: "r", Target: fmt.Sprintf("time: %q", one), Port: s.RestorePort}
	s.declare(t, e)
	s.converges(t)
	s.harmless(t, "r")

	t.Run("port", func(t *testing.T) {
		e.Port = freePort(t)
		s.declare(t, e)
		s.plansAndConverges(t, "update restore/r")
		if got := s.on(t, "r", "SHOW port"); got != strconv.Itoa(e.Port) {
			t.Errorf("the port is %s", got)
		}
	})
	t.Run("addresses, hba, conf", func(t *testing.T) {
		e.More = []string{"listenAddresses: 127.0.0.1", `hba: ["host all all 127.0.0.1/32 trust"]`, "conf: {set: {work_mem: 7MB}}"}
		s.declare(t, e)
		s.plansAndConverges(t, "update restore/r")
		connect := fmt.Sprintf("host=127.0.0.1 port=%d", e.Port)
		if got := socketText(t, connect, s.Primary.Superuser, "SHOW work_mem"); got != "7MB" {
			t.Errorf("work_mem is %s", got)
		}
	})
	t.Run("taken back", func(t *testing.T) {
		e.More = nil
		s.declare(t, e)
		s.plansAndConverges(t, "update restore/r")
		if got := s.on(t, "r", "SHOW work_mem"); got == "7MB" {
			t.Error("the setting outlived its line")
		}
	})
	t.Run("grace, keep, expiresAfter", func(t *testing.T) {
		e.More = []string{"grace: 2h", "keep: true", "expiresAfter: 24h"}
		s.declare(t, e)
		s.plansAndConverges(t, "update restore/r")
		if got := s.on(t, "r", steps); got != "1" {
			t.Errorf("it holds %s", got)
		}
		e.More = nil
		s.declare(t, e)
		s.converges(t)
	})
	t.Run("target", func(t *testing.T) {
		e.Target = fmt.Sprintf("time: %q", two)
		s.declare(t, e)
		s.plansAndConverges(t, "replace restore/r")
		if got := s.on(t, "r", steps); got != "1 2" {
			t.Errorf("it holds %s", got)
		}
	})
	t.Run("edited by hand", func(t *testing.T) {
		hba := filepath.Join(s.cloneDir(t, "r"), "pg_hba.conf")
		must(t, os.WriteFile(hba, []byte("local all nobody reject\n"), 0o600))
		s.plansAndConverges(t, "update restore/r")
		s.on(t, "r", steps)
	})
	t.Run("killed server", func(t *testing.T) {
		pid, _ := readPidFile(filepath.Join(s.cloneDir(t, "r"), "postmaster.pid"))
		must(t, syscall.Kill(pid, syscall.SIGQUIT))
		eventually(t, "end of the clone's server", func() bool { return syscall.Kill(pid, 0) != nil })
		s.plansAndConverges(t, "start restore/r")
		if got := s.on(t, "r", steps); got != "1 2" {
			t.Errorf("after a kill it holds %s", got)
		}
	})
	t.Run("promote", func(t *testing.T) { s.promotes(t, &e, one) })
}

// promotes goes from paused to promoted: writes are possible, on a timeline
// that the live standby never hears of. Pitfalls 29, 34, 35.
func (s *site) promotes(t *testing.T, e *entry, other string) {
	t.Helper()
	e.More = []string{"action: promote"}
	s.declare(t, *e)
	s.plansAndConverges(t, "update restore/r")
	socket := ""
	for _, r := range s.status(t).Restores {
		socket = r.Connect
	}
	if _, err := trySocketText(socket, s.Primary.Superuser, "WITH i AS (INSERT INTO steps VALUES (99) RETURNING n) SELECT n::text FROM i"); err != nil {
		t.Errorf("the promoted restore refuses a write: %v", err)
	}
	if got := s.on(t, "r", "SELECT timeline_id::text || ' ' || pg_is_in_recovery()::text FROM pg_control_checkpoint()"); !strings.HasSuffix(got, "false") {
		t.Errorf("timeline and recovery: %s", got)
	}
	if got := s.on(t, "r", "SELECT left(pg_walfile_name(pg_switch_wal()), 8)"); got != "00000002" {
		t.Errorf("the clone writes on timeline %s", got)
	}
	found, err := filepath.Glob(filepath.Join(s.WALMount, "archive", "00000002*"))
	must(t, err)
	if len(found) > 0 {
		t.Errorf("the clone archived %q", found)
	}
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.converges(t)
	s.standbyStreams(t)

	later := entry{Name: "later", Target: "latest: true", Port: freePort(t)}
	s.commit(t, 4)
	s.caughtUp(t)
	s.declare(t, *e, later)
	s.converges(t)
	if got := s.on(t, "later", steps); got != "1 2 3 4" {
		t.Errorf("a later restore holds %s", got)
	}
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.cloneDir(t, "r"))
	s.plansAndConverges(t, "start restore/r")

	was := e.Target
	e.Target = fmt.Sprintf("time: %q", other)
	s.declare(t, *e, later)
	s.plan(t).exits(t, exitRefused).says(t, "promoted")
	s.apply(t).exits(t, exitRefused).says(t, "promoted")
	if got := s.on(t, "r", "SELECT pg_is_in_recovery()::text"); got != "false" {
		t.Error("the promoted restore was touched")
	}
	e.Target, e.More = was, nil
	s.declare(t, *e, later)
	s.plan(t).exits(t, exitRefused).says(t, "promoted", "can't be paused")
}

// TestRestorePorts: a port can be used again in one apply, also crosswise; a
// stranger keeps his.
func TestRestorePorts(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	a := entry{Name: "a", Target: "latest: true", Port: freePort(t)}
	b := entry{Name: "b", Target: "latest: true", Port: freePort(t)}
	s.declare(t, a, b)
	s.converges(t)

	a.Port, b.Port = b.Port, a.Port
	s.declare(t, a, b)
	s.plansAndConverges(t, "update restore/a", "update restore/b")
	for _, e := range []entry{a, b} {
		if got := s.on(t, e.Name, "SHOW port"); got != strconv.Itoa(e.Port) {
			t.Errorf("%s is on port %s, want %d", e.Name, got, e.Port)
		}
	}
	c := entry{Name: "c", Target: "latest: true", Port: a.Port}
	s.declare(t, c, b)
	s.plansAndConverges(t, "delete restore/a", "create restore/c")
	s.on(t, "c", "SHOW port")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c.Port = l.Addr().(*net.TCPAddr).Port
	s.declare(t, c, b)
	s.apply(t).exits(t, exitRefused).says(t, strconv.Itoa(c.Port), "in use")
	s.on(t, "c", "SHOW port")
	d := entry{Name: "d", Target: "latest: true", Port: c.Port}
	s.declare(t, b, d)
	s.refuses(t, "d", strconv.Itoa(c.Port), "in use")
}

// TestRestoreLeaves takes entries out of the file and lets them expire, as the
// file says how.
func TestRestoreLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	graced := entry{Name: "graced", Target: "latest: true", Port: freePort(t), More: []string{"grace: 1h"}}
	kept := entry{Name: "kept", Target: "latest: true", Port: freePort(t), More: []string{"keep: true"}}
	short := entry{Name: "short", Target: "latest: true", Port: freePort(t), More: []string{"expiresAfter: 1s", "grace: 0s"}}
	s.declare(t, graced, kept)
	s.converges(t)

	s.declare(t)
	s.plansAndConverges(t, "stop restore/graced", "stop restore/kept")
	later := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	r := s.run(t, "plan", "-o", "json", "--at", later)
	if p := r.plan(t).changes(); !slices.Contains(p, "delete restore/graced") || slices.Contains(p, "delete restore/kept") {
		t.Errorf("two hours later the plan is %q", p)
	}
	s.declare(t, graced, kept)
	s.plansAndConverges(t, "update restore/graced", "start restore/graced", "update restore/kept", "start restore/kept")
	s.on(t, "graced", "SHOW port")

	s.declare(t, short)
	s.apply(t).exits(t, exitDone)
	time.Sleep(1100 * time.Millisecond)
	s.apply(t).exits(t, exitDone)
	if has(s.datasets(t), s.Name+"/zreconcile/"+s.Name+"/short") {
		t.Errorf("an expired restore is still there: %q", s.datasets(t))
	}
	s.isConverged(t) // it is not made again
	short.More = []string{"expiresAfter: 1h"}
	s.declare(t, short)
	s.plansAndConverges(t, "create restore/short")
	s.on(t, "short", "SHOW port")
	s.expiresWithinGrace(t, short)
}

// expiresWithinGrace: an expired restore that still has its grace comes back
// when its entry changes, with its time begun anew.
func (s *site) expiresWithinGrace(t *testing.T, e entry) {
	t.Helper()
	e.More = []string{"expiresAfter: 1s", "grace: 1h"}
	s.declare(t, e)
	s.apply(t).exits(t, exitDone, exitFailed)
	time.Sleep(1100 * time.Millisecond) // it was made a moment ago
	s.apply(t).exits(t, exitDone)
	s.isConverged(t)
	if got := s.restoreState(t, e.Name); got != "stopped" {
		t.Errorf("the expired restore is %s", got)
	}
	e.Port = freePort(t)
	e.More = []string{"expiresAfter: 60s", "grace: 1h"}
	s.declare(t, e)
	s.apply(t).exits(t, exitDone)
	if got := s.on(t, e.Name, "SHOW port"); got != strconv.Itoa(e.Port) {
		t.Errorf("the port is %s", got)
	}
	later := time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)
	if p := s.run(t, "plan", "-o", "json", "--at", later).plan(t).changes(); !slices.Contains(p, "stop restore/short") {
		t.Errorf("it does not expire again: %q", p)
	}
}
