package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

// What a light check takes for drift, each thing by itself, and what it does not:
// a full look each minute would be no rest.
func TestImpression(t *testing.T) {
	site := givenSite(t)
	base := func() State {
		state := converged(t, site)
		addClone(&state, site, "r1")
		state.Clones = []Clone{{Restore: "r1", Dataset: zfs.Dataset{Name: "zp1/r1"}, Process: postgres.Process{PID: 7, Running: true}}}
		state.Cluster.Status = &postgres.Status{InRecovery: true, PausedState: "not paused", ReceiverState: "streaming"}
		state.Cluster.Files = map[string][]byte{mainFile: []byte("a"), hbaFile: []byte("b")}
		return state
	}
	for name, test := range map[string]struct {
		spoil func(*State)
		drift bool
	}{
		"nothing":               {func(*State) {}, false},
		"a property":            {func(s *State) { change(s, "zp1/data", local("recordsize", "16384")) }, true},
		"a property's source":   {func(s *State) { change(s, "zp1/data", inherited("zp1", "recordsize", "8192")) }, true},
		"a dataset is gone":     {func(s *State) { dataset(s, "zp1/wal").Properties = nil }, true},
		"an unmounted dataset":  {func(s *State) { unmount(s, "zp1/data") }, true},
		"another pool's mount":  {func(s *State) { mount(s, "zp10/x", "/x") }, false},
		"the pool's health":     {func(s *State) { p := *s.ZFS.Pool; p.Health = "DEGRADED"; s.ZFS.Pool = &p }, true},
		"the standby is gone":   {func(s *State) { s.Cluster.Process = postgres.Process{} }, true},
		"it was restarted":      {func(s *State) { s.Cluster.Process.PID++ }, true},
		"it was promoted":       {func(s *State) { s.Cluster.Standby = false }, true},
		"replay is paused":      {func(s *State) { s.Cluster.Status.PausedState = "paused" }, true},
		"the primary is gone":   {func(s *State) { s.Cluster.Status.ReceiverState = "" }, true},
		"a setting waits":       {func(s *State) { s.Cluster.Status.PendingRestart = []string{"max_connections"} }, true},
		"a file of the standby": {func(s *State) { s.Cluster.Files[hbaFile] = []byte("c") }, true},
		"the password":          {func(s *State) { s.Cluster.Passfile = []byte("x") }, true},
		"a new zreconcile":      {func(s *State) { s.Cluster.Program.Size++ }, true},
		"the restore is gone":   {func(s *State) { s.Clones[0].Process = postgres.Process{} }, true},
		"a file of the restore": {func(s *State) { s.Clones[0].Files = map[string][]byte{mainFile: nil} }, true},
		"WAL came in": {func(s *State) {
			s.Cluster.Status.Received++
			s.Cluster.Status.Replayed++
			s.Archive.Inventory.Segments = nil
		}, false},
		"space was used":          {func(s *State) { dataset(s, "zp1/data").Used++ }, false},
		"somebody took snapshots": {func(s *State) { addStranger(s, "zp1/data", "x", nil) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := base()
			test.spoil(&state)
			if drift := impression(site, state) != impression(site, base()); drift != test.drift {
				t.Errorf("drift is %v", drift)
			}
		})
	}
}
