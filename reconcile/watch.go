package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/fsnotify/fsnotify"

	"github.com/zreconcile/zreconcile/spec"
)

// WatchOptions are what the daemon needs from outside.
type WatchOptions struct {
	Load        func() (*spec.Site, error) // reads the file; reports a broken one itself
	Paths       func() []string            // files and folders whose change may mean a new reading
	Concerns    func(path string) bool     // whether a change of this path does
	LockTimeout time.Duration
	Notify      func(state string) error // sd_notify(3)
	OnPlan      func(Plan)
	OnRound     func(Plan, error, Sight) // hears of each apply, also of one that found nothing to do; nil is nobody
	Reload      <-chan os.Signal         // SIGHUP
}

const (
	lightCheck = time.Minute      // runs no program
	idle       = 10 * time.Minute // a full look at the host, for what the light check can't see: some eight processes
)

// Watch keeps the host as the file says until ctx ends: it applies at start, on
// a change of the file, at each due moment, on drift and on a signal. A broken
// file is reported and the last good one stays in force. Standby and restores
// live on when it ends.
//
// It is ready (READY=1) once it has the file and follows it: what systemd gives
// a service to start is no measure for a base backup.
func (h *Host) Watch(ctx context.Context, o WatchOptions) error {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching the site file: %w", err)
	}
	defer files.Close()
	w := &watching{host: h, options: o, files: files, retry: backoff.NewExponentialBackOff()}
	w.retry.InitialInterval, w.retry.MaxInterval = time.Second, 5*time.Minute
	if w.site, err = o.Load(); err != nil {
		return err // there is no last good one yet
	}
	w.follow()
	defer w.claim.release()
	w.tell("READY=1\nSTATUS=applying")
	for ctx.Err() == nil {
		wait := w.round(ctx)
		debug.FreeOSMemory() // what a round took, a daemon at rest should not keep
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
	site    *spec.Site
	broken  bool // the file is; site is the last good one
	retry   *backoff.ExponentialBackOff
	glance  func() string // looks at what was seen of the host
	seen    string        // by glance, when the last apply ended
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
		w.options.OnPlan(plan)
	}
	if err != nil {
		wait := w.retry.NextBackOff()
		w.host.Log.Error("apply failed", "error", err, "again in", seconds(wait))
		w.tell("STATUS=apply failed: " + err.Error())
		return wait
	}
	if plan.Failed() {
		w.tell("STATUS=some changes failed; trying again")
		return earlier(w.retry.NextBackOff(), w.untilNext(plan))
	}
	w.retry.Reset()
	w.tell(w.statusLine(plan))
	return earlier(idle, w.untilNext(plan))
}

func (w *watching) statusLine(p Plan) string {
	line := "STATUS=converged"
	if p.Summary.Block > 0 {
		line = fmt.Sprintf("STATUS=%d blocked: a person must decide", p.Summary.Block)
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
	name := w.site.Name
	if err := w.host.claim(&w.claim, name); err != nil {
		return Plan{}, err
	}
	lock, err := w.host.Lock(ctx, name, w.options.LockTimeout)
	if err != nil {
		return Plan{}, err
	}
	defer lock.Release()
	// Who held it until now may have added a restore or removed one.
	if w.load() && w.site.Name != name {
		return Plan{}, fmt.Errorf("the file became that of site %s, and the lock is that of site %s", w.site.Name, name)
	}
	plan, state, err := w.host.apply(ctx, w.site, w.host.Clock(), nil)
	site := w.site
	w.glance = func() string { return glance(site, state) }
	w.seen = w.glance()
	if w.options.OnRound != nil && ctx.Err() == nil {
		w.options.OnRound(plan, err, Sight{host: w.host, site: site, state: state})
	}
	return plan, err
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

func (w *watching) untilNext(p Plan) time.Duration {
	if p.Next == nil {
		return idle
	}
	return p.Next.Sub(w.host.Clock())
}

func earlier(a, b time.Duration) time.Duration {
	return max(min(a, b), 10*time.Millisecond)
}

// sleep waits until something is to be done: the time is up, the file changed,
// a signal came, or the light check saw drift.
func (w *watching) sleep(ctx context.Context, wait time.Duration) error {
	// Wall clock, so that a suspended machine does not oversleep by its nap.
	until := w.host.Clock().Round(0).Add(wait)
	check := time.NewTicker(lightCheck)
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
			if now := w.host.Clock().Round(0); !now.Before(until) || w.drifted() {
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

// drifted is the light check: it looks for what can be seen without running a
// program.
func (w *watching) drifted() bool {
	if w.versions() != w.read && w.reload() {
		return true
	}
	return w.glance != nil && w.glance() != w.seen
}

func (w *watching) tell(state string) {
	if err := w.options.Notify(state); err != nil {
		w.host.Log.Warn("telling systemd", "state", state, "error", err)
	}
}
