package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// prunes is a site that is pruned again and again, and what is known of each
// commit of its primary.
type prunes struct {
	*site
	rng     *rand.Rand
	n       int           // the last step
	begun   []string      // by step: the primary's insert position before its transaction
	ended   []string      // and behind it
	pins    []entry       // restores that stay declared all the time
	ports   []int         // of the restores that are only planned
	made    int           // moments that were really restored
	plans   int           // moments that a plan said yes to
	horizon time.Duration // continuousFor; 0 is all
}

// TestRetentionInvariant prunes a site round by round, and before and after each
// prune everything that status advertises can be had: a plan refuses none of it,
// and some of it is really restored and holds the rows that it must. A moment
// that is gone after a prune is one before the oldest snapshot that goes on from
// it. Pitfalls 3, 12, 16, 20, 22.
func TestRetentionInvariant(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Odd) // segments of 1 MB
	must(t, p.Exec("ALTER SYSTEM SET track_commit_timestamp = on", "ALTER SYSTEM SET autovacuum = off"))
	must(t, p.Stop())
	must(t, p.Start())
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &prunes{site: newSite(t, p), rng: rand.New(rand.NewPCG(seed, 1))}
	s.Set["wal_keep_size"] = "0" // what the archive loses is not in the live pg_wal
	s.Retention = "{last: 3}"
	s.write(t)
	s.stepTable(t)
	s.converges(t)
	for range 2 {
		s.round(t, s.sometimes())
	}
	s.pinOne(t)
	s.round(t, s.sometimes())
	held := s.status(t).Snapshots[0].Name
	s.unpin(t)
	if slices.Contains(s.snapshotNames(t), held) {
		t.Errorf("%s stays, though nothing needs it any more", held)
	}
	s.failedDestroy(t)

	s.horizon = 4 * time.Second
	s.ArchiveMore = "  continuousFor: 4s\n"
	s.Retention = "{last: 4}"
	s.round(t, true) // the first is to be behind all that its successors need
	for range 2 {
		s.round(t, s.sometimes())
	}
	s.points(t)
	t.Logf("%d moments planned, %d of them restored", s.plans, s.made)
}

// sometimes is whether redo moves on in a round: two of three times.
func (s *prunes) sometimes() bool { return s.rng.IntN(3) > 0 }

// round works, takes a snapshot, and prunes. A snapshot can have the redo of the
// one before.
func (s *prunes) round(t *testing.T, redoMoves bool) {
	t.Helper()
	for range 4 + s.rng.IntN(4) {
		s.fill(t)
	}
	if redoMoves {
		must(t, s.Primary.Exec("SELECT pg_switch_wal()", "CHECKPOINT"))
	}
	s.fill(t)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.fill(t)
	s.caughtUp(t)

	before := s.status(t)
	s.served(t, before)
	s.declares(t)
	s.apply(t).exits(t, exitDone)
	if s.horizon == 0 { // which goes on with the clock
		s.isConverged(t)
	}
	after := s.status(t)
	s.lostOnly(t, before, after)
	s.served(t, after)
}

// fill commits a row, between two known places of the WAL, and fills most of a
// segment.
func (s *prunes) fill(t *testing.T) {
	t.Helper()
	s.n++
	must(t, s.Primary.Exec(fmt.Sprintf("SELECT pg_logical_emit_message(false, 'fill', repeat('x', %d))", 200000+s.rng.IntN(800000))))
	s.begun = append(s.begun, s.onPrimary(t, insertedTo))
	s.commit(t, s.n)
	s.ended = append(s.ended, s.onPrimary(t, insertedTo))
}

// stepsTo are the steps from 1 to n, as they are read back.
func stepsTo(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(i+1))
	}
	if n == 0 {
		return "none"
	}
	return strings.Join(all, " ")
}

// instant is a target, and the steps that it may hold at the least and the most:
// one more, where a place of the WAL is amid a transaction.
type instant struct {
	target      string
	least, most int
}

// atTime is exact: the primary knows when each step was committed.
func (s *prunes) atTime(t *testing.T, at time.Time) instant {
	t.Helper()
	text := at.UTC().Format("2006-01-02 15:04:05.000000+00")
	var n int
	must(t, s.Primary.QueryRow("SELECT count(*) FROM steps WHERE pg_xact_commit_timestamp(xmin) <= '"+text+"'", &n))
	return instant{fmt.Sprintf("time: %q", text), n, n}
}

func (s *prunes) before(t *testing.T, at string) instant {
	t.Helper()
	place, err := parseLSN(at)
	must(t, err)
	m := instant{target: fmt.Sprintf("lsn: %s, stop: before", at)}
	for i := range s.begun {
		begun, err := parseLSN(s.begun[i])
		must(t, err)
		ended, err := parseLSN(s.ended[i])
		must(t, err)
		if begun < place {
			m.most++
		}
		if ended <= place {
			m.least++
		}
	}
	return m
}

