package reconcile

import (
	"context"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// Sight is what an apply saw last, for those who look in between.
type Sight struct {
	host  *Host
	site  *spec.Site
	state State
}

// Status is the host as of now, without running a program: the standby's server
// is asked, and the archive listed; pool, snapshots and restores are as they were
// seen. Before anything was seen it is blank.
func (s Sight) Status(ctx context.Context, now time.Time) Status {
	if s.host == nil || s.site.Standby == nil {
		return BlankStatus("", "nothing was seen yet")
	}
	state := s.state
	in := &view{site: s.site, state: &state, now: now}
	s.askStandby(ctx, in)
	s.listWAL(in)
	status := s.host.report(ctx, in)
	status.Verdict = Judge(s.site, status, now)
	return status
}

// askStandby asks the standby's server, if it runs.
func (s Sight) askStandby(ctx context.Context, in *view) {
	c := &in.state.Cluster
	if c.Content != DirCluster {
		return
	}
	cluster := s.host.cluster(s.site, in.state.Server.BinDir, c.AdminRole, in.state.Server.User)
	process, err := cluster.Process()
	if err != nil {
		in.state.Failures = append([]Failure{{Kind: kindStandby, Text: err.Error()}}, in.state.Failures...)
		return
	}
	c.Process, c.Status = process, nil
	if !process.Running {
		return
	}
	cluster.Port, cluster.SocketDir = process.Port, process.SocketDir
	if c.AdminRole == "" {
		cluster.Admin.Role = s.site.Standby.AdminRole
	}
	var status postgres.Status
	if status, err = cluster.Status(ctx); err != nil {
		in.state.Failures = append([]Failure{{Kind: kindStandby, Text: err.Error()}}, in.state.Failures...)
		return
	}
	c.Status = &status
}

// listWAL lists archive and live pg_wal anew.
func (s Sight) listWAL(in *view) {
	a := &in.state.Archive
	list := func(dir string, into *wal.Inventory) {
		found, err := wal.List(dir, in.segmentSize())
		if err != nil {
			in.state.Failures = append([]Failure{{Kind: kindWAL, Text: err.Error()}}, in.state.Failures...)
			return
		}
		*into = found
	}
	if s.site.Archive != nil && a.Exists {
		list(s.site.Archive.Dir, &a.Inventory)
	}
	if in.state.Cluster.Content == DirCluster {
		list(in.livePgWAL(), &a.Live)
	}
}
