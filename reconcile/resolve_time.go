package reconcile

import (
	"context"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// servingTime is how many of the oldest snapshots can serve a time: those before
// the first one that holds something later. Where the primary's clock was set
// back, a newer one may look as if it held nothing later, and does (pitfall 11).
func servingTime(bases []Snapshot, t time.Time) int {
	n := 0
	for n < len(bases) && !bases[n].EarliestAt.After(t) {
		n++
	}
	return n
}

// locateTime stops before the first commit or abort later than the time; the
// base is the newest that can serve it.
func (h *Host) locateTime(ctx context.Context, in *view, r reach, bases []Snapshot, t time.Time) (Resolution, error) {
	n := servingTime(bases, t)
	if n == 0 {
		return Resolution{}, refuse("the earliest moment is that of snapshot "+bases[0].Name, "%s is before what any snapshot serves", FormatTime(t))
	}
	base := bases[n-1]
	record, found, last, lastXact, err := r.xactAfter(ctx, base, t)
	if err != nil {
		return Resolution{}, err
	}
	if !found {
		if err := h.provenQuiet(ctx, in, t, reachedAt(base, last.End, lastXact)); err != nil {
			return Resolution{}, err
		}
		// What the primary had written when it was asked has come in by now.
		if record, found, last, lastXact, err = r.xactAfter(ctx, base, t); err != nil {
			return Resolution{}, err
		}
	}
	if !found && last.Start == 0 {
		return endAt(ctx, r, base, last, lastXact)
	}
	return Resolution{Base: base, Stop: afterXact(r, base, lastXact), Reached: reachedAt(base, base.Consistent, lastXact),
		End: max(base.Consistent, lastXact.End), LastIn: lastXact, FirstOut: record}, nil
}

// quietMargin is how far the primary's clock must be beyond a target before
// the absence of commits proves anything: a commit's time is taken before its
// record is flushed. To that comes what an asynchronous commit may wait for
// the WAL writer (PostgreSQL documentation, "Asynchronous Commit").
const quietMargin = time.Second

func marginOf(info postgres.PrimaryInfo) time.Duration {
	return quietMargin + 3*info.WALWriterDelay
}

// catchUp bounds the wait for what the primary has already written.
const catchUp = 15 * time.Second

// provenQuiet tells a quiet primary, which had no commit after the time, from
// one that we do not hear of: then how far WAL goes is not known to reach the
// target, and it is refused (pitfall 12).
func (h *Host) provenQuiet(ctx context.Context, in *view, t time.Time, upTo Moment) error {
	mend := "WAL is here up to " + upTo.LSN.String()
	if upTo.Time != nil {
		mend += ", with the last commit of " + upTo.Time.String() + "; {latest: true} has all of it"
	}
	status := in.state.Cluster.Status
	if status == nil || !status.Connected() || status.PrimaryTime == nil || status.LastMsgReceiptAt == nil {
		return refuse(mend, "%s is later than the last commit received, and the standby is not connected: what the primary did until then is not known", FormatTime(t))
	}
	ahead := func() time.Duration {
		now := status.PrimaryTime.Add(h.Clock().Sub(*status.LastMsgReceiptAt)) // the primary's clock
		return t.Sub(now)
	}
	if ahead() > 0 {
		return refuse(mend, "%s has not come yet on the primary", FormatTime(t))
	}
	info, err := h.asked(ctx, in, t, mend)
	if err != nil {
		return err
	}
	if wait := ahead() + marginOf(info); wait > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		if info, err = h.asked(ctx, in, t, mend); err != nil {
			return err
		}
	}
	return h.awaitReceived(ctx, in, info.XLogPos, mend)
}

// asked asks the primary how far its WAL goes. The file may name several hosts,
// and the one that answers need not be the one that the standby follows.
func (h *Host) asked(ctx context.Context, in *view, t time.Time, mend string) (postgres.PrimaryInfo, error) {
	info, err := postgres.Identify(ctx, h.primary(in.site, in.state.Cluster.Password))
	if err != nil {
		return info, refuse(mend, "%s is later than the last commit received, and the primary can't be asked whether there was one: %v", FormatTime(t), err)
	}
	if info.SystemID != in.systemNumber() || info.Timeline != in.timeline() {
		return info, refuse(mend, "%s is later than the last commit received, and the server that answers as the primary (system %d, timeline %d) is not the one that the standby follows (system %d, timeline %d)",
			FormatTime(t), info.SystemID, info.Timeline, in.systemNumber(), in.timeline())
	}
	return info, nil
}

// awaitReceived waits until the standby has what the primary had written.
func (h *Host) awaitReceived(ctx context.Context, in *view, lsn wal.LSN, mend string) error {
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	for {
		status, err := cluster.Status(ctx)
		if err == nil && status.Received >= lsn {
			return nil
		}
		select {
		case <-ctx.Done():
			return refuse(mend, "the standby lags: it has not received up to %s, which the primary has written", lsn)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
