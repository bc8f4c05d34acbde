package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/zreconcile/zreconcile/reconcile"
)

type watchOptions struct {
	lockTimeout time.Duration
	metrics     string // address to serve on; "" serves nothing
}

func newWatch(p *program) *cobra.Command {
	var o watchOptions
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Stay, and keep the host as the site file says",
		Long: `Applies at start, when the file changes, at each due moment, on drift and on
SIGHUP. Whether the servers run is looked at each minute, and the whole host each
hour. A broken file is reported, and the last good one stays in force. While a
restore replays or a drill is at work, which may take hours, snapshots go on and
the standby is looked after. SIGTERM ends it and leaves the standby and the
restores running. Under systemd it is a service of Type=notify. With -o json it
writes one plan a line. Needs root.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWatch(cmd.Context(), p, o) },
	}
	cmd.Flags().StringVar(&o.metrics, "metrics", "", "serve /metrics for Prometheus, /healthz and /readyz on `ADDR`, such as :19187 (of localhost unless a host is named)")
	addLockTimeout(cmd, &o.lockTimeout)
	return cmd
}

func runWatch(ctx context.Context, p *program, o watchOptions) error {
	if err := p.needRoot("watch"); err != nil {
		return err
	}
	path, err := p.siteFile()
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil { // events name files by their folder
		return err
	}
	if err := keepToSmallPages(); err != nil {
		p.log.Debug("transparent huge pages are not off: more memory may be resident", "error", err)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	ends := context.AfterFunc(ctx, func() { _ = notifySystemd(daemon.SdNotifyStopping) }) // while it still winds up
	defer ends()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	life := &reconcile.Life{}
	go p.pingWatchdog(ctx, life)
	onRound, err := p.serveMetrics(ctx, o.metrics, life)
	if err != nil {
		return err
	}

	told := newTold(p.log, p.clock)
	p.onChange = told.change
	watched := &watchedSite{path: path, read: readSite, show: p.showProblems, log: p.log}
	err = p.newHost().Watch(ctx, reconcile.WatchOptions{
		Load:        watched.reload,
		Paths:       watched.paths,
		Concerns:    watched.concerns,
		LockTimeout: o.lockTimeout,
		Notify:      notifySystemd,
		OnPlan:      func(plan reconcile.Plan) { p.tellPlan(told, plan) },
		OnRound:     told.rounds((&verdicts{log: p.log, clock: p.clock}).rounds(onRound)),
		Reload:      reload,
		Life:        life,
	})
	if ctx.Err() != nil {
		return nil // SIGTERM is how watch is meant to end
	}
	return err
}

// tellPlan tells of one round of the watch: a line of JSON for programs; for a
// person, what the log does not have already from the changes themselves.
func (p *program) tellPlan(told *told, plan reconcile.Plan) {
	p.progress.finish()
	if p.json() {
		if err := json.NewEncoder(p.stdout).Encode(plan); err != nil {
			p.log.Error("writing the plan", "error", err)
		}
		return
	}
	told.plan(plan)
}

// notifySystemd passes a state on to systemd (sd_notify(3)); elsewhere it does
// nothing. RELOADING=1 must carry the time for Type=notify-reload.
func notifySystemd(state string) error {
	if strings.Contains(state, daemon.SdNotifyReloading) && !strings.Contains(state, "MONOTONIC_USEC=") {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return fmt.Errorf("reading the monotonic clock: %w", err)
		}
		state += fmt.Sprintf("\nMONOTONIC_USEC=%d", now.Nano()/1000)
	}
	_, err := daemon.SdNotify(false, state)
	return err
}

// pingWatchdog tells systemd twice in each WatchdogSec that we are alive
// (sd_watchdog_enabled(3)), a base backup of hours included; a watch that hangs
// at rest is not.
func (p *program) pingWatchdog(ctx context.Context, life *reconcile.Life) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !life.Well(now) {
				p.log.Error("the watch hangs; systemd will start it again")
				continue
			}
			if err := notifySystemd(daemon.SdNotifyWatchdog); err != nil {
				p.log.Warn("the watchdog of systemd could not be reached", "error", err)
			}
		}
	}
}
