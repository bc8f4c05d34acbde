package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

const (
	cadence = 5 * time.Second
	atLeast = 2 * time.Minute
)

// watchTrial is a watch that things happen to, one after the other.
type watchTrial struct {
	*site
	watch   *background
	metrics int       // the port
	urgents []urgency // in which a command of a person had the site
}

// urgency is from the start of a command to its end.
type urgency struct{ from, to time.Time }

// TestWatchKeepsTheCadence: for two minutes a snapshot is due every five seconds,
// and meanwhile all happens to the watch that happens in a year. None is missed,
// none is taken twice.
func TestWatchKeepsTheCadence(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Retention = "{last: 1000}"
	w := &watchTrial{site: s, metrics: freePort(t)}
	w.rewrite(t)
	w.begin(t)
	s.stepTable(t)
	w.isReady(t)
	began := time.Now()
	for round := 0; round == 0 || time.Since(began) < atLeast; round++ {
		for _, event := range []struct {
			name    string
			happens func(*testing.T)
		}{
			{"the file is edited", w.edited},
			{"the file is broken and mended", w.broken},
			{"the standby is killed", w.standbyKilled},
			{"the standby is killed beside a drill", w.standbyKilledBesideADrill},
			{"a property drifts", w.drifts},
			{"a restore fails again and again", w.failingRestore},
			{"the watch is killed", w.killed},
			{"the watch is stopped in a drill", w.stoppedInADrill},
			{"the primary dies and comes back", w.primaryDies},
			{"a person takes a snapshot, and waits for a drill", w.byHand},
			{"a person needs a restore in the middle of a drill", w.urgent},
		} {
			began := time.Now()
			event.happens(t)
			t.Logf("%s: %.1fs", event.name, time.Since(began).Seconds())
			if t.Failed() {
				return
			}
		}
	}
	must(t, w.watch.cmd.Process.Signal(syscall.SIGTERM))
	w.watch.ends(t, exitDone)
	w.noneMissedOrDoubled(t, time.Since(began))
	s.caughtUp(t)
}

// rewrite brings the fields to the disk by rename, as editors do.
func (w *watchTrial) rewrite(t *testing.T) {
	t.Helper()
	text := strings.Replace(w.text(t), `schedule: "0 0 1 1 *"`, "every: "+cadence.String(), 1)
	must(t, os.WriteFile(filepath.Join(w.Dir, "password"), []byte(w.Password), 0o600))
	aside := filepath.Join(w.Dir, "site.yaml.new")
	must(t, os.WriteFile(aside, []byte(text), 0o644))
	must(t, os.Rename(aside, w.File()))
}

func (w *watchTrial) begin(t *testing.T) {
	t.Helper()
	w.watch = w.start(t, "watch", "--metrics", fmt.Sprintf("127.0.0.1:%d", w.metrics), "--log-format", "json")
}

// until waits, and fails at once where the watch ended by itself.
func (w *watchTrial) until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	eventually(t, what, func() bool { return happened() || w.watch.over() })
	if w.watch.over() {
		t.Fatalf("the watch ended while it was to bring about: %s", what)
	}
}

// isReady waits for an apply of which nothing failed.
func (w *watchTrial) isReady(t *testing.T) {
	t.Helper()
	w.until(t, "an apply that is well", func() bool {
		status, _ := httpGet(w.metrics, "/readyz")
		return status == http.StatusOK
	})
}

func (w *watchTrial) edited(t *testing.T) {
	w.Restores = w.restoreTo("now", "latest: true")
	w.rewrite(t)
	w.until(t, "the restore to run", func() bool { return w.restoreState(t, "now") == "running" })
	w.Restores = ""
	w.rewrite(t)
	w.until(t, "the restore to go", func() bool { return w.restoreState(t, "now") == "" })
}

// broken: rapid writes, of which the last is no YAML; the last good file rules.
func (w *watchTrial) broken(t *testing.T) {
	for i := range 10 {
		must(t, os.WriteFile(w.File(), []byte(strings.Repeat("version: 1\n\tsite: tab\n", i)), 0o644))
	}
	w.untilSnapshots(t, 1)
	must(t, os.Remove(w.File()))
	w.untilSnapshots(t, 1)
	w.rewrite(t)
	must(t, w.watch.cmd.Process.Signal(syscall.SIGHUP))
	w.isReady(t)
}

