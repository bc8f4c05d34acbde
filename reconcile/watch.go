package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/fsnotify/fsnotify"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

// WatchOptions are what the daemon needs from outside.
type WatchOptions struct {
	Load        func() (*spec.Site, error) // reads the file; reports a broken one itself
	Paths       func() []string            // files and folders whose change means a new reading
	LockTimeout time.Duration
	Notify      func(state string) error // sd_notify(3)
	OnPlan      func(Plan)
	Reload      <-chan os.Signal // SIGHUP
}

const (
	settle     = 300 * time.Millisecond // an editor's or a deployment's writes come in bursts
	lightCheck = time.Minute            // runs no program
	idle       = 10 * time.Minute       // a full look at the host, whatever the light check says
)

// Watch keeps the host as the file says until ctx ends: it applies at start, on
// a change of the file, at each due moment, on drift and on a signal. A broken
// file is reported and the last good one stays in force. Standby and restores
// live on when it ends.
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
	for {
		wait := w.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := w.sleep(ctx, wait); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

type watching struct {
	host    *Host
	options WatchOptions
	files   *fsnotify.Watcher
	site    *spec.Site
	retry   *backoff.ExponentialBackOff
	ready   bool
}

// follow watches the paths that the site depends on. One that is not there yet
// shows when its folder changes.
func (w *watching) follow() {
	for _, path := range w.options.Paths() {
		if err := w.files.Add(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.host.Log.Warn("can't watch for changes", "path", path, "error", err)
		}
	}
}

// round applies once and says when to come again at the latest.
func (w *watching) round(ctx context.Context) time.Duration {
	plan, err := w.apply(ctx)
	if ctx.Err() != nil {
		return 0
	}
	if err == nil && !w.ready {
		w.ready = true
		w.tell("READY=1")
	}
	if err != nil {
		w.host.Log.Error("apply failed", "error", err)
		w.tell("STATUS=apply failed: " + err.Error())
		return w.retry.NextBackOff()
	}
	w.options.OnPlan(plan)
	if plan.failed() {
		w.tell("STATUS=some changes failed; trying again")
		return earlier(w.retry.NextBackOff(), w.untilNext(plan))
	}
	w.retry.Reset()
	w.tell(statusLine(plan))
	return earlier(idle, w.untilNext(plan))
}

func statusLine(p Plan) string {
	line := "STATUS=converged"
	if p.Summary.Block > 0 {
		line = fmt.Sprintf("STATUS=%d blocked: a person must decide", p.Summary.Block)
	}
	if p.Next != nil {
		line += "; next due " + p.Next.String()
	}
	return line
}

// apply takes the lock for the time of one apply only.
func (w *watching) apply(ctx context.Context) (Plan, error) {
	lock, err := w.host.Lock(ctx, w.site.Name, w.options.LockTimeout)
	if err != nil {
		return Plan{}, err
	}
	defer lock.Release()
	return w.host.Apply(ctx, w.site, w.host.Clock(), nil)
}

// failed is true of a plan of which something failed or could not be observed.
func (p Plan) failed() bool {
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
			if w.changed(ctx, event) {
				return nil
			}
		case err := <-w.files.Errors:
			// Events were lost; reading again is always right.
			w.host.Log.Warn("watching the site file", "error", err)
			w.reload()
			return nil
		}
	}
}

// changed waits for a burst of writes to end and reads the file again.
func (w *watching) changed(ctx context.Context, event fsnotify.Event) bool {
	if event.Op == fsnotify.Chmod {
		return false
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-w.files.Events:
			timer.Reset(settle)
		case <-timer.C:
			return w.reload()
		}
	}
}

// reload reads the file; a broken one leaves the last good one in force. It is
// true where there is something to apply.
func (w *watching) reload() bool {
	site, err := w.options.Load()
	if err != nil {
		w.tell("STATUS=the site file is broken; the last good one stays in force")
		w.follow()
		return false
	}
	w.site = site
	w.follow()
	return true
}

// drifted looks for what can be seen without running a program: a server of
// the site that is gone.
func (w *watching) drifted() bool {
	s := w.site.Standby
	if s == nil {
		return false
	}
	process, err := (&postgres.Cluster{DataDir: s.DataDir}).Process()
	return err == nil && !process.Running
}

func (w *watching) tell(state string) {
	if err := w.options.Notify(state); err != nil {
		w.host.Log.Warn("telling systemd", "state", state, "error", err)
	}
}
