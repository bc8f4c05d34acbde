package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// host is what the commands ask of the machine.
type host interface {
	Plan(ctx context.Context, site *spec.Site, now time.Time, only reconcile.Only) (reconcile.Plan, error)
	Apply(ctx context.Context, site *spec.Site, now time.Time, only reconcile.Only) (reconcile.Plan, error)
	Status(ctx context.Context, site *spec.Site, now time.Time) (reconcile.Status, error)
	Init(ctx context.Context, o reconcile.InitOptions, now time.Time) (reconcile.Draft, error)
	Doctor(ctx context.Context, site *spec.Site, now time.Time) reconcile.Diagnosis
	TakeSnapshot(ctx context.Context, site *spec.Site, o reconcile.SnapshotOptions) (reconcile.SnapshotStatus, error)
	ReleaseSnapshot(ctx context.Context, site *spec.Site, name string) (held bool, err error)
	Verify(ctx context.Context, site *spec.Site, o reconcile.VerifyOptions) (reconcile.Drill, error)
	ApplyRestore(ctx context.Context, site *spec.Site, now time.Time, name string) (plan reconcile.Plan, standing *reconcile.RestoreStatus, err error)
	RestoreStatus(ctx context.Context, site *spec.Site, now time.Time, name string) (status reconcile.RestoreStatus, exists bool, err error)
	RenewRestore(ctx context.Context, site *spec.Site, now time.Time, name string) (undo func(context.Context) error, err error)
	PlanEject(ctx context.Context, site *spec.Site) (reconcile.Plan, error)
	Eject(ctx context.Context, site *spec.Site) (reconcile.Plan, error)
	Callers(ctx context.Context) ([]reconcile.Caller, error)
	Watch(ctx context.Context, o reconcile.WatchOptions) error
	Lock(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error)
	LockUrgently(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error)
	LockStandby(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error)
}

// machine is the real host.
type machine struct{ *reconcile.Host }

// Lock takes the lock of a site; unlock gives it up.
func (m machine) Lock(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error) {
	lock, err := m.Host.Lock(ctx, site, timeout)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

// LockUrgently takes the lock of a site, to which a drill at work gives way.
func (m machine) LockUrgently(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error) {
	lock, err := m.Host.LockUrgently(ctx, site, timeout)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

// LockStandby takes the part of the lock that guards the standby and its snapshots.
func (m machine) LockStandby(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error) {
	lock, err := m.Host.LockStandby(ctx, site, timeout)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

func (p *program) thisHost() host {
	h := reconcile.NewHost(p.log)
	h.WALProgram = walProgram
	h.OnProgress = p.progress.show
	if p.onChange != nil {
		h.OnChange = p.onChange
	}
	if tell := h.OnChange; p.counted != nil {
		h.OnChange = func(c reconcile.Change, took time.Duration) {
			tell(c, took)
			p.counted(c, took)
		}
	}
	return machine{h}
}

// interruptible ends with the first SIGINT or SIGTERM; a second one ends the
// program at once.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
