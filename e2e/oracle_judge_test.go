package e2e

import "time"

// aim is a target of a restore, with what the oracle needs to judge it.
type aim struct {
	kind   string // as the file names it: time, lsn, xid, restorePoint, snapshot, latest
	target string // as the file says it
	corner string // what it was chosen for
	micros int64
	at     lsn
	after  bool
	xid    uint32
	name   string
}

// base is a snapshot as the oracle sees it, in the clone that it took itself,
// and as status shows it.
type base struct {
	name             string
	redo, consistent lsn    // of its pg_control
	segments         string // the names of those in its pg_wal
	// What the standby had replayed before it was taken, and after.
	replayedBefore, replayedAfter lsn
	// What it is shown to serve from: read later than it, so a little later.
	shown       lsn
	shownMicros int64
	opens       lsn // where its server lets sessions in
}

// stops is where a restore from the snapshot stops at the least, to let in the
// first records and no other: behind the last of them that ends a transaction.
func (b base) stops(h *history, in int) lsn {
	return max(b.consistent, h.startOf(h.lastEnd(in)+1))
}

// notLetIn is why a server that would be exact is of no use.
const notLetIn = "where a server lets nobody in yet"

// circumstance is what lies in the way while restores are made.
type circumstance struct {
	dark     int // how many records there were when the primary was stopped; 0: it runs
	from, to lsn // WAL that was taken away; both 0: none
}

// leads tells whether the WAL that is there leads from a base on to a record,
// itself included. It is not known of one that the hole begins in.
func (c circumstance) leads(h *history, b base, i int) (can, known bool) {
	switch {
	case c.to == 0, b.redo >= c.to, h.startOf(i+1) <= c.from:
		return true, true
	case h.startOf(i) < c.from:
		return true, false
	}
	return false, false
}

// verdict is what the oracle makes of an aim. Where both are allowed, the aim
// lies between what a snapshot could serve and what it is known to.
type verdict struct {
	in            int // how many records the restore must hold
	serve, refuse bool
	why           string // of a refusal
}

func served(in int) verdict      { return verdict{in: in, serve: true} }
func refused(why string) verdict { return verdict{refuse: true, why: why} }

func (v verdict) either() verdict {
	v.refuse, v.why = true, "at a bound"
	return v
}

// judge says what must become of an aim of kind time, lsn, xid or restorePoint,
// given the snapshots that there are and the present moment.
func (h *history) judge(a aim, bases []base, now time.Time, c circumstance) verdict {
	switch a.kind {
	case "time":
		return h.judgeTime(a, bases, now, c)
	case "lsn":
		i := h.from(a.at)
		if i == len(h.records) {
			return refused("later than all WAL")
		}
		v := h.judgeRecord(i, a.after, a.at, bases, c)
		if !v.serve && !a.after && c.to != 0 && i > 0 && a.at <= c.from { // all in front of it may be there
			if v = h.weigh(i, bases, c, i-1, func(b base) bool { return b.shown <= a.at }); v.serve {
				return v.either()
			}
		}
		return v
	case "xid":
		for i := len(h.records) - 1; i >= 0; i-- {
			if h.records[i].ends() && h.records[i].xid == a.xid {
				return h.judgeRecord(i, a.after, h.records[i].start, bases, c)
			}
		}
		return refused("no such transaction ended")
	}
	return h.judgePoint(a, bases, c)
}

// judgeTime lets in all before the first commit or abort that is later. While
// the primary is down it is not known whether one that is not later follows.
func (h *history) judgeTime(a aim, bases []base, now time.Time, c circumstance) verdict {
	i := h.firstLater(a.micros)
	switch {
	case i == len(h.records) && a.micros > now.UnixMicro():
		return refused("in the future")
	case c.dark > 0 && i >= c.dark:
		return refused("later than what the primary told before it went down")
	}
	return h.weigh(i, bases, c, i, func(b base) bool { return b.shownMicros <= a.micros && b.shown <= h.startOf(i) })
}

// judgeRecord lets in all before a record, or that one as well. The target may
// name a place somewhat before it.
func (h *history) judgeRecord(i int, after bool, named lsn, bases []base, c circumstance) verdict {
	in := i
	if after {
		in++
	}
	return h.weigh(in, bases, c, i, func(b base) bool { return b.shown <= named })
}

// weigh looks for a snapshot that serves the first records, where the WAL that
// is there leads on to the record that is looked for. What a snapshot is shown to
// serve must be served; a little more may be.
func (h *history) weigh(in int, bases []base, c circumstance, record int, shown func(base) bool) verdict {
	early, closed, can, known := true, false, false, false
	for _, b := range bases {
		if b.consistent > h.startOf(in) {
			continue
		}
		early = false
		leads, sure := c.leads(h, b, record)
		if leads && b.opens > h.startOf(in) {
			closed = true
			continue
		}
		can = can || leads
		known = known || sure && shown(b) && b.opens <= b.stops(h, in)
	}
	switch {
	case early:
		return refused("earlier than every snapshot")
	case !can && closed:
		return refused(notLetIn)
	case !can:
		return refused("behind missing WAL")
	case !known:
		return served(in).either()
	}
	return served(in)
}

// judgePoint stops behind a restore point, and refuses to choose between two.
func (h *history) judgePoint(a aim, bases []base, c circumstance) verdict {
	var reachable, atBound []int
	hidden := false
	for i, r := range h.records {
		if r.kind != pointRecord || r.name != a.name {
			continue
		}
		v := h.judgeRecord(i, true, r.start, bases, c)
		hidden = hidden || v.why == "behind missing WAL"
		switch {
		case v.serve && v.refuse:
			atBound = append(atBound, i)
		case v.serve:
			reachable = append(reachable, i)
		}
	}
	switch {
	case len(reachable) > 1:
		return refused("several restore points of that name")
	case len(atBound) > 0:
		return served(append(reachable, atBound...)[0] + 1).either()
	case len(reachable) == 1 && hidden:
		return served(reachable[0] + 1).either()
	case len(reachable) == 1:
		return served(reachable[0] + 1)
	case hidden:
		return refused("behind missing WAL")
	}
	return refused("no such restore point")
}
