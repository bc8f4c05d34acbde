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
	redo, consistent lsn // of its pg_control
	// What the standby had replayed before it was taken, and after.
	replayedBefore, replayedAfter lsn
	// What it is shown to serve from: read later than it, so a little later.
	shown       lsn
	shownMicros int64
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
	v.refuse, v.why = true, "at the first snapshot's bound"
	return v
}

// judge says what must become of an aim of kind time, lsn, xid or restorePoint,
// given the snapshots that there are and the present moment.
func (h *history) judge(a aim, bases []base, now time.Time) verdict {
	switch a.kind {
	case "time":
		return h.judgeTime(a, bases, now)
	case "lsn":
		i := h.from(a.at)
		if i == len(h.records) {
			return refused("later than all WAL")
		}
		return h.judgeRecord(i, a.after, a.at, bases)
	case "xid":
		for i := len(h.records) - 1; i >= 0; i-- {
			if h.records[i].ends() && h.records[i].xid == a.xid {
				return h.judgeRecord(i, a.after, h.records[i].start, bases)
			}
		}
		return refused("no such transaction ended")
	}
	return h.judgePoint(a, bases)
}

// judgeTime lets in all before the first commit or abort that is later.
func (h *history) judgeTime(a aim, bases []base, now time.Time) verdict {
	i := h.firstLater(a.micros)
	if i == len(h.records) && a.micros > now.UnixMicro() {
		return refused("in the future")
	}
	can, known := false, false
	for _, b := range bases {
		if b.consistent <= h.startOf(i) {
			can = true
			known = known || b.shownMicros <= a.micros && b.shown <= h.startOf(i)
		}
	}
	switch {
	case !can:
		return refused("earlier than every snapshot")
	case !known:
		return served(i).either()
	}
	return served(i)
}

// judgeRecord lets in all before a record, or that one as well. The target may
// name a place somewhat before it.
func (h *history) judgeRecord(i int, after bool, named lsn, bases []base) verdict {
	in := i
	if after {
		in++
	}
	can, known := false, false
	for _, b := range bases {
		can = can || b.consistent <= h.startOf(in)
		known = known || b.shown <= named
	}
	switch {
	case !can:
		return refused("earlier than every snapshot")
	case !known:
		return served(in).either()
	}
	return served(in)
}

// judgePoint stops behind a restore point, and refuses to choose between two.
func (h *history) judgePoint(a aim, bases []base) verdict {
	var reachable, atBound []int
	for i, r := range h.records {
		if r.kind != pointRecord || r.name != a.name {
			continue
		}
		switch v := h.judgeRecord(i, true, r.start, bases); {
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
	case len(reachable) == 1:
		return served(reachable[0] + 1)
	}
	return refused("no such restore point")
}