// advertised are moments that a status says can be had: the ends of each window
// and some between, what each snapshot serves first and last, and itself.
func (s *prunes) advertised(t *testing.T, st statusJSON) []instant {
	t.Helper()
	var list []instant
	for _, w := range st.Windows {
		list = append(list, s.atTime(t, w.From), s.atTime(t, w.To))
		for range 2 {
			list = append(list, s.atTime(t, w.From.Add(time.Duration(s.rng.Int64N(int64(w.To.Sub(w.From))+1))).Truncate(time.Microsecond)))
		}
	}
	for _, snap := range st.Snapshots {
		if snap.Earliest == nil || snap.Latest == nil {
			t.Errorf("%s serves nothing: %s", snap.Name, snap.LatestWhy)
			continue
		}
		list = append(list, s.before(t, snap.Earliest.LSN), s.before(t, snap.Latest.LSN), s.atTime(t, *snap.Earliest.Time), s.atTime(t, *snap.Latest.Time))
	}
	return list
}

// served proves that what a status advertises can be had. Nothing is pruned by
// it: only restores are applied.
func (s *prunes) served(t *testing.T, st statusJSON) {
	t.Helper()
	if len(st.Windows) == 0 {
		t.Fatal("nothing can be restored")
	}
	all := s.advertised(t, st)
	var entries []entry
	targets := map[string]string{}
	for i, m := range all {
		e := entry{Name: fmt.Sprintf("m%d", s.plans+i), Target: m.target, Port: s.port(t, i)}
		entries, targets[e.Name] = append(entries, e), e.Target
	}
	s.declares(t, entries...)
	for _, c := range s.plan(t).exits(t, exitPending, exitRefused).plan(t).Changes {
		if c.Action == "block" {
			t.Errorf("advertised and refused: %s (%s): %s", c.Name, targets[c.Name], c.Why)
		}
	}
	s.plans += len(all)
	i := s.rng.IntN(len(all))
	s.reallyServed(t, all[i], entries[i])
}

// port is that of the i-th restore that is planned: nobody else's, since a plan
// refuses one that is in use.
func (s *prunes) port(t *testing.T, i int) int {
	t.Helper()
	for len(s.ports) <= i {
		s.ports = append(s.ports, freePort(t))
	}
	return s.ports[i]
}

// reallyServed makes one of them.
func (s *prunes) reallyServed(t *testing.T, m instant, e entry) {
	t.Helper()
	e.Port = freePort(t)
	s.declares(t, e)
	s.run(t, "apply", "-o", "json", "--only", "restore").exits(t, exitDone)
	if got := s.on(t, e.Name, steps); got != stepsTo(m.least) && got != stepsTo(m.most) {
		t.Errorf("%s holds %s, want %d to %d steps", m.target, got, m.least, m.most)
	}
	s.made++
}

// declares keeps the restores that stay.
func (s *prunes) declares(t *testing.T, entries ...entry) {
	t.Helper()
	s.declare(t, append(slices.Clone(s.pins), entries...)...)
}

// lostOnly: what a prune gave up lies before the snapshot that all is had from:
// the oldest that is left, or the newest that continuousFor does not reach.
func (s *prunes) lostOnly(t *testing.T, before, after statusJSON) {
	t.Helper()
	from := *after.Snapshots[0].Earliest.Time
	for _, snap := range after.Snapshots {
		if s.horizon != 0 && !snap.TakenAt.After(time.Now().Add(-s.horizon)) && !snap.Earliest.Time.After(time.Now().Add(-s.horizon)) {
			from = *snap.Earliest.Time
		}
	}
	for _, w := range before.Windows {
		if w.To.Before(from) {
			continue
		}
		begin := w.From
		if begin.Before(from) {
			begin = from
		}
		if !slices.ContainsFunc(after.Windows, func(have struct{ From, To time.Time }) bool {
			return !have.From.After(begin) && !have.To.Before(w.To)
		}) {
			t.Errorf("%s to %s could be had before the prune, and not after it: %+v", begin, w.To, after.Windows)
		}
	}
}

// pinOne declares a restore of the oldest snapshot that stays while others go.
func (s *prunes) pinOne(t *testing.T) {
	t.Helper()
	oldest := s.status(t).Snapshots[0]
	s.pins = []entry{{Name: "pin", Target: fmt.Sprintf("lsn: %s, stop: before", oldest.Earliest.LSN), Port: freePort(t)}}
	s.declares(t)
	s.run(t, "apply", "-o", "json", "--only", "restore").exits(t, exitDone)
	s.run(t, "snapshot", "--hold").exits(t, exitDone)
}

