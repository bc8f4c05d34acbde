package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

type applyOptions struct {
	only        []string
	lockTimeout time.Duration
}

func newApply(p *program) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the host what the site file says",
		Long: `Plans, changes what differs, and looks again: what still differs then is an
error. What is blocked is left alone, and all that does not depend on it is
done. It can be killed at any moment and run again. Needs root.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runApply(cmd.Context(), p, o) },
	}
	addOnly(cmd, &o.only)
	addLockTimeout(cmd, &o.lockTimeout)
	return cmd
}

// defaultLockTimeout is how long a run waits for another one to end.
const defaultLockTimeout = 60 * time.Second

func addLockTimeout(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "lock-timeout", defaultLockTimeout, "how long to wait for another run on this site to end")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *timeout < 0 {
			return usageError{fmt.Errorf("--lock-timeout %s: it cannot be negative", *timeout)}
		}
		return nil
	}
}

func runApply(ctx context.Context, p *program, o applyOptions) error {
	only, err := reconcile.ParseOnly(o.only)
	if err != nil {
		return usageError{err}
	}
	if err := p.needRoot("apply"); err != nil {
		return p.fail(err, blankPlan(""))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blankPlan(""))
	}
	told := p.tellChanges(site)
	plan, err := p.applyLocked(ctx, site, only, o.lockTimeout)
	if err != nil && len(plan.Changes) == 0 {
		return p.fail(err, blankPlan(site.Name))
	}
	if err != nil { // it ended on the way: what was done until then is told as well
		plan.Failures = append(plan.Failures, err.Error())
	}
	plan.Notes = append(plan.Notes, strays(only, site, plan)...)
	if err := p.writePlan(site, plan, func(v view, plan reconcile.Plan) { showApply(v, plan, told) }); err != nil {
		return err
	}
	return report(applyStatus(plan))
}

// tellChanges lets a person see each change when it has happened; programs find
// it in the log.
func (p *program) tellChanges(site *spec.Site) outcomes {
	told := outcomes{}
	if !p.json() {
		p.onChange = func(c reconcile.Change, _ time.Duration) {
			p.progress.finish()
			showOutcome(p.view(site, p.clock()), c)
			told.add(c)
		}
	}
	return told
}

func (p *program) applyLocked(ctx context.Context, site *spec.Site, only reconcile.Only, timeout time.Duration) (reconcile.Plan, error) {
	h := p.newHost()
	site, unlock, err := p.lockSite(ctx, h.Lock, site, timeout)
	if err != nil {
		return reconcile.Plan{}, err
	}
	defer unlock()
	defer p.progress.finish()
	plan, err := h.Apply(ctx, site, p.clock(), only)
	return plan, interrupted(ctx, err)
}

// locking is a way to take a lock of a site, such as that of a host.
type locking func(ctx context.Context, site string, timeout time.Duration) (unlock func(), err error)

// lockSite takes the lock of a site and reads its files again. Who held it until
// now may have added a restore or removed one; the old reading would undo that.
func (p *program) lockSite(ctx context.Context, lock locking, site *spec.Site, timeout time.Duration) (*spec.Site, func(), error) {
	unlock, err := lock(ctx, site.Name, timeout)
	if err != nil {
		return nil, nil, interrupted(ctx, err)
	}
	now, problems, err := readSite(site.File)
	if err == nil && now.Name != site.Name {
		err = fmt.Errorf("%s became that of site %s while this run waited for the lock of site %s: run it again", site.File, now.Name, site.Name)
	}
	if err != nil {
		unlock()
		p.showProblems(problems)
		return nil, nil, err
	}
	return now, unlock, nil
}

// interrupted says so where a signal is what ended the work.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted; run apply again to go on from here (%w)", err)
	}
	return err
}
