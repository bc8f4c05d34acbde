package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// trial is the life of one primary with its site, up to the end of its share.
type trial struct {
	*testing.T
	s         *site
	rng       *rand.Rand
	seed      uint64
	segmentMB int
	load      *load
	history   *history
	tally     *tally
	ends      time.Time

	timeline  int
	failover  bool // has been
	bases     []base
	abandoned []uint32 // transactions that ended on a timeline that was left
	quiet     []span
	edges     []lsn // of restarts and failovers
	points    []string
	ports     []int
	postmaster, rounds,
	named int // restore points so far
}

// span is a time in which nothing was written, in Unix microseconds.
type span struct{ from, to int64 }

func newTrial(t *testing.T, o primary.Options, seed uint64, number int, all *tally) *trial {
	t.Helper()
	p, err := primary.NewPlain(o)
	t.Cleanup(func() { must(t, p.Destroy()) })
	must(t, err)
	must(t, p.Exec("ALTER SYSTEM SET track_commit_timestamp = on", "ALTER SYSTEM SET autovacuum = on", "ALTER SYSTEM SET max_prepared_transactions = 100",
		"ALTER SYSTEM SET wal_keep_size = '100GB'", "ALTER SYSTEM SET max_wal_size = '4GB'", "ALTER SYSTEM SET log_checkpoints = off",
		"ALTER SYSTEM SET wal_init_zero = off", "ALTER SYSTEM SET wal_recycle = off"))
	must(t, p.Stop())
	must(t, p.Start())
	h := &history{segment: lsn(o.SegmentMB) << 20}
	var begin string
	must(t, p.QueryRow("SELECT pg_current_wal_lsn()::text", &begin))
	h.next, err = parseLSN(begin)
	must(t, err)
	must(t, p.Exec(ledgerSchema...))
	s := newSite(t, p)
	if o.Tablespace {
		must(t, p.Exec("ALTER TABLE ledger SET TABLESPACE fast")) // its index stays: rows and index come from two datasets
		s.Apart = true
	}
	resizeVdev(t, s.Vdev, 8<<30)
	s.Set["wal_keep_size"] = "0" // unlike the primary: what it needs later, the archive must have
	s.Retention = "{last: -1}"
	s.write(t)
	rng := rand.New(rand.NewPCG(seed, uint64(number)))
	tr := &trial{T: t, s: s, rng: rng, seed: seed, segmentMB: o.SegmentMB, history: h, tally: all, timeline: 1}
	tr.load = startLoad(t, p, o.SegmentMB, rng.Uint64())
	for range 6 {
		tr.ports = append(tr.ports, freePort(t))
	}
	return tr
}

// run works on the ledger and restores from it by turns, until the share is over.
func (tr *trial) run(share time.Duration) {
	tr.load.resume()
	tr.s.converges(tr)
	tr.postmaster = tr.s.postmaster(tr)
	tr.learnBase(tr.s.snapshotNames(tr)[0], 0, tr.replayed())
	tr.load.pause()
	began := time.Now()
	tr.ends = began.Add(share)
	goesOn := func() bool { return time.Now().Before(tr.ends) && tr.tally.failures < 10 }
	for goesOn() {
		tr.work(share / 12)
		if !tr.failover && time.Since(began) > share*2/5 {
			tr.failOver()
		}
		for i := 3 + tr.rng.IntN(3); i > 0 && goesOn(); i-- {
			tr.judgeSome()
		}
		if tr.rng.IntN(2) == 0 {
			tr.judgeInTheDark()
		} else {
			tr.judgeAroundAHole()
		}
	}
	tr.s.declare(tr)
	tr.s.converges(tr)
	tr.Logf("%d transactions, %d broken off (the last: %v), %d records, %d rows, %d snapshots, timeline %d", tr.load.committed.Load(),
		tr.load.failed.Load(), tr.load.lastError.Load(), len(tr.history.records), len(tr.history.ledger), len(tr.bases), tr.timeline)
}

