package e2e

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
)

// outcome is what an apply made of one restore.
type outcome struct {
	blocked   bool
	why, mend string // of the block
	failure   string // of a change that was done and did not succeed
	shown     shownRestore
	report    result // of the apply
	windows   []window
	seen      time.Time // when status was asked
}

// window is a stretch of time that status advertises.
type window struct{ From, To time.Time }

// outcomes are by the name of the restore.
func (tr *trial) outcomes(r result) map[string]outcome {
	tr.Helper()
	var p struct {
		Changes []struct{ Kind, Name, Action, Why, Mend, Result, Error string }
	}
	r.decode(tr, &p)
	all := map[string]outcome{}
	st := tr.status()
	for _, shown := range st.Restores {
		all[shown.Name] = outcome{shown: shown, report: r, windows: st.Windows, seen: time.Now(), failure: "no change of the plan names it"}
	}
	for _, c := range p.Changes {
		o, there := all[c.Name]
		if c.Kind != "restore" || !there {
			continue
		}
		o.blocked, o.why, o.mend = c.Action == "block", c.Why, c.Mend
		o.failure = c.Error
		if o.failure == "" && !o.blocked && c.Result != "done" {
			o.failure = "its result is " + c.Result
		}
		all[c.Name] = o
	}
	return all
}

// check judges one restore and counts it.
func (tr *trial) check(a aim, o outcome, received lsn, now time.Time, c circumstance) {
	tr.Helper()
	complaint := tr.complaint(a, o, received, now, c)
	if complaint == "" {
		return
	}
	tr.tally.failures++
	tr.fail("target {%s} (%s), %s\nsnapshot %s, state %s, reached %s, why %q, mend %q\nbases %+v\napply exits with %d: %s", a.target, a.corner, complaint,
		o.shown.Snapshot, o.shown.State, o.shown.reachedText(), o.why, o.mend, tr.bases, o.report.Code, o.report.Stderr)
}

// complaint says what is wrong with a restore; "" is nothing.
func (tr *trial) complaint(a aim, o outcome, received lsn, now time.Time, c circumstance) string {
	if o.failure != "" && !o.blocked {
		return "failed: " + o.failure
	}
	v := tr.expected(a, o, received, now, c)
	switch {
	case o.blocked && !v.refuse:
		return fmt.Sprintf("is refused, and can be had: %s, up to the record at %s", digest(tr.history.rows(v.in)), tr.history.startOf(v.in))
	case o.blocked && (o.why == "" || o.mend == ""):
		return "is refused without a reason or without what would mend it"
	case o.blocked:
		if broken := tr.falsePromise(o, c); broken != "" {
			return broken
		}
		tr.tally.refused[v.why]++
		return ""
	case !v.serve:
		return "is served, and must be refused: " + v.why
	}
	if wrong := tr.differs(a, o, v.in); wrong != "" {
		return wrong
	}
	tr.tally.exact++
	return ""
}

var (
	promisedTime = regexp.MustCompile(`(\S+Z) (?:before|after) it`)
	promisedLSN  = regexp.MustCompile(`\{lsn: (\S+), stop: (before|after)\}`)
)

// falsePromise finds, among the moments that a refusal names and the windows
// that status shows, one that can't be had.
func (tr *trial) falsePromise(o outcome, c circumstance) string {
	var promised []aim
	for _, m := range promisedTime.FindAllStringSubmatch(o.mend, -1) {
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			return "names the moment " + m[1] + ": " + err.Error()
		}
		promised = append(promised, timeAim(at.UnixMicro(), "named in a refusal"))
	}
	for _, m := range promisedLSN.FindAllStringSubmatch(o.mend, -1) {
		at, err := parseLSN(m[1])
		if err != nil {
			return "names the place " + m[1] + ": " + err.Error()
		}
		promised = append(promised, aim{kind: "lsn", at: at, after: m[2] == "after", target: m[0], corner: "named in a refusal"})
	}
	for _, w := range o.windows {
		promised = append(promised, timeAim(w.From.UnixMicro(), "the beginning of a window in status"), timeAim(w.To.UnixMicro(), "the end of a window in status"))
	}
	for _, a := range promised {
		if v := tr.history.judge(a, tr.bases, o.seen, c); !v.serve && v.why != notLetIn {
			return fmt.Sprintf("is refused rightly, but {%s} (%s) can't be had either: %s", a.target, a.corner, v.why)
		}
	}
	return ""
}

