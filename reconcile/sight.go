package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Sight is what an apply saw last, for those who look in between.
type Sight struct {
	host  *Host
	site  *spec.Site
	state State
	err   error  // why it could not see; then the state is not to be relied on
	slot  *int64 // WAL that the primary keeps for the slot, in bytes; nil is not known
}

// sight keeps what an apply saw. What needs the primary is asked now: who looks
// later must not wait for one that is gone.
func (h *Host) sight(ctx context.Context, site *spec.Site, state State, err error) Sight {
	s := Sight{host: h, site: site, state: state, err: err}
	if err == nil {
		s.slot = h.slotRetained(ctx, &view{site: site, state: &state, now: state.At})
	}
	return s
}

// Status is the host as of now, without running a program: the standby's server
// is asked, and the archive listed; pool, snapshots, restores and the slot are as
// they were seen. Where nothing was seen it is blank, and says why.
//
// Of a pool that is suspended by now it says only that.
func (s Sight) Status(ctx context.Context, now time.Time) Status {
	switch {
	case s.host == nil:
		return BlankStatus("", "nothing was seen yet")
	case isKind(s.err, zfs.ErrSuspended):
		return suspendedStatus(s.site, s.state.ZFS.Pool, now, s.err)
	case s.host.suspended(s.site.Pool.Name):
		return s.suspended(now)
	case s.err != nil:
		return BlankStatus(s.site.Name, s.err.Error())
	}
	status, came := unlessSuspended(s.host, s.site.Pool.Name, func() Status { return s.asOf(ctx, now) })
	if !came {
		return s.suspended(now)
	}
	return status
}

func (s Sight) suspended(now time.Time) Status {
	return suspendedStatus(s.site, s.state.ZFS.Pool, now,
		fmt.Errorf("pool %s: %w: nothing on it can be looked at; bring its devices back, then run: zpool clear %s", s.site.Pool.Name, zfs.ErrSuspended, s.site.Pool.Name))
}

// asOf looks anew at what can be seen without a program.
func (s Sight) asOf(ctx context.Context, now time.Time) Status {
	state := s.state
	state.Failures = slices.Clip(state.Failures) // what follows changes its own copy alone
	if c := &state.Cluster; c.Status != nil {
		status := *c.Status
		c.Status = &status
	}
	in := &view{site: s.site, state: &state, now: now}
	s.askStandby(ctx, in)
	s.host.observeTimeline(ctx, in) // of which the server alone may know an older one
	s.listWAL(in)
	status := s.host.report(ctx, in)
	status.Standby.SlotRetainedBytes = s.slot
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
	if in.state.Cluster.Content == DirCluster { // first: WAL goes from there to the archive
		list(in.livePgWAL(), &a.Live)
	}
	if s.site.Archive != nil && a.Exists {
		list(s.site.Archive.Dir, &a.Inventory)
	}
}
