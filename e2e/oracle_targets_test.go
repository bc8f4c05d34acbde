package e2e

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// draw chooses a target of any kind, and rather one where something is about to
// go wrong: at a commit's own microsecond, at the bounds of segments, snapshots,
// restarts and timelines.
func (tr *trial) draw() aim {
	rng := tr.rng
	switch n := rng.IntN(100); {
	case n < 42:
		return timeAim(tr.drawTime())
	case n < 64:
		return tr.drawLSN()
	case n < 84:
		return tr.drawXID()
	case n < 91:
		return tr.drawPoint()
	case n < 96:
		return aim{kind: "snapshot", name: pick(rng, tr.bases).name, corner: "a snapshot"}.named()
	}
	return aim{kind: "latest", target: "latest: true", corner: "the latest"}
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// named gives the text of an aim that has a name.
func (a aim) named() aim {
	a.target = a.kind + ": " + a.name
	return a
}

func timeAim(micros int64, corner string) aim {
	text := time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000000+00")
	return aim{kind: "time", micros: micros, target: fmt.Sprintf("time: %q", text), corner: corner}
}

// drawRecord is the index of a record, and at times of one beside an edge.
func (tr *trial) drawRecord() int {
	h, rng := tr.history, tr.rng
	n := len(h.records)
	switch rng.IntN(16) {
	case 0:
		return rng.IntN(n)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10: // what no snapshot serves is soon said
		served := min(h.from(tr.bases[0].consistent), n-1)
		return served + rng.IntN(n-served)
	}
	edge := pick(rng, tr.bases).consistent
	switch {
	case rng.IntN(3) == 0 && len(tr.edges) > 0:
		edge = pick(rng, tr.edges)
	case rng.IntN(2) == 0: // of a segment
		segment := lsn(tr.segmentMB) << 20
		edge = h.records[rng.IntN(n)].start / segment * segment
	}
	return max(0, min(n-1, h.from(edge)+rng.IntN(7)-3))
}

// drawEnd is the index of a commit or abort, the first one at or before a record.
func (tr *trial) drawEnd() int {
	for i := tr.drawRecord(); i >= 0; i-- {
		if tr.history.records[i].ends() {
			return i
		}
	}
	return tr.history.from(tr.history.records[tr.history.lastEnd(len(tr.history.records))].start)
}

func (tr *trial) drawTime() (micros int64, corner string) {
	h, rng := tr.history, tr.rng
	at := h.records[tr.drawEnd()].micros
	now := time.Now().UnixMicro()
	switch rng.IntN(12) {
	case 0, 1:
		return at, "the time of a commit"
	case 2:
		return at - 1, "just before a commit"
	case 3:
		return at + 1, "just after a commit"
	case 4, 5:
		next := h.firstLater(at)
		if next == len(h.records) {
			return at + (now-at)/2, "after the last commit"
		}
		return at + (h.records[next].micros-at)/2, "between two commits"
	case 6:
		first := h.records[h.firstLater(0)].micros
		return first + rng.Int64N(now-first), "any moment"
	case 7:
		if len(tr.quiet) > 0 {
			q := pick(rng, tr.quiet)
			return q.from + rng.Int64N(q.to-q.from), "a quiet moment"
		}
		return at, "the time of a commit"
	case 8:
		if rng.IntN(3) > 0 {
			return pick(rng, tr.bases).shownMicros + rng.Int64N(3) - 1, "the bound of a snapshot"
		}
		return h.records[h.firstLater(0)].micros - rng.Int64N(int64(time.Hour/time.Microsecond)), "before the ledger began"
	case 9:
		if rng.IntN(3) == 0 {
			return now + int64(time.Hour/time.Microsecond) + rng.Int64N(1e12), "the future"
		}
		last := h.records[h.lastEnd(len(h.records))].micros
		return last + rng.Int64N(max(1, now-last)), "after the last commit"
	case 10:
		return now, "just now"
	}
	return at / 1e6 * 1e6, "a whole second"
}

func (tr *trial) drawLSN() aim {
	h, rng := tr.history, tr.rng
	i := tr.drawRecord()
	a := aim{kind: "lsn", at: h.records[i].start, after: rng.IntN(2) == 0, corner: "a record"}
	switch rng.IntN(10) {
	case 0, 1:
		if length := h.startOf(i+1) - a.at; i+1 < len(h.records) && length > 1 {
			a.at += 1 + lsn(rng.Int64N(int64(length-1)))
			a.corner = "within a record"
		}
	case 2:
		a.at, a.corner = a.at/8192*8192, "the start of a page"
	case 3:
		segment := lsn(tr.segmentMB) << 20
		a.at, a.corner = a.at/segment*segment, "the start of a segment"
	case 4:
		a.at, a.corner = h.records[h.drawnEnd(rng)].start, "a commit or abort"
	case 5:
		if rng.IntN(2) == 0 {
			a.at, a.corner = h.startOf(len(h.records)-1)+1<<32+lsn(rng.Int64N(1<<32)), "later than all"
		}
	}
	a.target = fmt.Sprintf("lsn: %s, stop: %s", a.at, side(a.after))
	return a
}

// drawnEnd is the index of any commit or abort.
func (h *history) drawnEnd(rng *rand.Rand) int {
	return max(0, h.lastEnd(1+rng.IntN(len(h.records))))
}

func side(after bool) string {
	if after {
		return "after"
	}
	return "before"
}

func (tr *trial) drawXID() aim {
	rng := tr.rng
	a := aim{kind: "xid", xid: tr.history.records[tr.drawEnd()].xid, after: rng.IntN(2) == 0, corner: "a transaction"}
	switch rng.IntN(12) {
	case 0:
		a.xid, a.corner = a.xid+1+uint32(rng.IntN(3)), "a neighbour, perhaps without an end of its own"
	case 1:
		a.xid, a.corner = a.xid+2_000_000, "one that there never was"
	case 2:
		if len(tr.abandoned) > 0 {
			a.xid, a.corner = pick(rng, tr.abandoned), "one of the timeline that was left"
		}
	}
	a.target = fmt.Sprintf("xid: %d, stop: %s", a.xid, side(a.after))
	return a
}

func (tr *trial) drawPoint() aim {
	a := aim{kind: "restorePoint", name: "never-made", corner: "one that there never was"}
	if len(tr.points) > 0 && tr.rng.IntN(8) > 0 {
		a.name, a.corner = pick(tr.rng, tr.points), "a restore point"
	}
	return a.named()
}
