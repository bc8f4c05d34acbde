package main

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func newStatus(p *program) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether all is well, lag, what can be restored, standby, restores, snapshots and archive",
		Long: `Shows the host as it is: first whether all is well, by the section health of the
file, how far the standby is behind, and what runs; then the moments that can be
restored, the standby, the restores with how to connect and how to bring a table
back to the primary, each snapshot with the rule that keeps it, the archive and
its gaps, and the pool. Exits 0 whenever the host could be observed.

-o html writes the same as one page, with the timeline as a picture. It needs no
other file and no network, and can be sent to a colleague or printed.

--check says on one line whether all is well, with performance data, as plugins
of Nagios, Icinga and their like do.

` + exitHelp + `

` + checkHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case check && p.html():
				return usageError{errors.New("--check is one line, of text or json")}
			case check:
				return runCheck(cmd.Context(), p)
			}
			return runStatus(cmd.Context(), p)
		},
	}
	addChoice(cmd, cmd.Flags(), &p.output, "output", "o", outputUsage+"; html is one page that needs nothing else", "text", "json", "html")
	cmd.Flags().BoolVar(&check, "check", false, "say on one line, and by the exit status, whether all is well")
	return cmd
}

func runStatus(ctx context.Context, p *program) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.failStatus(err, &spec.Site{Timezone: time.UTC})
	}
	now := p.clock()
	status, err := p.newHost().Status(ctx, site, now)
	if err != nil {
		return p.failStatus(p.asUser(err), site)
	}
	switch v := p.view(site, now); {
	case p.json():
		err = writeJSON(p.stdout, status)
	case p.html():
		err = writeStatusPage(p.stdout, v, status, siteLogin(site))
	default:
		showStatus(v, status, siteLogin(site))
	}
	if err != nil {
		return err
	}
	if len(status.Failures) > 0 {
		return report(exitFailed)
	}
	return nil
}

// failStatus ends a run with an error that left nothing to see. Who reads a page
// or JSON gets it there, too.
func (p *program) failStatus(err error, site *spec.Site) error {
	if !p.html() {
		return p.fail(err, blankStatus(site.Name))
	}
	blank := reconcile.BlankStatus(site.Name, err.Error())
	var invalid *invalidError
	if errors.As(err, &invalid) {
		blank.Failures = nil
		for _, problem := range invalid.problems.Errors() {
			blank.Failures = append(blank.Failures, problemLine(problem))
		}
	}
	return errors.Join(err, writeStatusPage(p.stdout, p.view(site, p.clock()), blank, login{}))
}

// siteLogin is who connects to the standby and its restores: the admin of the
// file, or else the role that initdb names after its user.
func siteLogin(site *spec.Site) login {
	if site.Standby == nil {
		return login{}
	}
	return login{
		role: cmp.Or(site.Standby.AdminRole, site.Standby.OSUser), database: site.Standby.AdminDatabase,
		primary: primaryOf(site.Standby.Primary),
	}
}

// primaryOf is how a person reaches the primary: as the standby does, but for
// who connects. Of several hosts it is the one that can be written to.
func primaryOf(p spec.Primary) string {
	words := []string{"host=" + conninfoValue(strings.Join(p.Hosts, ",")), "port=" + strconv.Itoa(p.Port)}
	if len(p.Hosts) > 1 {
		words = append(words, "target_session_attrs=read-write")
	}
	words = append(words, "sslmode="+conninfoValue(p.SSLMode))
	if p.SSLRootCert != "" {
		words = append(words, "sslrootcert="+conninfoValue(p.SSLRootCert))
	}
	return strings.Join(words, " ")
}

// blankStatus is the JSON of a host that could not be observed.
func blankStatus(site string) func(message string) any {
	return func(message string) any { return reconcile.BlankStatus(site, message) }
}