// untilSnapshots waits for so many more.
func (w *watchTrial) untilSnapshots(t *testing.T, more int) {
	t.Helper()
	have := w.snapshots(t)
	w.until(t, "snapshots to go on", func() bool { return w.snapshots(t) >= have+more })
}

// standbyDies kills the standby's server, and waits for it to be there again.
func (w *watchTrial) standbyDies(t *testing.T) {
	t.Helper()
	pid := w.postmaster(t)
	must(t, syscall.Kill(pid, syscall.SIGQUIT))
	eventually(t, "end of the standby", func() bool { return syscall.Kill(pid, 0) != nil })
	w.until(t, "the standby to be started again", func() bool {
		again, owner := readPidFile(filepath.Join(w.DataDir(), "postmaster.pid"))
		return owner == w.DataDir() && again != pid && syscall.Kill(again, 0) == nil
	})
}

func (w *watchTrial) standbyKilled(t *testing.T) {
	w.standbyDies(t)
	w.isReady(t)
}

// inADrill has the watch make a drill whose query takes long.
func (w *watchTrial) inADrill(t *testing.T, seconds int) {
	t.Helper()
	w.Verify = fmt.Sprintf("{every: 1s, queries: [{sql: %s, expect: zr}]}", yamlQuote(fmt.Sprintf("SELECT 'zr' || pg_sleep(%d)", seconds)))
	w.rewrite(t)
	w.until(t, "the drill to come to its query", func() bool { return w.drilling() })
}

// drilling says whether a drill is at its query.
func (w *watchTrial) drilling() bool {
	connect := fmt.Sprintf("host=/run/zreconcile/%s/:drill port=%d", w.Name, w.Port)
	n, err := trySocketText(connect, w.Primary.Superuser, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'SELECT ''zr''%'")
	return err == nil && n == "1"
}

// noDrill waits for the drill at work to end, and has no further one made.
func (w *watchTrial) noDrill(t *testing.T) {
	t.Helper()
	w.Verify = ""
	w.rewrite(t)
	w.noTraceOfADrill(t)
	w.isReady(t)
}

func (w *watchTrial) noTraceOfADrill(t *testing.T) {
	t.Helper()
	w.until(t, "the drill to end", func() bool {
		log, _ := filepath.Glob("/var/log/zreconcile/" + w.Name + "/*drill*") // it goes last
		return !w.drilling() && len(log) == 0
	})
	w.leavesNothing(t)
}

func (w *watchTrial) standbyKilledBesideADrill(t *testing.T) {
	w.inADrill(t, 20)
	w.untilSnapshots(t, 1)
	w.standbyDies(t)
	w.untilSnapshots(t, 1)
	if !w.drilling() {
		t.Error("the drill was to go on all the time")
	}
	w.noDrill(t)
}

// drifts: somebody sets a property, and the next look sets it back.
func (w *watchTrial) drifts(t *testing.T) {
	command(t, "zfs", "set", "atime=on", w.Name+"/data")
	w.until(t, "atime to be off again", func() bool {
		return strings.TrimSpace(command(t, "zfs", "get", "-H", "-o", "value", "atime", w.Name+"/data")) == "off"
	})
}

// failingRestore: its server can't listen where it should (TEST-NET-1, RFC 5737),
// is tried again and again, and keeps nothing else.
func (w *watchTrial) failingRestore(t *testing.T) {
	w.Restores = w.restoreTo("fails", "latest: true") + "    listenAddresses: 192.0.2.1\n    hba: [\"host all all 192.0.2.0/24 scram-sha-256\"]\n"
	w.rewrite(t)
	failed := `zreconcile_changes_total{kind="restore",result="failed"}`
	was, _ := metric(t, w.metrics, failed)
	w.until(t, "the restore to fail twice", func() bool {
		n, _ := metric(t, w.metrics, failed)
		return n >= was+2
	})
	w.untilSnapshots(t, 2)
	w.Restores = ""
	w.rewrite(t)
	w.isReady(t)
}

// killed by kill -9, and started again at once, as systemd would.
func (w *watchTrial) killed(t *testing.T) {
	pid := w.postmaster(t)
	must(t, w.watch.cmd.Process.Kill())
	<-w.watch.ended
	w.begin(t)
	w.isReady(t)
	if w.postmaster(t) != pid {
		t.Error("the standby died with the watch, or was restarted")
	}
}

// stoppedInADrill: SIGTERM abandons the drill and leaves nothing of it that the
// next watch would not take away.
func (w *watchTrial) stoppedInADrill(t *testing.T) {
	w.inADrill(t, 300)
	began := time.Now()
	must(t, w.watch.cmd.Process.Signal(syscall.SIGTERM))
	w.watch.ends(t, exitDone)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the watch took %s to stop", took)
	}
	w.Verify = ""
	w.rewrite(t)
	w.begin(t)
	w.isReady(t)
	w.noTraceOfADrill(t)
}

