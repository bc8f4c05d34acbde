package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// besides takes the snapshots that fall due while an apply is in a step of hours,
// or waits for another run that is: a restore that replays, a drill that reads
// all there is. It goes on until quit is called, and ends the snapshot in hand
// first. An apply without such a step keeps the lock to itself.
func (w *watching) besides(ctx context.Context) (quit func()) {
	waiting, enough := context.WithCancel(ctx)
	ended := make(chan struct{})
	b := &beside{watching: w, host: w.host.beside(), retry: backoff.NewExponentialBackOff()}
	b.retry.InitialInterval, b.retry.MaxInterval = time.Second, lightCheck
	go func() {
		defer close(ended)
		for waiting.Err() == nil {
			wait := b.round(ctx, waiting)
			select {
			case <-waiting.Done():
			case <-time.After(min(wait, lightCheck)): // on the wall clock a nap may end sooner
			}
		}
	}()
	return func() { enough(); <-ended }
}

type beside struct {
	watching *watching
	host     *Host
	retry    *backoff.ExponentialBackOff
}

// round takes a snapshot if one is due, and says when to come again. It waits
// for the lock as long as waiting lasts; what it began ends with ctx alone.
func (b *beside) round(ctx, waiting context.Context) time.Duration {
	site := b.watching.site.Load()
	lock, err := b.host.LockSnapshots(waiting, site.Name, forever)
	if err != nil {
		return b.failed(waiting, err)
	}
	defer lock.Release()
	state, err := b.host.Observe(ctx, site, b.host.Clock())
	if err != nil {
		return b.failed(waiting, err)
	}
	if whole := Diff(site, state, state.At, nil); !snapshotsAlone(whole, state) {
		return whole.untilNext(b.host.Clock())
	}
	plan, state, err := b.host.apply(ctx, site, state.At, Only{kindSnapshot})
	if ctx.Err() != nil {
		return 0
	}
	b.watching.tellRound(plan, err, Sight{host: b.host, site: site, state: state})
	b.watching.tellPlan(plan)
	if err != nil || plan.Failed() {
		return b.failed(waiting, err)
	}
	b.retry.Reset()
	return plan.untilNext(b.host.Clock())
}

// forever is longer than any apply.
const forever = 10000 * time.Hour

// failed says that it did, where that is not the end of the apply beside it, and
// when to try again.
func (b *beside) failed(waiting context.Context, err error) time.Duration {
	wait := b.retry.NextBackOff()
	if err != nil && waiting.Err() == nil {
		b.host.Log.Error("no snapshot could be taken beside the apply at work", "error", err, "again in", seconds(wait))
	}
	return wait
}

// snapshotsAlone is true where a snapshot is to be taken or completed, and nothing
// that it needs is out of order: that is for a whole apply to mend first.
func snapshotsAlone(p Plan, state State) bool {
	due := false
	for _, s := range stages() {
		if s.kind != kindSnapshot {
			continue
		}
		if state.failed(append(s.needs, s.kind)...) {
			return false
		}
		for _, c := range p.Changes {
			if slices.Contains(s.needs, c.Kind) {
				return false
			}
			due = due || c.Kind == s.kind && c.Action != Block
		}
	}
	return due
}
