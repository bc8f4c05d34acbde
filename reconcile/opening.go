package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// opening follows from redo on whether the server of a clone may let sessions
// in: it must know which transactions were running, and a record that tells of
// them leaves out subtransactions where one transaction has more than 64. A
// server that comes to its target before it knows does not pause there, but
// promotes itself. References: ProcArrayApplyRecoveryInfo of procarray.c,
// recoveryPausesHere of xlogrecovery.c; PostgreSQL, "Hot Standby, Caveats".
type opening struct {
	pending bool   // a record told of them, but not of all
	newest  uint32 // the newest transaction of that record
}

// sees tells whether a record lets sessions in.
func (o *opening) sees(record wal.Record) bool {
	switch {
	case record.Kind == wal.CheckpointShutdown: // nothing runs
		return true
	case record.Kind != wal.RunningXacts:
		return false
	case !record.Running.Overflow, o.pending && record.Running.Count == 0:
		return true
	case o.pending: // it knows all that began since
		return int32(o.newest-record.Running.Oldest) < 0
	}
	o.pending, o.newest = true, record.Running.Next-1
	return false
}

// opensAt is the end of the record behind which the server of a base lets
// sessions in; 0 where none is found up to an LSN.
func (r reach) opensAt(ctx context.Context, base Snapshot, upTo wal.LSN) (wal.LSN, error) {
	var o opening
	var at wal.LSN
	_, _, err := r.scan(ctx, base.Redo, func(record wal.Record) bool {
		if record.End <= upTo && o.sees(record) {
			at = record.End
		}
		return at != 0 || record.End > upTo
	})
	return at, err
}

// opened gives a restore a base whose server lets sessions in by the stop: the
// one that was found, or an older one from which the WAL leads there as well.
func (r reach) opened(ctx context.Context, all []Snapshot, found Resolution) (Resolution, error) {
	end := max(found.End, found.Base.Consistent, found.Base.Replayed)
	if found.Stop.LSN != 0 {
		end = max(found.End, found.Base.Consistent)
	}
	if at, err := r.opensAt(ctx, found.Base, end); at != 0 || isHole(err) { // what is absent, the base has
		return found, nil
	} else if err != nil {
		return found, err
	}
	if found.Stop.LSN != 0 {
		for _, older := range slices.Backward(onPath(all, r.path)) {
			if older.Consistent >= found.Base.Consistent {
				continue
			}
			if leads, err := r.leads(ctx, older, end); err != nil {
				return found, err
			} else if leads {
				found.Base = older
				return found, nil
			}
		}
	}
	mend := "write action: promote, which needs nobody to be let in before"
	if at, err := r.opensAt(ctx, found.Base, 1<<63); at != 0 && err == nil {
		mend = fmt.Sprintf("from %s on it can be had ({lsn: %s, stop: before}); or %s", at, at, mend)
	}
	return found, &refusal{mend: mend, named: true, why: fmt.Sprintf("a transaction with more than 64 subtransactions was running where the snapshot %s begins: "+
		"a server that stops at %s lets nobody in", found.Base.Name, end)}
}

// leads is true of a base whose server lets sessions in by an LSN, and from
// which whole WAL leads there.
func (r reach) leads(ctx context.Context, base Snapshot, end wal.LSN) (bool, error) {
	at, err := r.opensAt(ctx, base, end)
	if err == nil && at != 0 {
		_, _, err = r.scan(ctx, at, func(record wal.Record) bool { return record.End >= end })
	}
	if isHole(err) {
		return false, nil
	}
	return at != 0, err
}