func (w *watchTrial) primaryDies(t *testing.T) {
	is := func(name string, want float64) func() bool {
		return func() bool {
			v, known := metric(t, w.metrics, name)
			return known && v == want
		}
	}
	must(t, w.Primary.Stop())
	w.until(t, "the loss of the primary to show", is("zreconcile_standby_connected", 0))
	w.untilSnapshots(t, 2)
	must(t, w.Primary.Start())
	w.until(t, "the standby to find its primary again", is("zreconcile_standby_connected", 1))
	w.commit(t, 1)
	w.caughtUp(t)
	w.isReady(t)
}

// byHand: a snapshot can be taken in the middle of a drill, and whoever must
// wait is told for what.
func (w *watchTrial) byHand(t *testing.T) {
	w.inADrill(t, 15)
	w.run(t, "snapshot", "--label", "by hand", "--lock-timeout", "10s").exits(t, exitDone)
	w.run(t, "apply", "--lock-timeout", "1s").exits(t, exitLocked).says(t, fmt.Sprintf("process %d, which is at verification zr-", w.watch.cmd.Process.Pid))
	if !w.drilling() {
		t.Error("the drill was to go on all the time")
	}
	w.noDrill(t)
}

// urgent: a restore does not wait for a drill of minutes, which is made again.
func (w *watchTrial) urgent(t *testing.T) {
	w.inADrill(t, 300)
	w.urgently(t, "urgent", "--latest", "--port", text(w.RestorePort))
	if w.drilling() {
		t.Error("the drill goes on")
	}
	w.until(t, "the drill to be made again", w.drilling)
	w.Verify = "" // before the drill gives way once more: else it might be made a third time, to its end
	w.rewrite(t)
	w.urgently(t, "urgent", "--remove")
	w.noTraceOfADrill(t)
	w.isReady(t)
}

func (w *watchTrial) urgently(t *testing.T, args ...string) {
	t.Helper()
	began := time.Now()
	w.run(t, "restore", args...).exits(t, exitDone)
	w.urgents = append(w.urgents, urgency{began, time.Now()})
}

// waited is how long, between two moments, a person's commands may have kept the
// watch from the site: what falls due then is taken when they end.
func (w *watchTrial) waited(from, to time.Time) (sum time.Duration) {
	for _, u := range w.urgents {
		begin, end := u.from, u.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		sum += max(0, end.Sub(begin))
	}
	return sum
}

// noneMissedOrDoubled looks at all snapshots but those that a person took.
func (w *watchTrial) noneMissedOrDoubled(t *testing.T, lasted time.Duration) {
	list := w.status(t).Snapshots
	for i := 1; i < len(list); i++ {
		gap := list[i].TakenAt.Truncate(time.Second).Sub(list[i-1].TakenAt.Truncate(time.Second))
		byHand := strings.TrimSpace(command(t, "zfs", "get", "-H", "-o", "value", "zreconcile:label", w.Name+"/data@"+list[i].Name)) == "by hand"
		if gap < cadence && !byHand {
			t.Errorf("%s was taken %s after %s", list[i].Name, gap, list[i-1].Name)
		}
		if gap >= 2*cadence+w.waited(list[i-1].TakenAt, list[i].TakenAt) {
			t.Errorf("none was taken between %s and %s", list[i-1].Name, list[i].Name)
		}
	}
	if least := int(lasted / (2 * cadence)); len(list) < least {
		t.Errorf("%d snapshots in %s", len(list), lasted)
	}
	t.Logf("%d snapshots in %.0fs, none missed and none doubled: %v", len(list), lasted.Seconds(), !t.Failed())
}
