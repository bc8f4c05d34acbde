package reconcile

import (
	"errors"
	"os"
	"path/filepath"
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
		"a look into .zfs":      {func(s *State) { mount(s, "zp1/data@zr-20261123T110000Z", "/data/.zfs/snapshot/zr-20261123T110000Z") }, false},
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

// A pool that could not be imported is looked for at once when one of its devices
// comes, or goes; who waits for it has no server.
func TestALightCheckSeesALateDisk(t *testing.T) {
	site := givenSite(t)
	disk := filepath.Join(t.TempDir(), "disk")
	state := converged(t, site)
	state.ZFS.Pool, state.Mounts = nil, nil
	state.Absent = &AbsentPool{Devices: map[string]zfs.Content{disk: {Kind: zfs.Missing}}}
	s := Sight{host: lockingHost(t), site: site, state: state}
	if s.drifted(t.Context()) {
		t.Error("that the disk is still missing is drift")
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !s.drifted(t.Context()) {
		t.Error("the disk that came is no drift")
	}
	state.Absent.Devices[disk] = zfs.Content{Kind: zfs.Label}
	if s.drifted(t.Context()) {
		t.Error("a disk that is there as before is drift")
	}
	if err := os.Remove(disk); err != nil {
		t.Fatal(err)
	}
	if !s.drifted(t.Context()) {
		t.Error("the disk that went is no drift")
	}
}

// So is one that somebody imported, although nothing of it is mounted.
func TestALightCheckSeesAPoolThatWasImported(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.ZFS, state.Mounts, state.Absent = zfs.Inventory{}, nil, &AbsentPool{}
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "other", "ONLINE")
	s := Sight{host: host, site: site, state: state}
	if s.drifted(t.Context()) {
		t.Error("another pool is drift")
	}
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	if !s.drifted(t.Context()) {
		t.Error("the pool that came is no drift")
	}
}

// A pool whose devices are gone is drift, which is told without a look at any of
// its files: that might never come back.
func TestALightCheckOfASuspendedPool(t *testing.T) {
	site := givenSite(t)
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "SUSPENDED")
	s := Sight{host: host, site: site, state: converged(t, site)}
	if !s.drifted(t.Context()) {
		t.Error("it is no drift")
	}
	if now := s.again(t.Context()); now.Cluster.Content != DirCluster || now.Cluster.Process.PID != s.state.Cluster.Process.PID || len(now.Cluster.Files) != len(s.state.Cluster.Files) {
		t.Error("it looked into the data directory, which is not there, and would hang if it were")
	}
}

// An apply that could not see is tried again by growing waits, not by the light
// check.
func TestNoLightCheckOfWhatWasNotSeen(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	state := State{ZFS: zfs.Inventory{Pool: &zfs.Pool{Name: "zp1"}}} // and nothing after it
	s := Sight{host: lockingHost(t), site: givenSite(t), state: state, err: errors.New("zfs list failed")}
	if s.drifted(t.Context()) {
		t.Error("what was not seen has changed")
	}
}
