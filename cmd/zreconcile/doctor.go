package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func newDoctor(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the host, its tools and the primary, and say how to mend each fault",
		Long: `Checks what a site depends on: the host's memory and rights, ZFS and the pool,
PostgreSQL's programs, the primary (reachable, replication right, version, WAL,
sizes), the standby, and what happens at boot. It changes nothing, and says of
each fault what mends it. Without a site file it checks the host alone. As an
ordinary user it tells what that user may see.

Exits 0 when there is no fault; warnings, and what is unknown for want of a
right, are none. Exits 1 on a fault, also where something can't be reached.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), p) },
	}
}

func runDoctor(ctx context.Context, p *program) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil && !errors.Is(err, errNoSite) {
		return p.fail(err, func(message string) any { return reconcile.NoDiagnosis(message) })
	}
	now := p.clock()
	d := p.newHost().Doctor(ctx, site, now)
	if p.json() {
		if err := writeJSON(p.stdout, d); err != nil {
			return err
		}
	} else {
		showDiagnosis(p.view(cmp.Or(site, &spec.Site{}), now), d)
	}
	if d.Summary.Fault > 0 {
		return report(exitFailed)
	}
	return nil
}
