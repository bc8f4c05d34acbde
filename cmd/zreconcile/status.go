package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func newStatus(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show standby, lag, archive, snapshots, what can be restored, and restores",
		Long: `Shows the host as it is: the standby and its lag, the archive and its gaps, each
snapshot with the rule that keeps it, the moments that can be restored, and the
restores with how to connect. Exits 0 whenever the host could be observed.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), p) },
	}
}

func runStatus(ctx context.Context, p *program) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blankStatus(""))
	}
	now := p.clock()
	status, err := p.newHost().Status(ctx, site, now)
	if err != nil {
		return p.fail(p.asUser(err), blankStatus(site.Name))
	}
	if p.json() {
		if err := writeJSON(p.stdout, status); err != nil {
			return err
		}
	} else {
		showStatus(p.view(site, now), status, siteLogin(site))
	}
	if len(status.Failures) > 0 {
		return report(exitFailed)
	}
	return nil
}

// siteLogin is who connects to the standby and its restores: the admin of the
// file, or else the role that initdb names after its user.
func siteLogin(site *spec.Site) login {
	if site.Standby == nil {
		return login{}
	}
	return login{role: cmp.Or(site.Standby.AdminRole, site.Standby.OSUser), database: site.Standby.AdminDatabase}
}

// blankStatus is the JSON of a host that could not be observed.
func blankStatus(site string) func(message string) any {
	return func(message string) any { return reconcile.BlankStatus(site, message) }
}