// unpin starts the pinned restore anew from its WAL, which the prunes left, and
// lets it go, and the hold.
func (s *prunes) unpin(t *testing.T) {
	t.Helper()
	var kept []string
	for _, snap := range s.status(t).Snapshots {
		kept = append(kept, snap.KeptBy...)
	}
	if all := strings.Join(kept, ", "); !strings.Contains(all, "has a clone") || !strings.Contains(all, "has a hold") {
		t.Errorf("kept by %q", kept)
	}
	holds := s.on(t, "pin", steps)
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", s.cloneDir(t, "pin"))
	s.apply(t).exits(t, exitDone)
	if got := s.on(t, "pin", steps); got != holds {
		t.Errorf("the restore that stays held %s, and holds %s", holds, got)
	}
	for _, snap := range s.status(t).Snapshots {
		if strings.Contains(strings.Join(snap.KeptBy, ", "), "has a hold") {
			s.run(t, "snapshot", "--release", snap.Name).exits(t, exitDone)
		}
	}
	s.pins = nil
	s.declares(t)
	s.converges(t)
}

// failedDestroy: a snapshot that retention could not destroy keeps its WAL, and
// is served as before.
func (s *prunes) failedDestroy(t *testing.T) {
	t.Helper()
	s.declares(t)
	s.converges(t)
	s.fill(t)
	must(t, s.Primary.Exec("SELECT pg_switch_wal()", "CHECKPOINT"))
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.Retention = "{last: 1}"
	s.declares(t)
	if p := s.plan(t).exits(t, exitPending).plan(t); !p.has("delete", "retention") || !p.has("delete", "wal") {
		t.Fatalf("nothing is to be pruned: %q of %q", p.changes(), s.archived(t))
	}
	segments, real := s.archived(t), s.lookPath(t, "zfs")
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = destroy ] && echo 'internal error: out of memory' >&2 && exit 1\nexec %s \"$@\"\n", real)
	must(t, os.WriteFile(filepath.Join(dir, "zfs"), []byte(script), 0o755))
	cmd := prepared(t.Context(), "apply", "-f", s.File(), "-o", "json")
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH")) // the last one counts
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), "out of memory") {
		t.Errorf("apply with a zfs that destroys nothing: exit %d\n%s", cmd.ProcessState.ExitCode(), out)
	}
	if now := s.archived(t); !slices.Contains(now, segments[0]) {
		t.Errorf("the snapshot is still there, and the archive, which began with %s, holds %q", segments[0], now)
	}
	s.served(t, s.status(t))
	s.declares(t)
	s.converges(t)
	if slices.Contains(s.archived(t), segments[0]) {
		t.Error("the WAL of the destroyed snapshot is still there")
	}
}

func (s *prunes) lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	must(t, err)
	return path
}

// points: behind continuousFor, each snapshot that is left serves itself and what
// status says, and status says why no more.
func (s *prunes) points(t *testing.T) {
	t.Helper()
	st := s.status(t)
	snap := st.Snapshots[0]
	if !strings.Contains(snap.LatestWhy, "single point") {
		t.Fatalf("the oldest snapshot is no single point: %+v", snap)
	}
	itself := s.before(t, snap.Earliest.LSN)
	// Where the primary made no checkpoint between them, the WAL that the next needs
	// begins where this one's does, and this one can go as far.
	var gap time.Time
	for _, next := range slices.Backward(st.Snapshots) {
		if end := next.Earliest.Time.Add(-time.Microsecond); end.After(*snap.Latest.Time) {
			gap = end
		}
	}
	if gap.IsZero() {
		t.Fatalf("%s ends at %s, and none begins behind that: %+v", snap.Name, snap.Latest.Time, st.Snapshots)
	}
	s.declares(t, entry{Name: "itself", Target: "snapshot: " + snap.Name, Port: freePort(t)},
		entry{Name: "first", Target: itself.target, Port: freePort(t)},
		entry{Name: "beyond", Target: s.atTime(t, gap).target, Port: freePort(t)})
	r := s.run(t, "apply", "-o", "json", "--only", "restore").exits(t, exitRefused)
	if p := r.plan(t); !slices.Contains(p.changes(), "block restore/beyond") {
		t.Errorf("a moment behind a single point: %q", p.changes())
	}
	if got := s.on(t, "first", steps); got != stepsTo(itself.least) && got != stepsTo(itself.most) {
		t.Errorf("the first moment of %s holds %s, want %d to %d steps", snap.Name, got, itself.least, itself.most)
	}
	if got := s.on(t, "itself", steps); got != stepsTo(strings.Count(got, " ")+1) || strings.Count(got, " ")+1 < itself.least {
		t.Errorf("%s itself holds %s, and at the least %d steps", snap.Name, got, itself.least)
	}
}
