package reconcile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// proveReached holds a clone that stands at its target against what it should
// hold. That its server replayed up to the last wanted record and no further is
// known by then; commit is the newest transaction that the server tells of, nil
// where it replayed none since its start.
func proveReached(t spec.Target, stop settledStop, commit *time.Time) error {
	switch {
	case stop.firstOut.Start != 0 && stop.end > stop.firstOut.Start:
		return fmt.Errorf("the restore replayed up to %s, and the first transaction that it must not hold ends at %s: it is not what was asked for, and will be made again", stop.end, stop.firstOut.Start)
	case stop.lastIn.Start != 0 && stop.end < stop.lastIn.End:
		return fmt.Errorf("the restore replayed up to %s only, and the last transaction that it must hold ends at %s: it will be made again", stop.end, stop.lastIn.End)
	case t.Time.IsZero():
		return nil
	case commit != nil && commit.After(t.Time):
		return fmt.Errorf("the restore holds a transaction of %s, which is after its target %s: it is not what was asked for, and will be made again", FormatTime(*commit), FormatTime(t.Time))
	case stop.lastIn.Start != 0 && stop.lastIn.Time.After(t.Time):
		return fmt.Errorf("the last transaction of the restore is of %s, which is after its target %s", FormatTime(stop.lastIn.Time), FormatTime(t.Time))
	case stop.firstOut.Start != 0 && !stop.firstOut.Time.After(t.Time):
		return fmt.Errorf("the restore lacks a transaction of %s, which is not after its target %s", FormatTime(stop.firstOut.Time), FormatTime(t.Time))
	}
	return nil
}

// facts say where a clone stands, and between which two transactions.
func (s settledStop) facts(resolved Resolution, major int) []zfs.Prop {
	list := []zfs.Prop{{Name: markStop, Value: s.mark()}, {Name: markMajor, Value: strconv.Itoa(major)},
		{Name: markReachedLSN, Value: s.end.String()}, {Name: markLastIn, Value: xactMark(s.lastIn)}, {Name: markFirstOut, Value: xactMark(s.firstOut)}}
	at := s.lastIn.Time
	if s.lastIn.Start == 0 && resolved.Reached.Time != nil {
		at = resolved.Reached.Time.Time
	}
	if !at.IsZero() {
		list = append(list, zfs.Prop{Name: markReachedAt, Value: FormatTime(at)})
	}
	return list
}

// xactMark is the end of a transaction as a mark: where it begins in the WAL, its
// time and its number; "none" is none.
func xactMark(r wal.Record) string {
	if r.Start == 0 {
		return "none"
	}
	return fmt.Sprintf("%s %s %d", r.Start, FormatTime(r.Time), endedXID(r))
}

// endedXID is the transaction that a record ends; that of PREPARE TRANSACTION is
// not the one of the session that commits it.
func endedXID(r wal.Record) uint32 {
	if r.TwoPhaseXID != 0 {
		return r.TwoPhaseXID
	}
	return r.XID
}

// xactOf reads what xactMark writes; nil is none.
func xactOf(mark string) *Transaction {
	fields := strings.Fields(mark)
	if len(fields) != 3 {
		return nil
	}
	lsn, err := wal.ParseLSN(fields[0])
	if err != nil {
		return nil
	}
	xid, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return nil
	}
	return &Transaction{LSN: lsn, Time: timePtr(marks{"": fields[1]}.time("")), XID: uint32(xid)}
}
