package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

type ejectOptions struct {
	plan        bool
	check       bool
	lockTimeout time.Duration
}

func newEject(p *program) *cobra.Command {
	var o ejectOptions
	cmd := &cobra.Command{
		Use:   "eject",
		Short: "Leave everything running without zreconcile",
		Long: `The way out: the standby and the restores go on running, and nothing on this
host needs zreconcile any more. Their settings call no program of ours, its marks
(zreconcile:* properties) go, and so does the replication slot, once the standby
streams without it. Nothing is destroyed, and no server is restarted. Archiving
ends, since nothing would remove old WAL any more.

It is refused while a watch of the site runs. An apply of the same file adopts
the standby again. Needs root, but for --plan.

With --check nothing is done and no site file is read: it lists the servers of this
host whose settings call zreconcile, of every site, those that only start at boot
included, and exits 4 when there are any. The Debian package asks so before it is
removed.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.check {
				return runEjectCheck(cmd.Context(), p)
			}
			return runEject(cmd.Context(), p, o)
		},
	}
	cmd.Flags().BoolVar(&o.plan, "plan", false, "only show what would be done")
	cmd.Flags().BoolVar(&o.check, "check", false, "only list the servers of this host that call zreconcile; exit status 4 when there are any")
	cmd.MarkFlagsMutuallyExclusive("plan", "check")
	addLockTimeout(cmd, &o.lockTimeout)
	return cmd
}

func runEject(ctx context.Context, p *program, o ejectOptions) error {
	if !o.plan {
		if err := p.needRoot("eject"); err != nil {
			return p.fail(err, blankPlan(""))
		}
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blankPlan(""))
	}
	if o.plan {
		plan, err := p.newHost().PlanEject(ctx, site)
		if err != nil {
			return p.fail(p.asUser(err), blankPlan(site.Name))
		}
		if err := p.writePlan(site, plan, showEjectPlan); err != nil {
			return err
		}
		return report(planStatus(plan, false))
	}
	told := p.tellChanges(site)
	plan, err := p.ejectLocked(ctx, site, o.lockTimeout)
	if err != nil && len(plan.Changes) == 0 {
		return p.fail(err, blankPlan(site.Name))
	}
	if err != nil { // it ended on the way: what was done until then is told as well
		plan.Failures = append(plan.Failures, err.Error())
	}
	if err := p.writePlan(site, plan, func(v view, plan reconcile.Plan) { showEject(v, plan, told) }); err != nil {
		return err
	}
	return report(applyStatus(plan))
}

func (p *program) ejectLocked(ctx context.Context, site *spec.Site, timeout time.Duration) (reconcile.Plan, error) {
	h := p.newHost()
	site, unlock, err := p.lockSite(ctx, h.Lock, site, timeout)
	if err != nil {
		return reconcile.Plan{}, err
	}
	defer unlock()
	plan, err := h.Eject(ctx, site)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted; run eject again to go on from here (%w)", err)
	}
	return plan, err
}

// showEjectPlan shows what eject would do, and what stays.
func showEjectPlan(v view, p reconcile.Plan) {
	if len(p.Changes) > 0 {
		v.printf("%s\n\n", v.strong("site "+printable(p.Site)+": what eject will do"))
	}
	for _, c := range p.Changes {
		showChange(v, c)
	}
	showNotes(v, p)
	if len(p.Changes) > 0 {
		v.printf("%s\n", v.strong("Plan: "+countActions(p.Summary)+"."))
		return
	}
	showEjected(v, p)
}

// showEject shows what became of each change, but for those that were told
// already, and whether the host is free of zreconcile.
func showEject(v view, p reconcile.Plan, told outcomes) {
	for _, c := range p.Changes {
		if !told.has(c) {
			showOutcome(v, c)
		}
	}
	if len(p.Changes) > 0 {
		v.printf("\n")
	}
	showNotes(v, p)
	if len(p.Changes) > 0 {
		v.printf("%s\n", v.strong("Eject: "+countResults(p.Changes)+"."))
	}
	showEjected(v, p)
}

// showEjected is the verdict.
func showEjected(v view, p reconcile.Plan) {
	if p.Converged && len(p.Failures) == 0 {
		v.printf("%s\n", v.good("site "+printable(p.Site)+": nothing here needs zreconcile any more."))
		return
	}
	v.printf("%s\n", v.bad("site "+printable(p.Site)+": not free of zreconcile yet; run eject again when what is said above is mended."))
}
