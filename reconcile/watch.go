package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/fsnotify/fsnotify"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// WatchOptions are what the daemon needs from outside.
type WatchOptions struct {
	Load        func() (*spec.Site, error) // reads the file; reports a broken one itself
	Paths       func() []string            // files and folders whose change may mean a new reading
	Concerns    func(path string) bool     // whether a change of this path does
	LockTimeout time.Duration
	Notify      func(state string) error // sd_notify(3)
	OnPlan      func(Plan)
	OnRound     func(Round)      // hears of each apply, also of one that found nothing to do; nil is nobody
	Reload      <-chan os.Signal // SIGHUP
	Life        *Life            // hears whether the watch is at work
}

// Round is an apply of the watch that came to its end.
type Round struct {
	Plan   Plan
	Err    error // why it could not go on
	Took   time.Duration
	Seen   Sight
	Beside bool // it cared for the standby alone, beside an apply in a long step, and says nothing of the rest
}

const (
	lightCheck = time.Minute // runs one program
	// suspendedCheck is the same while the pool is suspended: the kernel is asked whether
	// it still is, by a file.
	suspendedCheck = 5 * time.Second
	idle           = time.Hour        // a full look at the host, for what the light check can't see: some eight programs
	undecided      = 10 * time.Minute // the same where something is blocked: what it lacks may have come
)

// Watch keeps the host as the file says until ctx ends: it applies at start, on
// a change of the file, at each due moment, on drift and on a signal. A broken
// file is reported and the last good one stays in force. Standby and restores
// live on when it ends.
//
// It is ready (READY=1) once it has the file and follows it: what systemd gives
// a service to start is no measure for a base backup.
func (h *Host) Watch(ctx context.Context, o WatchOptions) error {
	if o.Life == nil {
		o.Life = &Life{}
	}
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the site file: %w", err)
	}
	defer files.Close()
	w := &watching{host: h, options: o, files: files, check: lightCheck, retry: backoff.NewExponentialBackOff()}
	w.retry.InitialInterval, w.retry.MaxInterval = time.Second, 5*time.Minute
	site, err := o.Load()
	if err != nil {
		return err // there is no last good one yet
	}
	w.site.Store(site)
	w.follow()
	defer w.claim.release()
	w.tell("READY=1\nSTATUS=applying")
	for ctx.Err() == nil {
		o.Life.works()
		wait := w.round(ctx)
		debug.FreeOSMemory() // what a round took, a daemon at rest should not keep
		o.Life.rests(h.Clock())
		if err := w.sleep(ctx, wait); err != nil {
			return err
		}
	}
	return nil
}

type watching struct {
	host    *Host
	options WatchOptions
	files   *fsnotify.Watcher
	site    atomic.Pointer[spec.Site]
	broken  bool          // the file is; site is the last good one
	holds   atomic.Bool   // the lock, or at least that part which a long step keeps
	loading sync.Mutex    // of the file, by an apply and the one beside it
	telling sync.Mutex    // of an apply and what is taken beside it
	check   time.Duration // between two light checks
	retry   *backoff.ExponentialBackOff
	sight   Sight // what the last apply saw; without a host before the first
	claim   watchClaim
	read    string // versions of the files when they were last read
}

// round applies once and says when to come again at the latest.
func (w *watching) round(ctx context.Context) time.Duration {
	plan, err := w.apply(ctx)
	if ctx.Err() != nil {
		return 0
	}
	if len(plan.Changes) > 0 || err == nil {
		w.tellPlan(plan)
	}
	switch {
	case errors.Is(err, ErrLocked): // a person's base backup may take hours, and is no fault
		w.host.Log.Warn("another run is at work; waiting for it", "error", err)
		w.status("waiting for another run to end")
		return time.Second
	case err != nil:
		wait := w.retry.NextBackOff()
		w.host.Log.Error("apply failed", "error", err, "retryIn", seconds(wait))
		w.status("apply failed: " + err.Error())
		return wait
	case plan.Failed():
		w.status("some changes failed; trying again")
		return earlier(w.retry.NextBackOff(), plan.untilNext(w.host.Clock()))
	}
	w.retry.Reset()
	w.status(w.outcome(plan))
	if plan.Summary.Block > 0 {
		return earlier(undecided, plan.untilNext(w.host.Clock()))
	}
	return earlier(idle, plan.untilNext(w.host.Clock()))
}

func (w *watching) outcome(p Plan) string {
	line := "converged"
	if p.Summary.Block > 0 {
		line = fmt.Sprintf("%d blocked: a person must decide", p.Summary.Block)
	}
	if p.Next != nil {
		line += "; next due " + p.Next.String()
	}
	if w.broken {
		line += "; the site file is broken, the last good one is in force"
	}
	return line
}

