package e2e

import (
	"fmt"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// work lets the writers write for a while, amid events.
func (tr *trial) work(length time.Duration) {
	tr.Helper()
	tr.load.resume()
	for end := time.Now().Add(max(length, 2*time.Second)); time.Now().Before(end); {
		time.Sleep(time.Duration(100+tr.rng.IntN(600)) * time.Millisecond)
		tr.event()
	}
	tr.load.pause()
	if len(tr.bases) == 1 { // the second one, at the latest by now
		tr.snapshot()
	}
}

// event is one of those that a host lives through.
func (tr *trial) event() {
	tr.Helper()
	p := tr.s.Primary
	switch n := tr.rng.IntN(100); {
	case n < 24:
		tr.snapshot()
	case n < 40:
		must(tr, p.Exec("SELECT pg_switch_wal()"))
	case n < 52:
		must(tr, p.Exec("CHECKPOINT"))
	case n < 68:
		tr.restorePoint()
	case n < 78:
		tr.beQuiet()
	case n < 84:
		tr.s.apply(tr).exits(tr, exitDone, exitRefused) // with the restores of the last round
	case n < 90:
		tr.restartStandby()
	case n < 96:
		tr.restartPrimary()
	default:
		tr.judgeSome()
	}
}

// snapshot takes one, and looks what is in it.
func (tr *trial) snapshot() {
	tr.Helper()
	before := tr.replayed()
	tr.s.run(tr, "snapshot").exits(tr, exitDone)
	after := tr.replayed()
	tr.learnBase(slices.Max(tr.s.snapshotNames(tr)), before, after)
}

// restorePoint makes one, at times of a name that there is already.
func (tr *trial) restorePoint() {
	tr.Helper()
	name := fmt.Sprintf("point-%d", tr.named)
	if tr.rng.IntN(5) > 0 || len(tr.points) == 0 {
		tr.named++
		name = fmt.Sprintf("point-%d", tr.named)
		tr.points = append(tr.points, name)
	}
	must(tr, tr.s.Primary.Exec("SELECT pg_create_restore_point('"+name+"')"))
}

// beQuiet lets nothing be written for a moment.
func (tr *trial) beQuiet() {
	tr.load.pause()
	from := time.Now().UnixMicro()
	time.Sleep(time.Duration(200+tr.rng.IntN(1500)) * time.Millisecond)
	tr.quiet = append(tr.quiet, span{from, time.Now().UnixMicro()})
	tr.load.resume()
}

func (tr *trial) mode() string { return pick(tr.rng, []string{"fast", "immediate"}) }

// stopStandby stops it by pg_ctl, as a shutdown of the host does or its end.
func (tr *trial) stopStandby(mode string) {
	tr.Helper()
	tr.s.asOSUser(tr, "pg_ctl", "stop", "-w", "-m", mode, "-D", tr.s.DataDir())
}

func (tr *trial) startStandby() {
	tr.Helper()
	tr.s.apply(tr).exits(tr, exitDone, exitRefused)
	tr.postmaster = tr.s.postmaster(tr)
}

func (tr *trial) restartStandby() {
	tr.Helper()
	mode := tr.mode()
	tr.stopStandby(mode)
	tr.startStandby()
	tr.Logf("the standby was stopped (%s) and started", mode)
}

func (tr *trial) restartPrimary() {
	tr.Helper()
	p, mode := tr.s.Primary, tr.mode()
	stop := map[string]func() error{"fast": p.Stop, "immediate": p.Kill}[mode]
	must(tr, stop())
	must(tr, p.Start())
	tr.edge()
	tr.Logf("the primary was stopped (%s) and started", mode)
	tr.s.caughtUp(tr)
}

// edge remembers where the WAL is now: targets are drawn around it.
func (tr *trial) edge() {
	tr.Helper()
	at, err := parseLSN(tr.s.onPrimary(tr, insertedTo))
	must(tr, err)
	tr.edges = append(tr.edges, at)
}

// failOver puts a follower in the place of the primary: in order, after a crash,
// or after a crash before which it had fallen behind, so that what the old
// primary wrote last is abandoned.
func (tr *trial) failOver() {
	tr.Helper()
	tr.failover = true
	old := tr.s.Primary
	f, err := old.Follower()
	tr.Cleanup(func() { must(tr, f.Destroy()) })
	must(tr, err)
	tr.load.resume()
	time.Sleep(time.Second)
	manner := pick(tr.rng, []string{"in order", "crash", "crash with loss"})
	switch manner {
	case "in order":
		must(tr, old.Stop())
	default:
		tr.stopStandby(tr.mode()) // it must not be ahead of the follower
		must(tr, f.CatchUp(old))
		if manner == "crash with loss" {
			tr.loseWAL(f)
		}
		must(tr, old.Kill())
	}
	tr.load.pause()
	must(tr, f.Promote())
	tr.abandoned = append(tr.abandoned, tr.history.switchTo(tr, old, f, tr.timeline)...)
	tr.edges = append(tr.edges, tr.history.next)
	tr.timeline++
	tr.follow(f)
	tr.startStandby()
	tr.s.caughtUp(tr)
	tr.Logf("failover, %s, at %s: %d transactions ended only on the old timeline", manner, tr.history.next, len(tr.abandoned))
	must(tr, f.Exec("SELECT pg_switch_wal()"))
	tr.work(2 * time.Second)
}

// loseWAL cuts the follower off, and lets the primary go on alone.
func (tr *trial) loseWAL(f *primary.Primary) {
	tr.Helper()
	must(tr, f.Exec("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"))
	eventually(tr, "the follower to lose its primary", func() bool {
		var receivers int
		return f.QueryRow("SELECT count(*)::int FROM pg_stat_wal_receiver", &receivers) == nil && receivers == 0
	})
	time.Sleep(time.Second)
}
