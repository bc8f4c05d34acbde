package e2e

import (
	"fmt"
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

// restoredJSON is `restore -o json`: that of apply, and how to connect.
type restoredJSON struct {
	planJSON
	Connect                string
	ExpiresAt, DestroyedAt *time.Time
	Notes                  []string
}

// restore runs the restore command.
func (s *site) restore(t testing.TB, name string, args ...string) (restoredJSON, result) {
	t.Helper()
	r := s.run(t, "restore", append([]string{name, "-o", "json"}, args...)...)
	var out restoredJSON
	r.decode(t, &out)
	return out, r
}

// restores is restore of a restore that must come to run; want is what it holds.
func (s *site) restores(t testing.TB, name, want string, args ...string) restoredJSON {
	t.Helper()
	out, r := s.restore(t, name, args...)
	r.exits(t, exitDone)
	if out.Connect == "" {
		t.Fatalf("it does not say how to connect: %v", r)
	}
	if got := socketText(t, out.Connect, s.Primary.Superuser, steps); got != want {
		t.Errorf("%s holds %s, want %s", name, got, want)
	}
	return out
}

// changed fails the test unless these were the changes of a restore.
func (o restoredJSON) changed(t testing.TB, want ...string) {
	t.Helper()
	if !slices.Equal(o.changes(), want) {
		t.Errorf("the changes were %q, want %q", o.changes(), want)
	}
}

// entryFile is the file that the command keeps for a restore.
func (s *site) entryFile(name string) string { return filepath.Join(s.Dir, "site.d", name+".yaml") }

// entryText is its content; "" where there is none.
func (s *site) entryText(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(s.entryFile(name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func (s *site) cloneDataset(name string) string {
	return s.Name + "/zreconcile/" + s.Name + "/" + name
}

// cloneGUID tells a clone from one made anew; "" where there is none.
func (s *site) cloneGUID(t *testing.T, name string) string {
	t.Helper()
	// In one command: the clone may go at any moment.
	for line := range strings.Lines(command(t, "zfs", "get", "-Hp", "-r", "-o", "name,value", "guid", s.Name)) {
		if dataset, guid, _ := strings.Cut(strings.TrimSpace(line), "\t"); dataset == s.cloneDataset(name) {
			return guid
		}
	}
	return ""
}

// isGone fails the test where a restore left a file or a clone.
func (s *site) isGone(t *testing.T, name string) {
	t.Helper()
	if text := s.entryText(t, name); text != "" {
		t.Errorf("the entry of %s is still there:\n%s", name, text)
	}
	if s.cloneGUID(t, name) != "" {
		t.Errorf("the clone of %s is still there", name)
	}
}

// instants are what the restores of a test go to: after the first commit a time,
// after the second an LSN; three commits there are.
type instants struct{ early, time, lsn string }

func (s *site) threeCommits(t testing.TB) (m instants) {
	t.Helper()
	m.early = s.onPrimary(t, clockNow)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	m.time = s.onPrimary(t, "SELECT to_char(clock_timestamp() AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD HH24:MI:SS.US+08:00')")
	s.commit(t, 2)
	m.lsn = s.onPrimary(t, insertedTo)
	s.commit(t, 3)
	s.caughtUp(t)
	return m
}

// TestRestoreCommand makes, changes and removes restores in one line each.
func TestRestoreCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	m := s.threeCommits(t)

	t.Run("refused", func(t *testing.T) {
		_, r := s.restore(t, "early", "--time", m.early)
		r.exits(t, exitRefused).says(t, "before what any snapshot serves", "earliest", "nothing was made")
		s.isGone(t, "early")
		if _, err := os.Stat(filepath.Dir(s.entryFile("early"))); err == nil {
			t.Error("the refused restore left site.d behind")
		}
		s.isConverged(t)
	})
	t.Run("by time", func(t *testing.T) {
		s.restores(t, "r", "1", "--time", m.time).changed(t, "create restore/r")
		s.isConverged(t)
		again := s.run(t, "restore", "r", "--time", m.time).exits(t, exitDone).says(t, "nothing to change")
		if got := strings.TrimSpace(command(t, "sh", "-c", psqlLine(t, again)+` -Atc "`+steps+`"`)); got != "1" {
			t.Errorf("as it says, one connects to %q", got)
		}
	})
	t.Run("by LSN and latest, whatever else is blocked", func(t *testing.T) {
		s.Restores = s.restoreTo("never", "snapshot: zr-19990101T000000Z")
		s.write(t)
		s.restores(t, "lsn", "1 2", "--lsn", m.lsn, "--stop", "before", "--mountpoint", filepath.Join(s.Dir, "m"), "--dataset", "other").changed(t, "create restore/lsn")
		s.restores(t, "now", "1 2 3", "--latest").changed(t, "create restore/now")
		s.Restores = ""
		s.write(t)
		s.isConverged(t)
		for _, name := range []string{"lsn", "now"} {
			out, r := s.restore(t, name, "--remove")
			r.exits(t, exitDone)
			out.changed(t, "delete restore/"+name)
			s.isGone(t, name)
		}
	})
	t.Run("in place", func(t *testing.T) { s.changesInPlace(t, m) })
	t.Run("another target", func(t *testing.T) {
		guid := s.cloneGUID(t, "r")
		s.restores(t, "r", "1 2", "--lsn", m.lsn, "--stop", "before").changed(t, "replace restore/r")
		if s.cloneGUID(t, "r") == guid {
			t.Error("it is the same clone")
		}
		s.isConverged(t)
	})
	t.Run("port of others", func(t *testing.T) {
		before := s.entryText(t, "r")
		_, r := s.restore(t, "r", "--lsn", m.lsn, "--stop", "before", "--port", strconv.Itoa(s.Primary.Port))
		r.exits(t, exitRefused).says(t, "in use", "is as it was")
		if got := s.entryText(t, "r"); got != before {
			t.Errorf("the refused entry stays:\n%s", got)
		}
		s.isConverged(t)
	})
	t.Run("killed", func(t *testing.T) { s.killedRestoreIsRunAgain(t, m) })
	t.Run("promoted", func(t *testing.T) { s.promotesInPlace(t, m) })
}

// psqlLine is the command that a run tells to connect with.
func psqlLine(t testing.TB, r result) string {
	t.Helper()
	_, line, found := strings.Cut(r.Stdout, "connect    ")
	if !found {
		t.Fatalf("it does not say how to connect: %v", r)
	}
	return strings.SplitN(line, "\n", 2)[0]
}

// changesInPlace: what does not need another clone does not make one, and the
// port stays unless another one is asked for.
func (s *site) changesInPlace(t *testing.T, m instants) {
	guid, port := s.cloneGUID(t, "r"), freePort(t)
	s.restores(t, "r", "1", "--time", m.time, "--port", strconv.Itoa(port)).changed(t, "update restore/r")
	if got := s.on(t, "r", "SHOW port"); got != strconv.Itoa(port) {
		t.Errorf("the port is %s", got)
	}
	out := s.restores(t, "r", "1", "--time", m.time, "--expires", "24h", "--grace", "2h", "--keep")
	out.changed(t, "update restore/r")
	if out.ExpiresAt == nil || time.Until(*out.ExpiresAt) < 23*time.Hour {
		t.Errorf("it expires at %v", out.ExpiresAt)
	}
	if got := s.on(t, "r", "SHOW port"); got != strconv.Itoa(port) {
		t.Errorf("the port went to %s", got)
	}
	s.restores(t, "r", "1", "--time", m.time).changed(t, "update restore/r")
	if s.cloneGUID(t, "r") != guid {
		t.Error("it was made anew")
	}
	s.isConverged(t)
}

// promotesInPlace: a promoted restore is kept, and never replaced.
func (s *site) promotesInPlace(t *testing.T, m instants) {
	target := []string{"--lsn", m.lsn, "--stop", "before"}
	guid := s.cloneGUID(t, "r")
	s.restores(t, "r", "1 2", append(target, "--promote")...).changed(t, "update restore/r")
	if got := s.on(t, "r", "SELECT pg_is_in_recovery()::text"); got != "false" {
		t.Error("it is still in recovery")
	}
	before := s.entryText(t, "r")
	for _, other := range [][]string{{"--time", m.time}, target} {
		_, r := s.restore(t, "r", other...)
		r.exits(t, exitRefused).says(t, "promoted", "is as it was")
	}
	if got := s.entryText(t, "r"); got != before {
		t.Errorf("the refused entry stays:\n%s", got)
	}
	s.isConverged(t)

	out, r := s.restore(t, "r", "--remove")
	r.exits(t, exitDone).says(t, "kept", "--keep=false")
	out.changed(t, "stop restore/r")
	s.isConverged(t)
	s.restores(t, "r", "1 2", append(target, "--promote", "--keep=false")...)
	if s.cloneGUID(t, "r") != guid || s.on(t, "r", "SELECT pg_is_in_recovery()::text") != "false" {
		t.Error("it did not come back as it was")
	}
	s.restore(t, "r", "--remove")
	s.isGone(t, "r")
	_, r = s.restore(t, "r", "--remove")
	r.exits(t, exitFailed).says(t, "there is no restore r")
	s.isConverged(t)
}

// TestRestoreCommandLeaves removes restores that have a grace, and lets them
// expire: nothing is made again by itself, and all of it by asking again.
func TestRestoreCommandLeaves(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	m := s.threeCommits(t)

	t.Run("removed and put back", func(t *testing.T) {
		asked := []string{"--time", m.time, "--grace", "1h"}
		s.restores(t, "r", "1", asked...)
		guid := s.cloneGUID(t, "r")
		out, r := s.restore(t, "r", "--remove")
		r.exits(t, exitDone).says(t, "to bring it back as it is: zreconcile restore r")
		out.changed(t, "stop restore/r")
		if out.DestroyedAt == nil || time.Until(*out.DestroyedAt) < 59*time.Minute {
			t.Errorf("it is destroyed at %v", out.DestroyedAt)
		}
		s.isConverged(t)
		s.run(t, "status").exits(t, exitDone).says(t, "destroyed  ")
		again, r := s.restore(t, "r", "--remove") // a second time it only says so
		r.exits(t, exitDone)
		if again.changed(t); again.DestroyedAt == nil || !again.DestroyedAt.Equal(*out.DestroyedAt) {
			t.Errorf("the second time it is destroyed at %v", again.DestroyedAt)
		}
		if p := s.planIn(t, 2*time.Hour); !slices.Contains(p, "delete restore/r") {
			t.Errorf("two hours later the plan is %q", p)
		}
		s.restores(t, "r", "1", asked...)
		if s.cloneGUID(t, "r") != guid {
			t.Error("it was made anew")
		}
		s.isConverged(t)
	})
	t.Run("expired", func(t *testing.T) {
		asked := []string{"--time", m.time, "--expires", "3s", "--grace", "3s"}
		s.restores(t, "r", "1", asked...)
		if p := s.planIn(t, 10*time.Second); !slices.Equal(p, []string{"stop restore/r"}) {
			t.Errorf("once it expired the plan is %q", p)
		}
		time.Sleep(3100 * time.Millisecond) // it expires
		s.apply(t).exits(t, exitDone)
		if got := s.restoreState(t, "r"); got != "stopped" {
			t.Errorf("the expired restore is %s", got)
		}
		time.Sleep(3100 * time.Millisecond) // its grace ends
		s.converges(t)
		if s.cloneGUID(t, "r") != "" {
			t.Error("the expired restore is still there")
		}
		s.converges(t) // and is not made again
		if s.cloneGUID(t, "r") != "" {
			t.Error("the expired restore was made again")
		}

		s.restores(t, "r", "1", asked...).changed(t, "create restore/r")
		time.Sleep(3100 * time.Millisecond)
		s.restore(t, "r", append(asked[:4:4], "--grace", "1h")...) // within its grace it comes back by another entry ...
		time.Sleep(3100 * time.Millisecond)
		s.apply(t).exits(t, exitDone)
		guid := s.cloneGUID(t, "r")
		s.restores(t, "r", "1", append(asked[:4:4], "--grace", "1h")...) // ... and by the same one
		if s.cloneGUID(t, "r") != guid || guid == "" {
			t.Error("it was made anew")
		}
	})
	t.Run("expired, removed", func(t *testing.T) {
		s.restore(t, "r", "--time", m.time, "--expires", "1s", "--grace", "0s")
		time.Sleep(1100 * time.Millisecond)
		s.converges(t)
		if s.cloneGUID(t, "r") != "" || s.entryText(t, "r") == "" {
			t.Fatal("the clone is to be gone, and its entry to be there")
		}
		_, r := s.restore(t, "r", "--remove")
		r.exits(t, exitDone).says(t, "to make it again: zreconcile restore r")
		s.isGone(t, "r")
		s.isConverged(t)
		s.restores(t, "r", "1", "--time", m.time, "--expires", "1h", "--grace", "0s")
		s.restore(t, "r", "--remove")
		s.isGone(t, "r")
	})
}

// planIn is what the plan will be some time from now.
func (s *site) planIn(t testing.TB, d time.Duration) []string {
	t.Helper()
	at := time.Now().Add(d).UTC().Format(time.RFC3339)
	return s.run(t, "plan", "-o", "json", "--at", at).plan(t).changes()
}

// TestRestoreCommandBesideWatch: a watch takes up what the command did, undoes
// none of it, and never sees what was refused.
func TestRestoreCommandBesideWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	m := s.threeCommits(t)
	watch := s.watch(t)
	s.atRest(t)
	for i := range 3 {
		name := fmt.Sprintf("r%d", i)
		s.restores(t, name, "1", "--time", m.time).changed(t, "create restore/"+name)
		_, r := s.restore(t, "early", "--time", m.early)
		r.exits(t, exitRefused)
	}
	s.atRest(t)
	guid := s.cloneGUID(t, "r0")
	for i := range 3 {
		if got := s.on(t, fmt.Sprintf("r%d", i), steps); got != "1" {
			t.Errorf("beside the watch r%d holds %s", i, got)
		}
	}
	_, r := s.restore(t, "r1", "--remove")
	r.exits(t, exitDone)
	s.isGone(t, "r1")
	must(t, os.Remove(s.entryFile("r2")))
	eventually(t, "the watch to remove r2", func() bool { return s.cloneGUID(t, "r2") == "" || watch.over() })
	s.atRest(t)
	s.watchReadsUnderTheLock(t, watch)
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
	s.isGone(t, "r1")
	s.isGone(t, "early")
	if s.cloneGUID(t, "r0") != guid {
		t.Error("the watch made r0 anew")
	}
	plans, err := os.ReadFile(s.plans())
	must(t, err)
	for _, unwanted := range []string{`"name":"early"`, `"name":"passing"`, `"name":"r0","action":"stop"`, `"name":"r0","action":"delete"`, `"name":"r1","action":"create"`} {
		if strings.Contains(string(plans), unwanted) {
			t.Errorf("the watch saw %s:\n%s", unwanted, plans)
		}
	}
	s.isConverged(t)
}

// watchReadsUnderTheLock: what stood in site.d while the watch waited for the
// lock, and not any more when it got it, is nothing to it.
func (s *site) watchReadsUnderTheLock(t *testing.T, watch *background) {
	t.Helper()
	lock, err := os.OpenFile(filepath.Join("/run/zreconcile", s.Name+".lock"), os.O_RDWR, 0)
	must(t, err)
	defer lock.Close()
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	must(t, os.WriteFile(s.entryFile("passing"), []byte("restores:\n"+s.restoreTo("passing", "latest: true")), 0o644))
	must(t, watch.cmd.Process.Signal(syscall.SIGHUP))
	time.Sleep(2 * time.Second) // it reads the file, and waits for the lock
	must(t, os.Remove(s.entryFile("passing")))
	must(t, lock.Close())
	s.atRest(t)
	s.isGone(t, "passing")
}

// killedRestoreIsRunAgain: the entry was written before anything was made, so
// the next run goes on with it, be it this command's or an apply.
func (s *site) killedRestoreIsRunAgain(t *testing.T, m instants) {
	t.Helper()
	for name, again := range map[string]func(){
		"k1": func() { s.restores(t, "k1", "1", "--time", m.time) },
		"k2": func() { s.converges(t) },
	} {
		first := s.start(t, "restore", name, "--time", m.time)
		eventually(t, "the clone of "+name, func() bool { return s.cloneGUID(t, name) != "" || first.over() })
		must(t, first.cmd.Process.Kill())
		<-first.ended
		if s.entryText(t, name) == "" {
			t.Errorf("%s was begun without an entry", name)
		}
		again()
		if got := s.on(t, name, steps); got != "1" {
			t.Errorf("%s holds %s", name, got)
		}
		s.isConverged(t)
	}
}