// apply takes the lock for the time of one apply only.
func (w *watching) apply(ctx context.Context) (Plan, error) {
	name := w.site.Load().Name
	if err := w.takeClaim(name); err != nil {
		return Plan{}, err
	}
	release, err := w.lock(ctx, name)
	if err != nil {
		return Plan{}, err
	}
	defer release()
	// Who held it until now may have added a restore or removed one.
	if w.load() && w.site.Load().Name != name {
		return Plan{}, fmt.Errorf("the file became that of site %s, and the lock is that of site %s", w.site.Load().Name, name)
	}
	began := w.host.Clock()
	site := w.site.Load()
	plan, state, err := w.host.apply(ctx, site, began, nil)
	took := w.host.Clock().Sub(began)
	release() // a primary that is asked for its slot and is gone keeps nobody waiting
	w.sight = w.host.sight(ctx, site, state, err)
	if ctx.Err() == nil {
		w.tellRound(Round{Plan: plan, Err: err, Took: took, Seen: w.sight})
	}
	return plan, err
}

// lock takes the lock of the site, and cares for the standby while it waits for
// it and while a long step gives a part of it up. A lock that is free is taken
// before: the apply beside would be the first to get it, now and then, and an
// apply is to begin with what comes first.
func (w *watching) lock(ctx context.Context, site string) (release func(), err error) {
	lock, err := w.host.Lock(ctx, site, 0)
	if err != nil && !errors.Is(err, ErrLocked) {
		return nil, err
	}
	quit := w.besides(ctx)
	if err != nil { // it is held
		if lock, err = w.host.Lock(ctx, site, w.options.LockTimeout); err != nil {
			quit()
			return nil, err
		}
	}
	w.holds.Store(true)
	return sync.OnceFunc(func() {
		quit() // while it can't get the lock any more
		w.holds.Store(false)
		lock.Release()
	}), nil
}

// takeClaim claims a site for this watch. Two of one site do no harm, but do
// everything twice.
func (w *watching) takeClaim(site string) error {
	if w.claim.site != site {
		if other, err := w.host.watched(site); err == nil && other {
			w.host.Log.Warn("another watch of this site runs; stop one of them", "site", site)
		}
	}
	return w.host.claim(&w.claim, site)
}

// tellRound tells those who listen how an apply ended and what it saw.
func (w *watching) tellRound(r Round) {
	if w.options.OnRound == nil {
		return
	}
	w.telling.Lock()
	defer w.telling.Unlock()
	w.options.OnRound(r)
}

func (w *watching) tellPlan(plan Plan) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.options.OnPlan(plan)
}

// Failed is true of a plan of which something failed or could not be observed.
func (p Plan) Failed() bool {
	for _, c := range p.Changes {
		if c.Result == Failed {
			return true
		}
	}
	return len(p.Failures) > 0
}

// untilNext is how long nothing falls due by itself, at the most idle.
func (p Plan) untilNext(now time.Time) time.Duration {
	if p.Next == nil {
		return idle
	}
	return p.Next.Sub(now)
}

func earlier(a, b time.Duration) time.Duration {
	return max(min(a, b), 10*time.Millisecond)
}

// sleep waits until something is to be done: the time is up, the file changed,
// a signal came, or the light check saw drift.
func (w *watching) sleep(ctx context.Context, wait time.Duration) error {
	// Wall clock, so that a suspended machine does not oversleep by its nap.
	until := w.host.Clock().Round(0).Add(wait)
	every := w.check
	if isKind(w.sight.err, zfs.ErrSuspended) {
		every = min(every, suspendedCheck)
	}
	check := time.NewTicker(every)
	defer check.Stop()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case <-check.C:
			w.options.Life.rests(w.host.Clock())
			if now := w.host.Clock().Round(0); !now.Before(until) || w.drifted(ctx) {
				return nil
			}
		case <-w.options.Reload:
			w.tell("RELOADING=1")
			w.reload()
			w.tell("READY=1")
			return nil
		case event, ok := <-w.files.Events:
			if !ok {
				return errors.New("watching the site file ended")
			}
			if w.concerns(event) && w.settled(ctx) && w.reload() {
				return nil
			}
		case err := <-w.files.Errors:
			// Events were lost; reading again is always right.
			w.host.Log.Warn("watching the site file", "error", err)
			if w.reload() {
				return nil
			}
		}
	}
}

// drifted is the light check: it looks for what can be seen with one program.
func (w *watching) drifted(ctx context.Context) bool {
	if w.versions() != w.read && w.reload() {
		return true
	}
	return w.sight.drifted(ctx)
}

// status is the line that systemctl status shows. A newline in it would begin
// another message (sd_notify(3)).
func (w *watching) status(text string) {
	w.tell("STATUS=" + strings.Join(strings.Fields(text), " "))
}

func (w *watching) tell(state string) {
	if err := w.options.Notify(state); err != nil {
		w.host.Log.Warn("telling systemd", "state", state, "error", err)
	}
}