// expected is the verdict on an aim. What a snapshot holds, and what is the
// latest, is told by where the restore says that it stopped; between which
// bounds that must be, the oracle knows.
func (tr *trial) expected(a aim, o outcome, received lsn, now time.Time, c circumstance) verdict {
	h := tr.history
	if a.kind != "snapshot" && a.kind != "latest" {
		return h.judge(a, tr.bases, now, c)
	}
	if a.kind == "latest" && o.blocked && !tr.leadsToTheEnd(c) {
		return refused("behind missing WAL")
	}
	reached := o.reached()
	least, most := received, lsn(1)<<63
	if a.kind == "snapshot" {
		for _, b := range tr.bases {
			if b.name == a.name {
				least, most = max(b.replayedBefore, b.consistent), max(b.replayedAfter, b.consistent)
				if o.blocked && b.opens > least {
					return refused(notLetIn)
				}
			}
		}
	}
	in := h.from(reached)
	// A record of which only a part was there is not in.
	if i := h.from(least) - 1; i >= 0 && h.startOf(i+1) <= least && i >= in || reached > most {
		return verdict{why: fmt.Sprintf("it stopped at %s, and must between %s and %s", reached, least, most)}
	}
	return served(in)
}

// leadsToTheEnd tells whether WAL leads from the newest snapshot to all that was
// received.
func (tr *trial) leadsToTheEnd(c circumstance) bool {
	var newest base
	for _, b := range tr.bases {
		if b.consistent > newest.consistent {
			newest = b
		}
	}
	can, _ := c.leads(tr.history, newest, len(tr.history.records)-1)
	return can
}

func (r shownRestore) reachedText() string {
	if r.Reached == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s of %v", r.Reached.LSN, r.Reached.Time)
}

func (o outcome) reached() lsn {
	if o.shown.Reached == nil {
		return 0
	}
	at, _ := parseLSN(o.shown.Reached.LSN)
	return at
}

// differs compares a restore with what its first records let in; "" is equal.
func (tr *trial) differs(a aim, o outcome, in int) string {
	if o.shown.State != "running" {
		return "is " + o.shown.State + ": " + o.shown.Why
	}
	h := tr.history
	user := tr.s.Primary.Superuser
	state, err := trySocketText(o.shown.Connect, user, "SELECT pg_get_wal_replay_pause_state() || ' at ' || pg_last_wal_replay_lsn()")
	if err != nil {
		return "can't be asked: " + err.Error()
	}
	if want := "paused at " + o.shown.Reached.LSN; state != want {
		return fmt.Sprintf("is %s, and status says %s", state, want)
	}
	got, err := trySocketText(o.shown.Connect, user, ledgerDigest)
	if err != nil {
		return "can't be read: " + err.Error()
	}
	want := h.rows(in)
	if digest(want) != got {
		ids, err := ledgerIDs(o.shown.Connect, user)
		return fmt.Sprintf("holds %s, want %s, up to the record at %s; the first difference: %s (%v)", got, digest(want), h.startOf(in), h.difference(want, ids), err)
	}
	if tr.rng.IntN(8) == 0 {
		if bad, err := trySocketText(o.shown.Connect, user, "SELECT count(*)::text FROM ledger WHERE md5(filler) <> digest"); bad != "0" || err != nil {
			return fmt.Sprintf("%s rows of it are not what was written: %v", bad, err)
		}
	}
	return tr.misreports(a, o, in)
}

// misreports compares what status says was reached: a place between the last
// transaction in and the first one out, and the time of the last one.
func (tr *trial) misreports(a aim, o outcome, in int) string {
	h := tr.history
	last := h.lastEnd(in)
	if at := h.lastEnd(h.from(o.reached())); at != last {
		return fmt.Sprintf("is said to have reached %s, and the last transaction in ends at %s", o.reached(), h.startOf(last))
	}
	if o.shown.Reached.Time == nil || last < 0 {
		return ""
	}
	micros := o.shown.Reached.Time.UnixMicro()
	if micros != h.records[last].micros && micros != h.latest[last] {
		return fmt.Sprintf("is said to have reached %s, and the last transaction in is of %s", o.shown.Reached.Time, time.UnixMicro(h.records[last].micros).UTC())
	}
	if a.kind == "time" && micros > a.micros {
		return fmt.Sprintf("is said to have reached %s, later than its target", o.shown.Reached.Time)
	}
	return ""
}

// ledgerIDs are the rows that a server holds.
func ledgerIDs(connect, role string) ([]int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, connect+" user="+role+" dbname=postgres")
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT id FROM ledger ORDER BY id")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
