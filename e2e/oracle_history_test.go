package e2e

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// The oracle knows what a restore must hold without any code of the program:
// pg_waldump tells in which order the primary's transactions ended, the ledger
// which rows each of them wrote. This file is its arithmetic, on plain data.

// lsn is a place in the WAL, as PostgreSQL writes it.
type lsn uint64

func (l lsn) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint32(l)) }

func parseLSN(text string) (lsn, error) {
	high, low, ok := strings.Cut(text, "/")
	if !ok {
		return 0, fmt.Errorf("%q is no LSN", text)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no LSN: %w", text, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no LSN: %w", text, err)
	}
	return lsn(h<<32 | l), nil
}

// recordKind is what of a record matters to a target.
type recordKind uint8

const (
	otherRecord recordKind = iota
	commitRecord
	abortRecord
	pointRecord    // a restore point
	shutdownRecord // a shutdown checkpoint
	runningRecord  // of running transactions
)

// walRecord is one record of the primary's WAL.
type walRecord struct {
	start  lsn
	kind   recordKind
	xid    uint32 // of the transaction that a commit or abort ends
	micros int64  // its time there, Unix microseconds
	name   string // of a restore point

	// Of a record of running transactions: whether it lacks subtransactions,
	// whether none runs, the oldest that does, and the next one's ID.
	overflow, idle bool
	oldest, next   uint32
}

func (r walRecord) ends() bool { return r.kind == commitRecord || r.kind == abortRecord }

// row is one of the ledger.
type row struct {
	id  int64
	xid uint32
}

// history is all that the primary did since the ledger began, along the path of
// its timelines.
type history struct {
	records []walRecord    // in the order of the WAL
	ledger  []row          // by id
	latest  []int64        // of records[:i+1], the latest time of a commit or abort
	commits map[uint32]int // the index of a transaction's commit
	next    lsn            // pg_waldump is to read on from here
	segment lsn            // the size of one
}

// index is to be called when records or ledger changed.
func (h *history) index() {
	h.latest = make([]int64, len(h.records))
	h.commits = map[uint32]int{}
	var latest int64
	for i, r := range h.records {
		if r.ends() {
			latest = max(latest, r.micros)
		}
		h.latest[i] = latest
		if r.kind == commitRecord {
			h.commits[r.xid] = i
		}
	}
	slices.SortFunc(h.ledger, func(a, b row) int { return int(a.id - b.id) })
}

// from is the index of the first record at or after an LSN, len(records) if
// there is none.
func (h *history) from(at lsn) int {
	return sort.Search(len(h.records), func(i int) bool { return h.records[i].start >= at })
}

// firstLater is the index of the first commit or abort later than a time.
func (h *history) firstLater(micros int64) int {
	return sort.Search(len(h.records), func(i int) bool { return h.latest[i] > micros })
}

// startOf is where a record begins; of the one behind the last, it is beyond all.
func (h *history) startOf(i int) lsn {
	if i >= len(h.records) {
		return lsn(1)<<63 - 1
	}
	return h.records[i].start
}

// opensAt is where the server of a snapshot lets sessions in, of those that
// recovery from redo on comes to; beyond all while none is known. It must know
// which transactions run. Reference: PostgreSQL, "Hot Standby, Caveats".
func (h *history) opensAt(redo lsn) lsn {
	pending := false
	var newest uint32
	for i := h.from(redo); i < len(h.records); i++ {
		r := h.records[i]
		switch {
		case r.kind == shutdownRecord,
			r.kind == runningRecord && (!r.overflow || pending && r.idle),
			r.kind == runningRecord && pending && int32(newest-r.oldest) < 0:
			return h.startOf(i + 1)
		case r.kind == runningRecord && !pending:
			pending, newest = true, r.next-1
		}
	}
	return h.startOf(len(h.records))
}

// lastEnd is the last commit or abort of records[:n], -1 if there is none.
func (h *history) lastEnd(n int) int {
	for i := min(n, len(h.records)) - 1; i >= 0; i-- {
		if h.records[i].ends() {
			return i
		}
	}
	return -1
}

// rows are the ids that the first n records let in, in order.
func (h *history) rows(n int) []int64 {
	var ids []int64
	for _, r := range h.ledger {
		if i, committed := h.commits[r.xid]; committed && i < n {
			ids = append(ids, r.id)
		}
	}
	return ids
}

// digest is the same of ids as ledgerDigest asks of a server.
func digest(ids []int64) string {
	var sum int64
	text := make([]string, len(ids))
	for i, id := range ids {
		sum += id
		text[i] = strconv.FormatInt(id, 10)
	}
	hash := md5.Sum([]byte(strings.Join(text, ",")))
	return fmt.Sprintf("%d rows, sum %d, md5 %s", len(ids), sum, hex.EncodeToString(hash[:]))
}

const ledgerDigest = `SELECT format('%s rows, sum %s, md5 %s', count(*), coalesce(sum(id), 0), md5(coalesce(string_agg(id::text, ',' ORDER BY id), ''))) FROM ledger`

// difference names the first row that only one of two lists holds, with the
// place of its commit.
func (h *history) difference(want, got []int64) string {
	for i := 0; i < len(want) || i < len(got); i++ {
		switch {
		case i >= len(got) || i < len(want) && want[i] < got[i]:
			return "row " + h.described(want[i]) + " is missing"
		case i >= len(want) || want[i] > got[i]:
			return "row " + h.described(got[i]) + " is too much"
		}
	}
	return "none"
}

func (h *history) described(id int64) string {
	for _, r := range h.ledger {
		if r.id != id {
			continue
		}
		if i, committed := h.commits[r.xid]; committed {
			return fmt.Sprintf("%d of transaction %d, whose commit is at %s", id, r.xid, h.records[i].start)
		}
		return fmt.Sprintf("%d of transaction %d, whose commit is not known", id, r.xid)
	}
	return fmt.Sprintf("%d, which the ledger does not know", id)
}

// idText lists ids as a person reads them.
func idText(ids []int64) string { return strings.Trim(fmt.Sprint(ids), "[]") }