// lsnOnStandby asks the standby for an LSN.
func (tr *trial) lsnOnStandby(function string) lsn {
	tr.Helper()
	at, err := parseLSN(tr.s.standbyText(tr, "SELECT coalesce("+function+"(), '0/0')::text"))
	must(tr, err)
	return at
}

func (tr *trial) replayed() lsn { return tr.lsnOnStandby("pg_last_wal_replay_lsn") }

// learnBase looks into a snapshot by a clone of the oracle's own.
func (tr *trial) learnBase(name string, before, after lsn) {
	tr.Helper()
	mountpoint, done := tr.peek("data", name)
	out := command(tr, filepath.Join(tr.s.Primary.BinDir, "pg_controldata"), filepath.Join(mountpoint, "pgdata"))
	b := base{name: name, replayedBefore: before, replayedAfter: after}
	minimum := tr.controlLSN(out, "Minimum recovery ending location:")
	b.redo = tr.controlLSN(out, "Latest checkpoint's REDO location:")
	b.consistent = max(b.redo, minimum)
	pgWAL := filepath.Join(mountpoint, "pgdata", "pg_wal")
	if tr.s.Apart {
		apart, done := tr.peek("pgwal", name)
		defer done()
		pgWAL = filepath.Join(apart, "pg_wal")
	}
	b.segments = segmentsIn(tr, pgWAL)
	done()
	tr.bases = append(tr.bases, b)
}

// peek mounts a clone of a dataset's snapshot until done.
func (tr *trial) peek(dataset, snapshot string) (mountpoint string, done func()) {
	tr.Helper()
	clone, mountpoint := tr.s.Name+"/peek-"+dataset, filepath.Join(tr.s.Dir, "peek-"+dataset)
	command(tr, "zfs", "clone", "-o", "mountpoint="+mountpoint, tr.s.Name+"/"+dataset+"@"+snapshot, clone)
	return mountpoint, func() {
		tr.Helper()
		eventually(tr, "zfs destroy "+clone, func() bool {
			_, err := tryCommand("zfs", "destroy", clone)
			return err == nil
		})
	}
}

func (tr *trial) controlLSN(out, label string) lsn {
	tr.Helper()
	_, rest, _ := strings.Cut(out, label)
	text, _, _ := strings.Cut(rest, "\n")
	at, err := parseLSN(strings.TrimSpace(text))
	must(tr, err)
	return at
}

// histories are the files that tell of timelines, in the archive.
func (tr *trial) histories() string {
	found, err := filepath.Glob(filepath.Join(tr.s.WALMount, "archive", "*.history"))
	must(tr, err)
	return strings.Join(found, " ")
}

// judgeSome restores to six targets in one apply and judges each.
func (tr *trial) judgeSome() {
	tr.Helper()
	tr.lookOn()
	tr.judgeAmid(circumstance{}, func() {}, func() {})
}

// lookOn brings what the oracle knows up to date.
func (tr *trial) lookOn() {
	tr.Helper()
	tr.s.caughtUp(tr)
	tr.history.read(tr, tr.s.Primary, tr.timeline)
	tr.learnShown()
}

// judgeAmid does so in a circumstance that begin brings about and end ends.
func (tr *trial) judgeAmid(c circumstance, begin, end func()) {
	tr.Helper()
	tr.rounds++
	var aims []aim
	var entries []entry
	for i, port := range tr.ports {
		a := tr.draw()
		aims = append(aims, a)
		entries = append(entries, entry{Name: fmt.Sprintf("r%d-%d", tr.rounds, i), Target: a.target, Port: port})
	}
	tr.s.declare(tr, entries...)
	files, received := tr.histories(), tr.lsnOnStandby("pg_last_wal_receive_lsn")
	begin()
	now := time.Now()
	r := tr.s.apply(tr)
	tr.tally.spent += time.Since(now)
	outcomes := tr.outcomes(r)
	end()
	tr.history.read(tr, tr.s.Primary, tr.timeline)
	blocked := false
	for i, a := range aims {
		o := outcomes[entries[i].Name]
		blocked = blocked || o.blocked
		tr.check(a, o, received, now, c)
	}
	if want := map[bool]int{false: exitDone, true: exitRefused}[blocked]; r.Code != want {
		tr.fail("apply exits with %d, want %d: %v", r.Code, want, r)
	}
	if tr.histories() != files {
		tr.fail("files of timelines came into the archive: %s, before %s", tr.histories(), files)
	}
	if tr.s.postmaster(tr) != tr.postmaster {
		tr.fail("the live standby was restarted")
	}
	if tr.rounds%4 == 0 && c == (circumstance{}) {
		tr.planAgrees(outcomes)
	}
}

