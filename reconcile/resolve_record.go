package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// sighting is a record that a target names, and what recovery to it needs.
type sighting struct {
	record   wal.Record
	lastXact wal.Record // the last commit or abort before it; zero when the base holds it
	base     Snapshot   // the newest that is consistent before it
}

// locateRecord finds the record that an LSN, a transaction or a restore point
// names, and the newest base that is consistent before it.
func locateRecord(ctx context.Context, r reach, bases []Snapshot, t spec.Target) (Resolution, error) {
	seen, err := look(ctx, r, bases, t)
	if err != nil {
		return Resolution{}, err
	}
	found, base, lastXact := seen.record, seen.base, seen.lastXact
	if t.Stop == "before" {
		stop, end := StopPoint{LSN: found.Start, Timeline: r.path.TimelineAt(found.Start)}, found.Start
		if t.XID != "" { // not behind what it did before its end: its locks are there as well
			stop, end = afterXact(r, base, lastXact), max(base.Consistent, lastXact.End)
		}
		return Resolution{Base: base, Stop: stop, Reached: reachedAt(base, end, lastXact), End: end,
			LastIn: lastXact, FirstOut: r.nextXact(ctx, found.Start)}, nil
	}
	if found.IsXact() {
		lastXact = found
	}
	return Resolution{Base: base, Stop: StopPoint{LSN: found.Start, Inclusive: true, Timeline: r.path.TimelineAt(found.Start)},
		Reached: reachedAt(base, found.End, lastXact), End: found.End, LastIn: lastXact, FirstOut: r.nextXact(ctx, found.End)}, nil
}

func look(ctx context.Context, r reach, bases []Snapshot, t spec.Target) (sighting, error) {
	switch {
	case t.LSN != "":
		return lookLSN(ctx, r, bases, t.LSN, t.Stop == "before")
	case t.XID != "":
		return lookXID(ctx, r, bases, t.XID)
	}
	return lookPoint(ctx, r, bases, t.RestorePoint)
}

// lookLSN finds the first record at or after an LSN, as recovery_target_lsn does.
// Before the end of the WAL nothing need follow: there it is the end itself.
func lookLSN(ctx context.Context, r reach, bases []Snapshot, text string, before bool) (sighting, error) {
	lsn, err := wal.ParseLSN(text)
	if err != nil {
		return sighting{}, err
	}
	n := len(bases)
	for n > 0 && bases[n-1].Consistent > lsn {
		n--
	}
	if n == 0 {
		return sighting{}, refuse(fmt.Sprintf("the earliest LSN is %s, of snapshot %s", bases[0].Consistent, bases[0].Name),
			"LSN %s is before what any snapshot serves", text)
	}
	base := bases[n-1]
	seen, last, err := r.sight(ctx, base, 0, false, func(record wal.Record) bool { return record.Start >= lsn })
	switch {
	case len(seen) > 0:
		return seen[0], nil
	case before && (err == nil || isHole(err)) && lsn <= max(last.record.End, base.Consistent):
		// What may come is not wanted; a record that begins before it is.
		last.record = wal.Record{Start: max(lsn, last.record.End)}
		return last, nil
	case err != nil:
		return sighting{}, err
	}
	return sighting{}, refuse(fmt.Sprintf("WAL is here up to %s", max(last.record.End, base.Consistent)), "LSN %s is later than all WAL that was received", text)
}

// lookXID finds the end of a transaction, in the newest WAL first: numbers are
// used again after four billion.
func lookXID(ctx context.Context, r reach, bases []Snapshot, text string) (sighting, error) {
	xid, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return sighting{}, fmt.Errorf("the transaction number %q: %w", text, err)
	}
	ends := func(record wal.Record) bool {
		return record.IsXact() && (record.XID == uint32(xid) || record.TwoPhaseXID == uint32(xid))
	}
	seen, err := lookBack(ctx, r, bases, ends, "the end of transaction "+text, false)
	if err != nil {
		return sighting{}, err
	}
	return seen[0], nil
}

// lookPoint finds a restore point. Names may be used more than once; which one
// is meant, an LSN says.
func lookPoint(ctx context.Context, r reach, bases []Snapshot, name string) (sighting, error) {
	named := func(record wal.Record) bool { return record.Kind == wal.RestorePoint && record.Name == name }
	seen, err := lookBack(ctx, r, bases, named, "restore point "+name, true)
	if err != nil {
		return sighting{}, err
	}
	if len(seen) > 1 {
		var all []string
		for _, s := range seen {
			all = append(all, fmt.Sprintf("{lsn: %s, stop: after} (of %s)", s.record.Start, FormatTime(s.record.Time)))
		}
		return sighting{}, refuse("name the one that is meant: "+strings.Join(all, ", "), "there are %d restore points called %s", len(seen), name)
	}
	return seen[0], nil
}

// lookBack looks through the WAL from base to base, the newest first, for all
// that match or only for the newest one. A stretch that is not
// whole hides only what lies in it; when nothing is found, that is said.
func lookBack(ctx context.Context, r reach, bases []Snapshot, match func(wal.Record) bool, what string, all bool) ([]sighting, error) {
	var found []sighting
	var hole error
	var end, upTo wal.LSN
	for i := len(bases) - 1; i >= 0; i-- {
		seen, last, err := r.sight(ctx, bases[i], end, all, match)
		if err != nil && !isHole(err) {
			return nil, err
		}
		hole = errors.Join(hole, err)
		if end == 0 {
			upTo = max(last.record.End, bases[i].Consistent)
		}
		found = append(seen, found...)
		if !all && len(found) > 0 {
			break
		}
		end = bases[i].Consistent
	}
	if len(found) > 0 {
		return found, nil
	}
	mend := fmt.Sprintf("WAL is here from %s, of snapshot %s, to %s", bases[0].Consistent, bases[0].Name, upTo)
	if hole != nil {
		mend += ", but not all of it: " + hole.Error()
	}
	return nil, &refusal{why: what + " is not in the WAL that can be had", mend: mend, hole: hole}
}

// isHole is true of WAL that is absent or damaged, not of WAL that could not be
// looked at.
func isHole(err error) bool {
	var gap *wal.GapError
	var damaged *wal.DamagedError
	return errors.As(err, &gap) || errors.As(err, &damaged)
}

// sight reads on from where a base is consistent, up to an LSN or, where that is
// 0, to the end of the WAL, and collects what matches: the first, or all. Last is
// what was read last.
func (r reach) sight(ctx context.Context, base Snapshot, to wal.LSN, all bool, match func(wal.Record) bool) (seen []sighting, last sighting, err error) {
	last.base = base
	from, err := r.start(ctx, base.Consistent)
	if err != nil {
		return nil, last, err
	}
	last.record, _, err = r.scan(ctx, from, func(record wal.Record) bool {
		switch {
		case record.Start < base.Consistent:
			return false
		case to != 0 && record.Start >= to:
			return true
		case match(record):
			seen = append(seen, sighting{record: record, lastXact: last.lastXact, base: base})
			if !all {
				return true
			}
		}
		if record.IsXact() {
			last.lastXact = record
		}
		return false
	})
	return seen, last, err
}
