package e2e

import (
	"strings"
	"testing"
	"time"
)

// judged is a small history: two rows commit out of the order of their times,
// one transaction aborts, two restore points share a name.
func judged() *history {
	h := &history{
		records: []walRecord{
			{start: 100, kind: commitRecord, xid: 1, micros: 10},
			{start: 200, kind: otherRecord},
			{start: 300, kind: commitRecord, xid: 2, micros: 30},
			{start: 400, kind: commitRecord, xid: 3, micros: 20},
			{start: 500, kind: pointRecord, name: "twice"},
			{start: 600, kind: abortRecord, xid: 4, micros: 40},
			{start: 700, kind: pointRecord, name: "once"},
			{start: 800, kind: pointRecord, name: "twice"},
			{start: 900, kind: commitRecord, xid: 5, micros: 50},
		},
		ledger: []row{{7, 5}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}},
	}
	h.index()
	return h
}

// TestOracleJudges holds the judge itself to what the contract says of targets.
func TestOracleJudges(t *testing.T) {
	now := time.UnixMicro(1000)
	first := base{name: "s", consistent: 200, shown: 300, shownMicros: 10}
	for _, c := range []struct {
		name string
		aim  aim
		base base // zero is first
		way  circumstance
		want string
	}{
		{name: "between two commits", aim: aim{kind: "time", micros: 25}, want: "1"},
		{name: "at a commit's own time", aim: aim{kind: "time", micros: 30}, want: "1 2 3"},
		{name: "before an abort", aim: aim{kind: "time", micros: 39}, want: "1 2 3"},
		{name: "at the last commit", aim: aim{kind: "time", micros: 50}, want: "1 2 3 5 7"},
		{name: "a quiet moment", aim: aim{kind: "time", micros: 999}, want: "1 2 3 5 7"},
		{name: "the future", aim: aim{kind: "time", micros: 1001}, want: "in the future"},
		{name: "before all", aim: aim{kind: "time", micros: 9}, want: "earlier than every snapshot"},
		{name: "before what is shown", aim: aim{kind: "time", micros: 25}, base: base{consistent: 200, shown: 350, shownMicros: 30}, want: "1, or at a bound"},
		{name: "a record", aim: aim{kind: "lsn", at: 300}, want: "1"},
		{name: "behind a record", aim: aim{kind: "lsn", at: 300, after: true}, want: "1 2"},
		{name: "within a record", aim: aim{kind: "lsn", at: 301, after: true}, want: "1 2 3"},
		{name: "no record", aim: aim{kind: "lsn", at: 901}, want: "later than all WAL"},
		{name: "an LSN at the bound", aim: aim{kind: "lsn", at: 200}, want: "1, or at a bound"},
		{name: "behind the record in which it gets consistent", aim: aim{kind: "lsn", at: 100, after: true}, want: "1, or at a bound"},
		{name: "an LSN before all", aim: aim{kind: "lsn", at: 100}, want: "earlier than every snapshot"},
		{name: "before a transaction", aim: aim{kind: "xid", xid: 5}, want: "1 2 3"},
		{name: "after a transaction", aim: aim{kind: "xid", xid: 5, after: true}, want: "1 2 3 5 7"},
		{name: "before an aborted one", aim: aim{kind: "xid", xid: 4}, want: "1 2 3"},
		{name: "one that did not end", aim: aim{kind: "xid", xid: 6}, want: "no such transaction ended"},
		{name: "one that the base holds", aim: aim{kind: "xid", xid: 1}, want: "earlier than every snapshot"},
		{name: "a restore point", aim: aim{kind: "restorePoint", name: "once"}, want: "1 2 3"},
		{name: "one that there is twice", aim: aim{kind: "restorePoint", name: "twice"}, want: "several restore points of that name"},
		{name: "of two, the one in reach", aim: aim{kind: "restorePoint", name: "twice"}, base: base{consistent: 601, shown: 601}, want: "1 2 3"},
		{name: "before the primary went down", aim: aim{kind: "time", micros: 45}, way: circumstance{dark: 9}, want: "1 2 3"},
		{name: "after the primary went down", aim: aim{kind: "time", micros: 60}, way: circumstance{dark: 9}, want: "later than what the primary told before it went down"},
		{name: "in front of a hole", aim: aim{kind: "lsn", at: 400}, way: circumstance{from: 500, to: 600}, want: "1 2"},
		{name: "reaching into a hole", aim: aim{kind: "lsn", at: 400}, way: circumstance{from: 450, to: 550}, want: "1 2, or at a bound"},
		{name: "where a hole begins", aim: aim{kind: "lsn", at: 500}, way: circumstance{from: 500, to: 650}, want: "1 2 3, or at a bound"},
		{name: "behind what begins a hole", aim: aim{kind: "lsn", at: 500, after: true}, way: circumstance{from: 500, to: 650}, want: "behind missing WAL"},
		{name: "in a hole", aim: aim{kind: "xid", xid: 4}, way: circumstance{from: 450, to: 650}, want: "behind missing WAL"},
		{name: "behind a hole", aim: aim{kind: "xid", xid: 5}, way: circumstance{from: 450, to: 550}, want: "behind missing WAL"},
		{name: "a snapshot behind a hole", aim: aim{kind: "xid", xid: 5}, base: base{redo: 600, consistent: 650, shown: 650}, way: circumstance{from: 450, to: 550}, want: "1 2 3"},
		{name: "a time whose next commit is in a hole", aim: aim{kind: "time", micros: 35}, way: circumstance{from: 550, to: 650}, want: "behind missing WAL"},
		{name: "of two restore points, one in a hole", aim: aim{kind: "restorePoint", name: "twice"}, way: circumstance{from: 750, to: 850}, want: "1 2 3, or at a bound"},
		{name: "where nobody is let in", aim: aim{kind: "lsn", at: 400}, base: base{consistent: 200, shown: 200, opens: 401}, want: notLetIn},
		{name: "between the last one in and the place where one is let in", aim: aim{kind: "lsn", at: 600}, base: base{consistent: 200, shown: 200, opens: 501}, want: "1 2 3, or at a bound"},
		{name: "one that was never made", aim: aim{kind: "restorePoint", name: "never"}, want: "no such restore point"},
	} {
		if c.base == (base{}) {
			c.base = first
		}
		h := judged()
		v := h.judge(c.aim, []base{c.base}, now, c.way)
		got := v.why
		if v.serve {
			if got = idText(h.rows(v.in)); v.refuse {
				got += ", or " + v.why
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestOracleKnowsWhenAServerOpens holds that to ProcArrayApplyRecoveryInfo of
// procarray.c: 64 subtransactions of one transaction are all that is told.
func TestOracleKnowsWhenAServerOpens(t *testing.T) {
	dump := `rmgr: Standby     len (rec/tot):     54/    54, tx:          0, lsn: 0/00000100, prev 0/000000A0, desc: RUNNING_XACTS nextXid 800 latestCompletedXid 700 oldestRunningXid 701; 1 xacts: 701; subxid ovf
rmgr: Transaction len (rec/tot):     34/    34, tx:        799, lsn: 0/00000200, prev 0/00000100, desc: COMMIT 2026-11-23 17:40:42.123456 UTC
rmgr: Standby     len (rec/tot):     54/    54, tx:          0, lsn: 0/00000300, prev 0/00000200, desc: RUNNING_XACTS nextXid 900 latestCompletedXid 799 oldestRunningXid 701; 1 xacts: 701; subxid ovf
rmgr: Standby     len (rec/tot):     54/    54, tx:          0, lsn: 0/00000400, prev 0/00000300, desc: RUNNING_XACTS nextXid 900 latestCompletedXid 899 oldestRunningXid 800; 1 xacts: 800; subxid ovf
rmgr: Standby     len (rec/tot):     50/    50, tx:          0, lsn: 0/00000500, prev 0/00000400, desc: RUNNING_XACTS nextXid 901 latestCompletedXid 900 oldestRunningXid 901
rmgr: XLOG        len (rec/tot):    114/   114, tx:          0, lsn: 0/00000600, prev 0/00000500, desc: CHECKPOINT_SHUTDOWN redo 0/600; tli 1; shutdown
rmgr: XLOG        len (rec/tot):     30/    30, tx:          0, lsn: 0/00000700, prev 0/00000600, desc: NEXTOID 24576
`
	records, err := parseWaldump(strings.NewReader(dump))
	must(t, err)
	h := &history{records: records}
	h.index()
	for redo, want := range map[lsn]lsn{0x100: 0x500, 0x300: 0x600, 0x500: 0x600, 0x600: 0x700, 0x700: h.startOf(len(records))} {
		if got := h.opensAt(redo); got != want {
			t.Errorf("from %s on it opens at %s, want %s", redo, got, want)
		}
	}
}

// TestOracleTellsTheFirstDifference holds what a failure is reported by.
func TestOracleTellsTheFirstDifference(t *testing.T) {
	h := judged()
	for _, c := range []struct {
		want, got []int64
		text      string
	}{
		{[]int64{1, 2}, []int64{1, 2}, "none"},
		{[]int64{1, 2, 3}, []int64{1, 3}, "row 2 of transaction 2, whose commit is at 0/12C is missing"},
		{[]int64{1}, []int64{1, 4}, "row 4 of transaction 4, whose commit is not known is too much"},
		{[]int64{1, 2}, []int64{1}, "row 2 of transaction 2, whose commit is at 0/12C is missing"},
		{[]int64{2}, []int64{1, 2}, "row 1 of transaction 1, whose commit is at 0/64 is too much"},
	} {
		if got := h.difference(c.want, c.got); got != c.text {
			t.Errorf("%v and %v: %s, want %s", c.want, c.got, got, c.text)
		}
	}
	if got := digest([]int64{1, 2}); got != "2 rows, sum 3, md5 05cf281c050be3da4eecf3bc6e8aac1b" {
		t.Errorf("the digest is %s", got)
	}
}
