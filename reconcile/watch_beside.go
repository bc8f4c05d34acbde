package reconcile

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/zreconcile/zreconcile/spec"
)

// besideKinds are what a long step of an apply, which is about a clone, leaves
// to an apply beside it. The base backup and what removes things are not in it.
var besideKinds = Only{kindDataset, kindConf, kindStandby, kindSnapshot}

// besides cares for the standby and its snapshots while an apply is in a step of
// hours, or waits for another run that is: a restore that replays, a drill that
// reads all there is. It goes on until quit is called, and ends first what it has
// in hand. An apply without such a step keeps the lock to itself.
func (w *watching) besides(ctx context.Context) (quit func()) {
	waiting, enough := context.WithCancel(ctx)
	ended := make(chan struct{})
	b := &beside{watching: w, host: w.host.beside(w.sight.state.Resolved), retry: backoff.NewExponentialBackOff()}
	b.retry.InitialInterval, b.retry.MaxInterval = time.Second, lightCheck
	go func() {
		defer close(ended)
		for waiting.Err() == nil {
			wait := b.round(ctx, waiting)
			select {
			case <-waiting.Done():
			case <-time.After(max(0, min(wait, lightCheck))):
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

// forever is longer than any step.
const forever = 10000 * time.Hour

// round does what is due, and says when to come again. It waits for the lock as
// long as waiting lasts; what it began ends with ctx alone.
func (b *beside) round(ctx, waiting context.Context) time.Duration {
	site := b.watching.site.Load()
	lock, err := b.host.LockStandby(waiting, site.Name, forever)
	if err != nil {
		return b.failed(waiting, err)
	}
	release := sync.OnceFunc(lock.Release)
	defer release()
	site = b.current(site)
	state, err := b.host.Observe(ctx, site, b.host.Clock())
	if err != nil {
		return b.failed(waiting, err)
	}
	if whole := Diff(site, state, state.At, nil); !dueBeside(whole, state) {
		return whole.untilNext(b.host.Clock())
	}
	began := b.host.Clock()
	plan, state, err := b.host.apply(ctx, site, state.At, besideKinds)
	if ctx.Err() != nil {
		return 0
	}
	took := b.host.Clock().Sub(began)
	release() // the long step may have come to its end
	b.watching.tellRound(Round{Plan: plan, Err: err, Took: took, Seen: b.host.sight(ctx, site, state, err), Beside: true})
	b.watching.tellPlan(plan)
	if err != nil || plan.Failed() {
		return b.failed(waiting, err)
	}
	b.retry.Reset()
	return plan.untilNext(b.host.Clock())
}

// current is the site as the apply beside this one has it, which would be undone by
// the reading from before the lock was had: that of the watch, or what the file
// says, where the watch waits for another run and has not read it again yet.
func (b *beside) current(site *spec.Site) *spec.Site {
	w := b.watching
	now := w.site.Load()
	if !w.holds.Load() {
		w.loading.Lock()
		defer w.loading.Unlock()
		var err error
		if now, err = w.options.Load(); err != nil {
			return site
		}
	}
	if now.Name != site.Name {
		return site
	}
	return now
}

// failed says that it did, where that is not the end of the apply beside it, and
// when to try again.
func (b *beside) failed(waiting context.Context, err error) time.Duration {
	wait := b.retry.NextBackOff()
	if err != nil && waiting.Err() == nil {
		b.host.Log.Error("the standby could not be cared for beside the apply at work", "error", err, "retryIn", seconds(wait))
	}
	return wait
}

// dueBeside is true of a plan in which something of the standby is to be done,
// and nothing that is not for a run beside has to come first.
func dueBeside(p Plan, state State) bool {
	first := []string{kindPool, kindBasebackup}
	if state.failed(first...) {
		return false
	}
	due := false
	for _, c := range p.Changes {
		if slices.Contains(first, c.Kind) && !c.aside {
			return false
		}
		due = due || slices.Contains(besideKinds, c.Kind) && c.Action != Block
	}
	return due
}
