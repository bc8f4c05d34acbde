package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

type verifyOptions struct {
	reconcile.VerifyOptions
	lockTimeout time.Duration
}

func newVerify(p *program) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify [SNAPSHOT]",
		Short: "Make a restore drill of a snapshot now",
		Long: `Restores a snapshot, the newest unless one is named, into a clone that nobody
else can reach, promotes the clone, makes the checks of the file's section verify
(without one: amcheck and checksums), stamps the outcome on the snapshot and
destroys the clone. Needs root.

` + exitHelp,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Snapshot = args[0]
			}
			return runVerify(cmd.Context(), p, o)
		},
	}
	cmd.Flags().BoolVar(&o.KeepFailed, "keep-failed", false, "leave the clone of a failed drill for inspection; the next drill destroys it")
	addLockTimeout(cmd, &o.lockTimeout)
	return cmd
}

// verifyJSON is the result of `verify -o json`.
type verifyJSON struct {
	Format   int                  `json:"format"`
	Site     string               `json:"site"`
	Snapshot string               `json:"snapshot"`
	OK       bool                 `json:"ok"`
	At       *reconcile.Time      `json:"at"` // null: there is no outcome
	Checks   []reconcile.Check    `json:"checks"`
	Kept     *reconcile.KeptDrill `json:"kept,omitempty"`
	Errors   []string             `json:"errors"`
}

func runVerify(ctx context.Context, p *program, o verifyOptions) error {
	out := verifyJSON{Format: reconcile.Format, Checks: []reconcile.Check{}, Errors: []string{}}
	blank := func(message string) any {
		out.Errors = []string{message}
		return out
	}
	if err := p.needRoot("verify"); err != nil {
		return p.fail(err, blank)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blank)
	}
	out.Site = site.Name
	d, err := p.verifyLocked(ctx, site, o)
	if !d.At.IsZero() { // an outcome, also where its clone could not be destroyed
		out.Snapshot, out.OK, out.At, out.Checks, out.Kept = d.Snapshot, d.OK, &d.At, d.Checks, d.Kept
	}
	if err != nil {
		return p.fail(err, blank)
	}
	if p.json() {
		err = writeJSON(p.stdout, out)
	} else {
		stdout := &checked{Writer: p.stdout}
		v := p.view(site, p.clock())
		v.w = stdout
		showDrill(v, d, siteLogin(site))
		err = stdout.err
	}
	if err == nil && !d.OK {
		return report(exitFailed)
	}
	return err
}

func (p *program) verifyLocked(ctx context.Context, site *spec.Site, o verifyOptions) (reconcile.Drill, error) {
	h := p.newHost()
	site, unlock, err := p.lockSite(ctx, h.Lock, site, o.lockTimeout)
	if err != nil {
		return reconcile.Drill{}, err
	}
	defer unlock()
	d, err := h.Verify(ctx, site, o.VerifyOptions)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("interrupted, before there was an outcome (%w)", err)
	}
	return d, err
}
