package reconcile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
)

// promoted is true of a standby that somebody made a primary: it is never
// restarted and never rewound, and retention and WAL removal pause.
func (in *view) promoted() bool {
	c := in.state.Cluster
	if c.Content != DirCluster {
		return false
	}
	if c.Status != nil {
		return !c.Status.InRecovery
	}
	// A fresh copy of a primary says "in production", and has a backup_label.
	return c.Control != nil && !c.Control.InRecovery() && !c.BackupLabel
}

// diffStandby wants the server up, in recovery, with all its settings in force.
func diffStandby(in *view) []Change {
	s := in.site.Standby
	if s == nil || in.state.failed(kindStandby) {
		return nil
	}
	cluster := in.state.Cluster
	c := Change{Name: confName}.at(s.Pos)
	switch {
	case in.promoted():
		return []Change{c.block(fmt.Sprintf("the server of %s is no standby any more: somebody promoted it, or it never was one; it is left as it is, and retention and WAL removal pause", s.DataDir),
			fmt.Sprintf("if it is the primary now, take the site out of use; if it shall follow again, stop it and move it aside (%s), and a new copy is made", in.moveAside("promoted")))}
	case cluster.Process.Running:
		return runningStandby(in, c)
	}
	if f, off := in.forkedOff(); off {
		return []Change{in.cannotStart(c, f)}
	}
	if who := in.state.Ports[s.Port]; who != "" {
		return []Change{c.block(fmt.Sprintf("port %d, which the standby should have, is in use by %s", s.Port, who), "choose another standby.port, or stop that program")}
	}
	c.Action, c.Why = Start, "the standby does not run"
	if cluster.Content != DirCluster {
		c.Why = "the standby will be started on the new copy"
	}
	c.Attrs = []Attr{{Name: "port", After: fmt.Sprint(s.Port)}, {Name: "dataDir", After: s.DataDir}}
	return []Change{c}
}

// runningStandby is about one that is up.
func runningStandby(in *view, c Change) []Change {
	if outside := in.state.Cluster.OutsideConf; outside != "" && in.site.Standby.Restart != "never" {
		c.Action, c.Why = Update, "it reads another configuration than that of its data directory"
		c.Attrs = []Attr{{Name: "restart", Before: "reads " + outside, After: "reads " + filepath.Join(in.site.Standby.DataDir, mainFile)}}
		return []Change{c}
	}
	status := in.state.Cluster.Status
	if status == nil {
		return nil
	}
	if in.state.Cluster.LostWAL != "" && !status.Connected() {
		return []Change{c.block("the standby can't follow the primary any more: "+in.state.Cluster.LostWAL, in.copyAnew())}
	}
	if f, off := in.forkedOff(); off {
		return []Change{in.cannotStart(c, f)}
	}
	c.Action = Update
	if in.state.Cluster.UnitDiffers {
		c.Why = "its unit is not installed as it should be"
		c.Attrs = append(c.Attrs, Attr{Name: "unit", After: unitName(in.site.Name, "")})
	}
	if len(status.PendingRestart) > 0 && in.site.Standby.Restart != "never" {
		c.Why = "settings wait for a restart"
		pending := append([]string{}, status.PendingRestart...)
		sort.Strings(pending)
		c.Attrs = append(c.Attrs, Attr{Name: "restart", Before: "pending: " + strings.Join(pending, ", "), After: "in force"})
	}
	if len(c.Attrs) == 0 {
		return nil
	}
	return []Change{c}
}

// copyAnew tells a person how to have the primary copied anew.
func (in *view) copyAnew() string {
	stop := ""
	if in.state.Cluster.Process.Running {
		stop = fmt.Sprintf("stop it (%s/pg_ctl -D %s stop) and ", in.state.Server.BinDir, in.site.Standby.DataDir)
	}
	return fmt.Sprintf("its snapshots stay usable; to copy the primary anew, %smove it aside (%s)", stop, in.moveAside("old"))
}

// moveAside are the commands that make room for a new copy, tablespaces included.
func (in *view) moveAside(suffix string) string {
	var commands []string
	for _, dir := range clusterDirs(in) {
		commands = append(commands, fmt.Sprintf("mv %s %s.%s", dir, dir, suffix))
	}
	return strings.Join(commands, "; ")
}

// standbyScore makes the kernel spare the standby when memory runs out.
const standbyScore = -500