// planAgrees: after the apply a plan holds what was blocked, and nothing else.
func (tr *trial) planAgrees(outcomes map[string]outcome) {
	tr.Helper()
	r := tr.s.plan(tr)
	p := r.plan(tr)
	for _, c := range p.Changes {
		if o := outcomes[c.Name]; c.Action != "block" || c.Kind != "restore" || !o.blocked {
			tr.fail("after apply the plan has %s %s/%s (%s)", c.Action, c.Kind, c.Name, c.Why)
		}
	}
	if want := map[bool]int{true: exitDone, false: exitRefused}[len(p.Changes) == 0]; r.Code != want {
		tr.fail("plan exits with %d, want %d", r.Code, want)
	}
}

// fail reports a fault, with what repeats the choices that led to it.
func (tr *trial) fail(format string, args ...any) {
	tr.Helper()
	tr.Errorf("ZRECONCILE_ORACLE_SEED=%d, round %d: "+format, append([]any{tr.seed, tr.rounds}, args...)...)
}

// learnShown reads what status shows of each snapshot, and holds it to the truth.
func (tr *trial) learnShown() {
	tr.Helper()
	shown := tr.status().Snapshots
	for i := range tr.bases {
		b := &tr.bases[i]
		b.opens = tr.history.opensAt(b.redo)
		for _, s := range shown {
			if s.Name != b.name || s.Earliest == nil || s.Earliest.Time == nil {
				continue
			}
			at, err := parseLSN(s.Earliest.LSN)
			must(tr, err)
			if at < b.consistent {
				tr.fail("snapshot %s is shown to serve from %s, and is consistent from %s", b.name, at, b.consistent)
			}
			if redo, err := parseLSN(s.RedoLSN); err != nil || redo > b.redo {
				tr.fail("snapshot %s is shown with redo %s, and has %s", b.name, s.RedoLSN, b.redo)
			}
			newest := int64(0)
			if i := tr.history.lastEnd(tr.history.from(at)); i >= 0 {
				newest = tr.history.latest[i]
			}
			if s.Earliest.Time.UnixMicro() < newest {
				tr.fail("snapshot %s is shown to serve from %s, and holds a commit of %s", b.name, s.Earliest.Time, time.UnixMicro(newest).UTC())
			}
			b.shown, b.shownMicros = at, s.Earliest.Time.UnixMicro()
		}
		if b.shown == 0 {
			tr.Fatalf("status does not show from when on the snapshot %s serves: %+v", b.name, shown)
		}
	}
}

// shownStatus is the part of `status -o json` that the oracle reads.
type shownStatus struct {
	Snapshots []struct {
		Name, RedoLSN string
		Earliest      *shownMoment
	}
	Windows  []window
	Restores []shownRestore
}

type shownMoment struct {
	LSN  string
	Time *time.Time
}

type shownRestore struct {
	Name, State, Snapshot, Connect, Why string
	Reached                             *shownMoment
}

func (tr *trial) status() shownStatus {
	tr.Helper()
	var st shownStatus
	tr.s.run(tr, "status", "-o", "json").exits(tr, exitDone).decode(tr, &st)
	return st
}

// portOf points the site at another primary.
func (tr *trial) follow(p *primary.Primary) {
	tr.s.Primary = p
	tr.load.primary.Store(p)
	tr.s.write(tr)
	tr.Logf("the primary is now the one on port %s", strconv.Itoa(p.Port))
}
