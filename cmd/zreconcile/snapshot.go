package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

type snapshotOptions struct {
	label       string
	hold        bool
	release     string
	lockTimeout time.Duration
}

func newSnapshot(p *program) *cobra.Command {
	var o snapshotOptions
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Take a snapshot of the cluster now",
		Long: `Takes a snapshot now, beside those of the schedule; retention treats it like
them, unless it is held. It can be taken while a restore replays or a drill is at
work. Needs root.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSnapshot(cmd.Context(), p, o) },
	}
	cmd.Flags().StringVar(&o.label, "label", "", "what the snapshot is for; status shows it")
	cmd.Flags().BoolVar(&o.hold, "hold", false, "keep it from retention until it is released")
	cmd.Flags().StringVar(&o.release, "release", "", "take none: release the hold of the snapshot of this name")
	addLockTimeout(cmd, &o.lockTimeout)
	cmd.MarkFlagsMutuallyExclusive("release", "label")
	cmd.MarkFlagsMutuallyExclusive("release", "hold")
	return cmd
}

// snapshotJSON is the result of `snapshot -o json`.
type snapshotJSON struct {
	Format   int                       `json:"format"`
	Site     string                    `json:"site"`
	Snapshot *reconcile.SnapshotStatus `json:"snapshot,omitempty"` // the one that was taken
	Released string                    `json:"released,omitempty"` // the one that retention may remove again
	Held     bool                      `json:"held,omitempty"`     // that one had a hold until now
	Errors   []string                  `json:"errors,omitempty"`
}

func runSnapshot(ctx context.Context, p *program, o snapshotOptions) error {
	out := snapshotJSON{Format: reconcile.Format}
	blank := func(message string) any {
		out.Errors = []string{message}
		return out
	}
	if err := p.needRoot("snapshot"); err != nil {
		return p.fail(err, blank)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blank)
	}
	out.Site = site.Name
	if err := p.snapshotLocked(ctx, site, o, &out); err != nil {
		return p.fail(err, blank)
	}
	if p.json() {
		return writeJSON(p.stdout, out)
	}
	switch {
	case out.Snapshot != nil:
		fmt.Fprintf(p.stdout, "took %s\n", out.Snapshot.Name)
	case out.Held:
		fmt.Fprintf(p.stdout, "released %s: retention may remove it\n", out.Released)
	default:
		fmt.Fprintf(p.stdout, "%s was not held: there is nothing to release\n", out.Released)
	}
	return nil
}

func (p *program) snapshotLocked(ctx context.Context, site *spec.Site, o snapshotOptions, out *snapshotJSON) error {
	h := p.newHost()
	unlock, err := h.LockStandby(ctx, site.Name, o.lockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	if o.release != "" {
		held, err := h.ReleaseSnapshot(ctx, site, o.release)
		if err != nil {
			return err
		}
		out.Released, out.Held = o.release, held
		return nil
	}
	taken, err := h.TakeSnapshot(ctx, site, reconcile.SnapshotOptions{Label: o.label, Hold: o.hold})
	if err != nil {
		return err
	}
	out.Snapshot = &taken
	return nil
}