const startTimeout = 10 * time.Minute // a standby replays to consistency first

func applyStandby(ctx context.Context, h *Host, in *view, c Change) error {
	if c.Action == Update {
		return h.updateStandby(ctx, in)
	}
	if _, err := h.ensureSlot(ctx, in); err != nil {
		h.Log.Warn("the replication slot could not be made; the standby starts all the same", "slot", in.site.Standby.Primary.Slot, "error", err)
	}
	server, err := standbyServer(h, in)
	if err != nil {
		return err
	}
	if err := h.startServer(ctx, server); err != nil {
		return err
	}
	if err := h.settleAdmin(ctx, in); err != nil {
		return err
	}
	return h.awaitConnected(ctx, in)
}

// connectDeadline is how long a started standby gets to reach its primary. One
// that is down is no failure of the start.
const connectDeadline = 10 * time.Second

func (h *Host) awaitConnected(ctx context.Context, in *view) error {
	for until := h.Clock().Add(connectDeadline); h.Clock().Before(until); {
		next, err := h.look(ctx, in.site)
		if err != nil {
			return err
		}
		if s := next.state.Cluster.Status; s != nil && s.Connected() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	h.Log.Warn("the standby runs, and is not connected to its primary", "log", h.logFile(in.site, "standby"))
	return nil
}

// updateStandby installs the unit anew, which touches no server, and restarts
// where settings wait for it.
func (h *Host) updateStandby(ctx context.Context, in *view) error {
	server, err := standbyServer(h, in)
	if err != nil {
		return err
	}
	if _, err := server.service.Install(ctx); err != nil {
		return err
	}
	if in.state.Cluster.OutsideConf != "" {
		if err := h.restartStandby(ctx, in, []string{mainFile}); err != nil {
			return err
		}
		return h.settleAdmin(ctx, in)
	}
	if pending := in.state.Cluster.Status.PendingRestart; len(pending) > 0 && in.site.Standby.Restart != "never" {
		return h.restartStandby(ctx, in, pending)
	}
	return nil
}

func (h *Host) restartStandby(ctx context.Context, in *view, pending []string) error {
	h.Log.Info("restarting the standby", "for", pending)
	server, err := standbyServer(h, in)
	if err != nil {
		return err
	}
	if err := server.service.Stop(ctx); err != nil {
		return err
	}
	return h.startServer(ctx, server)
}

// server is one PostgreSQL server of the site: the standby or a clone.
type server struct {
	cluster *postgres.Cluster
	service postgres.Service
	// socketMode is for a folder that must be made: a clone's is private.
	socketMode os.FileMode
}

func standbyServer(h *Host, in *view) (server, error) {
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	service, err := cluster.Service(postgres.ServiceOptions{
		Supervisor: in.site.Standby.Supervisor, Unit: unitName(in.site.Name, ""), Enable: true, Restart: true,
		Description:       "PostgreSQL standby of the zreconcile site " + in.site.Name,
		RequiresMountsFor: clusterDirs(in), SocketMode: 0o755,
		Start: postgres.StartOptions{Timeout: startTimeout, OOMScoreAdj: standbyScore},
	})
	return server{cluster: cluster, service: service, socketMode: 0o755}, err
}

// unitName is the systemd unit of a server: the standby's, or a restore's. No name
// of a site or restore holds an @, so that the restore eu of the site prod is never
// taken for the standby of the site prod-eu.
func unitName(site, restore string) string {
	if restore != "" {
		site += "@" + restore
	}
	return "zreconcile-" + site + ".service"
}

// startServer makes the socket's folder, which a reboot takes away, and starts.
func (h *Host) startServer(ctx context.Context, s server) error {
	if err := postgres.MakeSocketDir(s.cluster.SocketDir, s.cluster.User, s.socketMode); err != nil {
		return err
	}
	if _, err := s.service.Install(ctx); err != nil {
		return err
	}
	return s.service.Start(ctx)
}

// settleAdmin finds the bootstrap superuser where the file names no role, and
// lets it in: what follows needs its rights.
func (h *Host) settleAdmin(ctx context.Context, in *view) error {
	state, err := h.Observe(ctx, in.site, in.now)
	if err != nil {
		return err
	}
	fresh := &view{site: in.site, state: &state, now: in.now, only: in.only}
	if fresh.adminRole() == state.Cluster.AdminRole {
		return nil
	}
	return applyConf(ctx, h, fresh, Change{})
}
