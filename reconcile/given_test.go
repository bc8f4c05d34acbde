package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// The host of the tests below: a site file, what its edits make of it, and the
// state that fulfils it, which each case then spoils.

const givenFile = `version: 1
site: s1
pool:
  name: zp1
  vdevs:
    - devices: [/dev/disk/by-id/virtio-data]
  properties: {ashift: 13}
  rootProperties: {canmount: off}
datasets:
  - name: data
    properties:
      mountpoint: /data
      recordsize: 8K
      atime: off
  - name: wal
    properties: {mountpoint: /arch, compression: on}
standby:
  dataDir: /data/pg
  port: 1922
  primary: {host: db, port: 5432, user: replicator}
archive:
  dir: /arch/wal
snapshots:
  every: 1h
  retention: {last: 2}
`

const (
	givenSystem  = 7123456789012345678
	givenSegment = 16 << 20
	foreignID    = "42"
)

// givenNow is the moment of all plans below.
var givenNow = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// ago is a moment before it.
func ago(d time.Duration) time.Time { return givenNow.Add(-d) }

// givenSite reads the file, with each old text of the edits replaced by the new
// one that follows it.
func givenSite(t testing.TB, edits ...string) *spec.Site {
	t.Helper()
	text := givenFile
	for i := 0; i+1 < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("the file does not hold %q", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	site, problems := spec.Parse(map[string][]byte{"site.yaml": []byte(text)}, "site.yaml")
	if len(problems.Errors()) > 0 {
		t.Fatalf("the file is not valid: %v", problems.Errors())
	}
	return site
}

// lsn is the beginning of a segment.
func lsn(segment int) wal.LSN { return wal.LSN(segment) * givenSegment }

// segments are those of a timeline, first and last included.
func segments(timeline wal.Timeline, first, last int) []wal.SegmentFile {
	var list []wal.SegmentFile
	for n := first; n <= last; n++ {
		list = append(list, wal.SegmentFile{Segment: wal.Segment{Timeline: timeline, Number: uint64(n)}, Size: givenSegment})
	}
	return list
}

// local are properties that were set on the very thing.
func local(pairs ...string) map[string]zfs.Value {
	m := map[string]zfs.Value{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = zfs.Value{Value: pairs[i+1], Source: "local"}
	}
	return m
}

func inherited(from string, pairs ...string) map[string]zfs.Value {
	m := local(pairs...)
	for name, v := range m {
		m[name] = zfs.Value{Value: v.Value, Source: "inherited", From: from}
	}
	return m
}

// bareHost is one with an empty disk, PostgreSQL, and a primary that answers.
func bareHost(site *spec.Site) State {
	state := State{At: givenNow, Absent: &AbsentPool{Devices: map[string]zfs.Content{}}, Tools: zfs.Abilities{SnapshotMany: true},
		Mounts: []zfs.Mount{{Source: "/dev/vda1", Target: "/", FSType: "ext4", Device: "254:1"}},
		Server: givenServer(), Paths: Paths{Helper: "/var/lib/zreconcile/s1/zreconcile", Sockets: "/run/zreconcile/s1"},
		Primary: &Primary{PrimaryInfo: postgres.PrimaryInfo{SystemID: givenSystem, Timeline: 1, Major: 15, SegmentSize: givenSegment, BootstrapRole: "postgres"},
			PrimarySizes: postgres.PrimarySizes{Size: 1 << 30}},
		Cluster: Cluster{Program: FileID{Size: 9}}, Resolved: map[string]Resolution{}, Occupied: map[string][]string{}, Ports: map[int]string{}}
	for _, v := range site.Pool.Vdevs {
		for _, d := range v.Devices {
			state.Absent.Devices[d] = zfs.Content{Kind: zfs.Empty}
		}
	}
	return state
}

func givenServer() Server {
	return Server{BinDir: "/usr/lib/postgresql/15/bin", Major: 15, User: postgres.OSUser{Name: "postgres", UID: 70, GID: 70}}
}

// emptyPool is a host with pool and datasets, mounted, and no cluster.
func emptyPool(site *spec.Site) State {
	state := bareHost(site)
	state.Absent = nil
	pool := &zfs.Pool{Name: site.Pool.Name, GUID: "1", Health: "ONLINE", Size: 100 << 30, Free: 50 << 30, Properties: map[string]zfs.Value{}}
	for _, p := range site.Pool.Properties {
		pool.Properties[p.Name] = zfs.Value{Value: text(p.Value), Source: "local"}
	}
	for _, v := range site.Pool.Vdevs {
		pool.Vdevs = append(pool.Vdevs, foundVdevs(v)...)
	}
	state.ZFS.Pool = pool
	addDataset(&state, site.Pool.Name, site.Pool.RootProperties)
	for _, d := range site.Datasets {
		addDataset(&state, d.Name, d.Properties)
		change(&state, d.Name, local(markSite, site.Name, markFormat, marksFormat))
		if m, ok := wantedMountpoint(site, d); ok && !neverMounted(d) {
			mount(&state, d.Name, m)
		}
	}
	return state
}

// foundVdevs is a vdev of the file as zpool status shows it.
func foundVdevs(v spec.Vdev) []zfs.Vdev {
	var leaves []zfs.Device
	var stripes []zfs.Vdev
	for _, d := range v.Devices {
		leaves = append(leaves, zfs.Device{Path: d, State: "ONLINE"})
		stripes = append(stripes, zfs.Vdev{Class: v.Class, Name: d, State: "ONLINE", Devices: leaves[len(leaves)-1:]})
	}
	if v.Type == "" {
		return stripes
	}
	return []zfs.Vdev{{Type: v.Type, Class: v.Class, Name: v.Type + "-0", State: "ONLINE", Devices: leaves}}
}

// addDataset puts in a file system with exact values, as zfs get -p shows them.
func addDataset(state *State, name string, properties []spec.Property) {
	d := zfs.Dataset{Name: name, Type: "filesystem", GUID: fmt.Sprint(100 + len(state.ZFS.Datasets)), Mountpoint: "/" + name,
		Available: 50 << 30, Properties: map[string]zfs.Value{"canmount": {Value: "on", Source: "default"}}}
	for _, p := range properties {
		if p.Value == nil {
			d.Properties[p.Name] = zfs.Value{Value: "x", Source: "default"}
			continue
		}
		value := *p.Value
		if n, err := zfs.ParseSize(value); err == nil {
			value = fmt.Sprint(n)
		}
		d.Properties[p.Name] = zfs.Value{Value: value, Source: "local"}
		if p.Name == "mountpoint" {
			d.Mountpoint = value
		}
	}
	state.ZFS.Datasets = append(state.ZFS.Datasets, d)
	slices.SortFunc(state.ZFS.Datasets, func(a, b zfs.Dataset) int { return strings.Compare(a.Name, b.Name) })
}

// dataset is where a dataset of the state stands.
func dataset(state *State, name string) *zfs.Dataset {
	for i := range state.ZFS.Datasets {
		if state.ZFS.Datasets[i].Name == name {
			return &state.ZFS.Datasets[i]
		}
	}
	panic("no dataset " + name)
}

// change overlays properties of a dataset.
func change(state *State, name string, properties map[string]zfs.Value) {
	d := dataset(state, name)
	for k, v := range properties {
		d.Properties[k] = v
		if k == "mountpoint" {
			d.Mountpoint = v.Value
		}
	}
}

func mount(state *State, source, target string) {
	state.Mounts = append(state.Mounts, zfs.Mount{Source: source, Target: target, FSType: "zfs"})
	for i := range state.ZFS.Datasets {
		if state.ZFS.Datasets[i].Name == source {
			state.ZFS.Datasets[i].Mounted = true
		}
	}
}

func unmount(state *State, source string) {
	state.Mounts = slices.DeleteFunc(state.Mounts, func(m zfs.Mount) bool { return m.Source == source })
	dataset(state, source).Mounted = false
}

// copied is a host on which the base backup has just been made.
func copied(site *spec.Site) State {
	state := emptyPool(site)
	state.Primary = nil
	c := &state.Cluster
	p, _ := placeOf(site, &state, site.Standby.DataDir)
	c.Dataset, c.Mounted, c.Content = p.Dataset, true, DirCluster
	c.Control = &postgres.ControlData{SystemID: givenSystem, State: "in archive recovery", Timeline: 1, RedoLSN: lsn(100), MinRecoveryPoint: lsn(101),
		MinRecoveryTimeline: 1, SegmentSize: givenSegment, MaxConnections: 100, MaxWorkerProcesses: 8, MaxWALSenders: 10, MaxLocksPerXact: 64}
	c.Files = map[string][]byte{mainFile: []byte("max_connections = 100\n"), autoFile: []byte("# written by ALTER SYSTEM\n"), hbaFile: []byte("host all all all scram-sha-256\n"), identFile: []byte("")}
	c.Bootstrap = "postgres"
	return state
}

// converged is a host that fulfils the site: its standby runs, and the last
// snapshot is half an hour old.
func converged(t testing.TB, site *spec.Site) State {
	t.Helper()
	state := copied(site)
	c := &state.Cluster
	c.Standby, c.Helper, c.AdminRole = true, c.Program, "postgres"
	c.Process = postgres.Process{PID: 7, Running: true, Port: site.Standby.Port, SocketDir: site.Standby.SocketDir, DataDir: site.Standby.DataDir}
	commit, contact := ago(time.Minute), ago(time.Second)
	c.Status = &postgres.Status{InRecovery: true, SystemID: givenSystem, Timeline: 1, Received: lsn(110), Replayed: lsn(110), ReplayedCommitAt: &commit,
		ReceiverState: "streaming", ReceiverLatestEnd: lsn(110), PrimaryTime: &contact, LastMsgReceiptAt: &contact, ConfLoadedAt: givenNow}
	if a := site.Archive; a != nil {
		p, _ := placeOf(site, &state, a.Dir)
		state.Archive = Archive{Dataset: p.Dataset, Mounted: true, Exists: true, OwnedBy: state.Server.User.UID, Mode: archiveMode,
			SystemID: givenSystem, SegmentSize: givenSegment, Inventory: wal.Inventory{Segments: segments(1, 90, 109)}, Path: wal.PathOf(1, nil)}
	}
	if site.Snapshots != nil {
		addSnapshot(&state, site, ago(30*time.Minute), 90)
	}
	if site.Verify != nil {
		drilled(&state, ago(20*time.Minute), verdictOK)
	}
	w, err := wantedConf(&view{site: site, state: &state, now: givenNow})
	if err != nil {
		t.Fatal(err)
	}
	delete(w.files, signalFile)
	c.Files = w.files
	return state
}

// addSnapshot puts in a complete one of this site, on all datasets of the
// cluster, whose redo is at the beginning of a segment and that is consistent
// at the beginning of the next. It returns the name.
func addSnapshot(state *State, site *spec.Site, at time.Time, redo int) string {
	name := snapshotName(site.Snapshots.Prefix, at)
	txg := uint64(at.Unix())
	for _, p := range clusterDatasets(site, state) {
		state.ZFS.Snapshots = append(state.ZFS.Snapshots, zfs.Snapshot{Dataset: p.Dataset, Name: name, GUID: fmt.Sprintf("%s-%d", p.Dataset, txg), CreateTXG: txg,
			Creation: at, Properties: local(markSite, site.Name, markFormat, marksFormat, markSystemID, fmt.Sprint(uint64(givenSystem)), markTimeline, "1",
				markRedo, lsn(redo).String(), markReplayed, lsn(redo+1).String(), markTakenAt, FormatTime(at), markConsistent, lsn(redo+1).String(),
				markEarliestAt, FormatTime(at.Add(-time.Second)))})
	}
	slices.SortStableFunc(state.ZFS.Snapshots, func(a, b zfs.Snapshot) int { return int(a.CreateTXG) - int(b.CreateTXG) })
	return name
}

// snapshot is where a snapshot of the data directory's dataset stands.
func snapshot(state *State, name string) *zfs.Snapshot {
	for i := range state.ZFS.Snapshots {
		if state.ZFS.Snapshots[i].Name == name {
			return &state.ZFS.Snapshots[i]
		}
	}
	panic("no snapshot " + name)
}

// addStranger puts in a snapshot of somebody else.
func addStranger(state *State, dataset, name string, properties map[string]zfs.Value) {
	state.ZFS.Snapshots = append(state.ZFS.Snapshots, zfs.Snapshot{Dataset: dataset, Name: name, GUID: dataset + name, CreateTXG: 1, Properties: properties})
	slices.SortStableFunc(state.ZFS.Snapshots, func(a, b zfs.Snapshot) int { return int(a.CreateTXG) - int(b.CreateTXG) })
}

// addClone puts in a finished restore of this site.
func addClone(state *State, site *spec.Site, name string, marks ...string) {
	on := site.Pool.Name + "/zreconcile/" + site.Name + "/" + name
	addDataset(state, on, nil)
	change(state, on, local(append([]string{markSite, site.Name, markFormat, marksFormat, markRestore, name, markState, stateReady, markDataDir, "pg"}, marks...)...))
	d := *dataset(state, on)
	state.Clones = append(state.Clones, Clone{Restore: name, Dataset: d, Marks: localMarks(d.Properties)})
}

func givenView(site *spec.Site, state *State) *view {
	return &view{site: site, state: state, now: givenNow}
}

// rendered is a plan for a person to review: what a golden file holds.
func rendered(p Plan) string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%s %s/%s (%s:%d)\n  %s\n", c.Action, c.Kind, c.Name, c.File, c.Line, c.Why)
		for _, a := range c.Attrs {
			fmt.Fprintf(&b, "  . %s: %q -> %q\n", a.Name, a.Before, a.After)
		}
		if c.Mend != "" {
			fmt.Fprintf(&b, "  > %s\n", c.Mend)
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, f := range p.Failures {
		fmt.Fprintf(&b, "failure: %s\n", f)
	}
	if p.Next != nil {
		fmt.Fprintf(&b, "next: %s\n", p.Next)
	}
	return b.String()
}

// briefly is what a plan does to what.
func briefly(p Plan) []string {
	list := []string{}
	for _, c := range p.Changes {
		list = append(list, fmt.Sprintf("%s %s/%s", c.Action, c.Kind, c.Name))
	}
	return list
}

var errTest = errors.New("it could not be read")

// without takes a dataset away.
func without(state *State, name string) {
	unmount(state, name)
	state.ZFS.Datasets = slices.DeleteFunc(state.ZFS.Datasets, func(d zfs.Dataset) bool { return d.Name == name })
}
