package zfs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

const poolSize = 160 << 20

// counter is a Run that counts and remembers the commands.
type counter struct {
	mu       sync.Mutex
	commands [][]string
}

func (c *counter) run(cmd *exec.Cmd) error {
	c.mu.Lock()
	c.commands = append(c.commands, cmd.Args)
	c.mu.Unlock()
	return cmd.Run()
}

// since returns how many commands were run from the one numbered n on.
func (c *counter) since(n int) [][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commands[n:]
}

func inventory(t *testing.T, c *Client, pool string, q Query) Inventory {
	t.Helper()
	inv, err := c.Inventory(t.Context(), pool, q)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestInventoryOfARealPool(t *testing.T) {
	pool, base := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	must(t, c.CreateDataset(ctx, pool+"/a/b", []Prop{{"recordsize", "8K"}, {"zr:text", "two  words\tand\ttabs"}, {"zr:empty", ""}}, true))
	must(t, c.SetProperties(ctx, pool+"/a", []Prop{{"zr:lines", "one\ntwo"}, {"atime", "off"}}))
	must(t, c.Snapshot(ctx, []string{pool + "/a/b"}, "s1", []Prop{{"zr:mark", "1"}}))
	must(t, c.Clone(ctx, pool+"/a/b@s1", pool+"/c", []Prop{{"canmount", "noauto"}, {"readonly", "on"}}))
	must(t, c.Hold(ctx, "keep", pool+"/a/b@s1"))

	inv := inventory(t, c, pool, Query{
		DatasetProperties:  []string{"recordsize", "atime", "zr:text", "zr:empty", "zr:lines", "zr:none", "canmount"},
		SnapshotProperties: []string{"zr:mark"},
	})
	names := []string{}
	for _, d := range inv.Datasets {
		names = append(names, d.Name)
	}
	if want := []string{pool, pool + "/a", pool + "/a/b", pool + "/c"}; !slices.Equal(names, want) {
		t.Fatalf("datasets %v, want %v", names, want)
	}
	b, _ := inv.Dataset(pool + "/a/b")
	for property, want := range map[string]Value{ // pitfall 47
		"recordsize": {"8192", "local", ""},
		"atime":      {"off", "inherited", pool + "/a"},
		"zr:text":    {"two  words\tand\ttabs", "local", ""},
		"zr:empty":   {"", "local", ""},
		"zr:lines":   {"one\ntwo", "inherited", pool + "/a"},
	} {
		if got := b.Properties[property]; got != want {
			t.Errorf("%s = %+v, want %+v", property, got, want)
		}
	}
	if _, has := b.Properties["zr:none"]; has {
		t.Error("a property that nobody set is shown")
	}
	if b.Mountpoint != filepath.Join(base, "a/b") || !b.Mounted || b.Type != "filesystem" || b.GUID == "" || b.Available == 0 {
		t.Errorf("dataset %+v", b)
	}
	clone, _ := inv.Dataset(pool + "/c")
	if clone.Origin != pool+"/a/b@s1" {
		t.Errorf("clone %+v", clone)
	}
	if len(inv.Snapshots) != 1 {
		t.Fatalf("snapshots %+v", inv.Snapshots)
	}
	s := inv.Snapshots[0]
	if s.Full() != pool+"/a/b@s1" || s.Clones != 1 || s.UserRefs != 1 || s.CreateTXG == 0 || s.GUID == "" || time.Since(s.Creation).Abs() > time.Hour {
		t.Errorf("snapshot %+v", s)
	}
	if !s.Properties["zr:mark"].Local() {
		t.Errorf("mark %+v", s.Properties)
	}
	if inv.Pool.Health != "ONLINE" || inv.Pool.Status != "" || len(inv.Pool.Vdevs) != 1 || inv.Pool.GUID == "" || inv.Pool.Size < poolSize/2 {
		t.Errorf("pool %+v", inv.Pool)
	}
	if v := inv.Pool.Vdevs[0]; v.Type != "" || len(v.Devices) != 1 || !SameDevice(v.Devices[0].Path, filepath.Join(filepath.Dir(base), "disk")) {
		t.Errorf("vdev %+v", v)
	}
	must(t, c.Release(ctx, "keep", pool+"/a/b@s1"))
}

func TestPitfall51_NoSuchPoolIsNotAFailedListing(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	inv, err := New(nil).Inventory(t.Context(), pool+"x", Query{})
	if err != nil || inv.Pool != nil {
		t.Fatalf("an absent pool: %+v, %v", inv.Pool, err)
	}
	for failing := range 5 {
		n := 0
		c := New(func(cmd *exec.Cmd) error {
			if n++; n == failing+1 {
				return errors.New("injected")
			}
			return cmd.Run()
		})
		inv, err := c.Inventory(t.Context(), pool, Query{})
		if err == nil && n > failing {
			t.Errorf("command %d failed and yet: %+v", failing+1, inv)
		}
	}
}

func TestUnsupportedPropertiesAreReported(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	var count counter
	c := New(count.run)
	q := Query{DatasetProperties: []string{"recordsize", "no_such_property", "zr:x"}, PoolProperties: []string{"ashift", "no_such_either"}}
	inv := inventory(t, c, pool, q)
	if !slices.Equal(inv.Unsupported, []string{"no_such_either", "no_such_property"}) || len(inv.Datasets) != 1 || inv.Datasets[0].Properties["recordsize"].Value == "" {
		t.Errorf("%+v", inv)
	}
	if first := count.since(0); len(first) > 6 {
		t.Errorf("%d processes: %q", len(first), first)
	}
	before := len(count.since(0))
	if again := inventory(t, c, pool, q); !slices.Equal(again.Unsupported, inv.Unsupported) {
		t.Errorf("forgotten: %v", again.Unsupported)
	}
	if second := count.since(before); len(second) > 4 {
		t.Errorf("%d processes the second time: %q", len(second), second)
	}
}

func TestPitfall54_InheritedMarksAreNotLocal(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	must(t, c.CreateDataset(ctx, pool+"/ours", []Prop{{"zreconcile:site", "x"}}, false))
	zfstest.Run(t, "zfs", "create", pool+"/ours/child")
	zfstest.Run(t, "zfs", "snapshot", pool+"/ours/child@theirs")
	zfstest.Run(t, "zfs", "clone", pool+"/ours/child@theirs", pool+"/ours/clone")
	inv := inventory(t, c, pool, Query{DatasetProperties: []string{"zreconcile:site"}, SnapshotProperties: []string{"zreconcile:site"}})
	for name, local := range map[string]bool{"/ours": true, "/ours/child": false, "/ours/clone": false} {
		d, _ := inv.Dataset(pool + name)
		if v := d.Properties["zreconcile:site"]; v.Value != "x" || v.Local() != local {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := inv.Snapshots[0].Properties["zreconcile:site"]; v.Value != "x" || v.Local() || v.From != pool+"/ours" {
		t.Errorf("snapshot: %+v", v)
	}
	if err := c.SetProperties(ctx, pool+"/ours", []Prop{{"Zr:X", "1"}}); !errors.Is(err, ErrInvalidProperty) {
		t.Errorf("upper case: %v", err)
	}
}

// pitfall 46: neither the processes of an inventory nor those of a batch's check grow.
func TestPitfall46_ProcessesDoNotGrowWithSnapshots(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	var count counter
	c := New(count.run)
	inventory(t, c, pool, Query{})
	first := len(count.since(0))
	if first > 5 {
		t.Errorf("%d processes at first: %q", first, count.since(0))
	}
	const children, each, few = 24, 40, 3
	const many = (children + 1) * each
	for i := range children {
		zfstest.Run(t, "zfs", "create", "-o", "mountpoint=none", fmt.Sprintf("%s/d%d", pool, i))
	}
	for i := range each {
		zfstest.Run(t, "zfs", "snapshot", "-r", fmt.Sprintf("%s@s%02d", pool, i))
	}
	inv := inventory(t, c, pool, Query{SnapshotProperties: []string{"zr:mark"}})
	if len(inv.Snapshots) != many || inv.Snapshots[26].Name != "s01" {
		t.Fatalf("%d snapshots", len(inv.Snapshots))
	}
	if n := len(count.since(first)); n > 4 {
		t.Errorf("%d processes with %d snapshots", n, many)
	}
	before := len(count.since(0))
	if left := c.DestroySnapshots(t.Context(), inv.SnapshotsOf(pool)[:few]); len(left) > 0 {
		t.Fatal(left)
	}
	listings := 0
	for _, argv := range count.since(before) {
		if argv[1] == "get" {
			listings++
		}
	}
	if listings != 1 {
		t.Errorf("%d listings for one batch", listings)
	}
	if n := len(inventory(t, c, pool, Query{}).Snapshots); n != many-few {
		t.Errorf("%d snapshots left", n)
	}
}

func TestDestroySnapshotsKeepsHeldClonedAndReplaced(t *testing.T) { // pitfalls 45 and 49
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	c.BusyTimeout = 10 * time.Second
	for _, name := range []string{"free", "held", "cloned", "replaced", "gone", "free2"} {
		must(t, c.Snapshot(ctx, []string{pool}, name, nil))
	}
	must(t, c.Hold(ctx, "keep", pool+"@held"))
	must(t, c.Clone(ctx, pool+"@cloned", pool+"/clone", nil))
	observed := inventory(t, c, pool, Query{}).Snapshots
	zfstest.Run(t, "zfs", "destroy", pool+"@gone")
	zfstest.Run(t, "zfs", "destroy", pool+"@replaced")
	zfstest.Run(t, "zfs", "snapshot", pool+"@replaced")

	left := c.DestroySnapshots(ctx, observed)
	for name, kind := range map[string]Kind{"held": ErrHeld, "cloned": ErrHasClones, "replaced": ErrReplaced, "gone": ErrNotFound} {
		if err := left[pool+"@"+name]; !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", name, err, kind)
		}
	}
	if len(left) != 4 {
		t.Errorf("left: %v", left)
	}
	var names []string
	for _, s := range inventory(t, c, pool, Query{}).Snapshots {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"held", "cloned", "replaced"}) {
		t.Errorf("still there: %v", names)
	}
	must(t, c.Release(ctx, "keep", pool+"@held"))
}

// A tag is taken from all that have it, whatever the others have; and all are held where one was held before.
func TestHoldsOfSeveralSnapshots(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	a, b, absent := pool+"@a", pool+"@b", pool+"@absent"
	must(t, c.Snapshot(ctx, []string{pool}, "a", nil))
	must(t, c.Snapshot(ctx, []string{pool}, "b", nil))
	refs := func(wantA, wantB int) {
		t.Helper()
		snaps := inventory(t, c, pool, Query{}).Snapshots
		if snaps[0].UserRefs != wantA || snaps[1].UserRefs != wantB {
			t.Errorf("%d and %d holds, want %d and %d", snaps[0].UserRefs, snaps[1].UserRefs, wantA, wantB)
		}
	}
	released := func(want int, snaps ...string) {
		t.Helper()
		if n, err := c.ReleaseAny(ctx, "zr:x", snaps...); err != nil || n != want {
			t.Errorf("%d released, %v, want %d", n, err, want)
		}
	}
	must(t, c.Hold(ctx, "zr:x", a))
	must(t, c.Hold(ctx, "other", b))
	if err := c.Hold(ctx, "zr:x", a, b); !errors.Is(err, ErrExists) {
		t.Errorf("held already: %v", err)
	}
	refs(1, 2)
	released(2, a, b)
	refs(0, 1)
	released(0, a, b)
	must(t, c.Hold(ctx, "zr:x", b))
	released(1, a, b)
	refs(0, 1)
	if err := c.Hold(ctx, "zr:x", a, absent); !errors.Is(err, ErrNotFound) {
		t.Errorf("a snapshot that is not there: %v", err)
	}
	released(inventory(t, c, pool, Query{}).Snapshots[0].UserRefs, absent, a)
	refs(0, 1)
	must(t, c.Release(ctx, "other", b))
}

func TestPitfall43_BusyIsRetriedAndTheHolderNamed(t *testing.T) {
	pool, base := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	c.BusyTimeout = 700 * time.Millisecond
	must(t, c.CreateDataset(ctx, pool+"/d", nil, false))
	d, _ := inventory(t, c, pool, Query{}).Dataset(pool + "/d")

	holder := exec.Command("sleep", "600")
	holder.Dir = filepath.Join(base, "d")
	must(t, holder.Start())
	defer func() { _ = holder.Process.Kill() }()
	err := c.DestroyDataset(ctx, pool+"/d", d.GUID)
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (sleep)", holder.Process.Pid)) {
		t.Fatalf("held: %v", err)
	}

	// It goes while it is tried: the first refusal ends the holder.
	ended := false
	c = New(func(cmd *exec.Cmd) error {
		err := cmd.Run()
		if cmd.Args[1] == "destroy" && err != nil && !ended {
			ended = true
			_ = holder.Process.Kill()
			_ = holder.Wait()
		}
		return err
	})
	must(t, c.DestroyDataset(ctx, pool+"/d", d.GUID))
	if !ended {
		t.Error("it was never refused")
	}
	if err := c.DestroyDataset(ctx, pool+"/d", d.GUID); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

func TestDestroyDatasetChecksTheGUIDAndSparesChildren(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	must(t, c.CreateDataset(ctx, pool+"/d/e", nil, true))
	d, _ := inventory(t, c, pool, Query{}).Dataset(pool + "/d")
	if err := c.DestroyDataset(ctx, pool+"/d", d.GUID+"0"); !errors.Is(err, ErrReplaced) {
		t.Errorf("another guid: %v", err)
	}
	if err := c.DestroyDataset(ctx, pool+"/d", ""); !errors.Is(err, ErrReplaced) {
		t.Errorf("no guid: %v", err)
	}
	if err := c.DestroyDataset(ctx, pool+"/d", d.GUID); !errors.Is(err, ErrHasChildren) {
		t.Errorf("children: %v", err)
	}
	if err := c.DestroyDataset(ctx, pool, "1"); !errors.Is(err, ErrInvalidName) {
		t.Errorf("pool: %v", err)
	}
	must(t, c.RenameDataset(ctx, pool+"/d/e", pool+"/f"))
	if f, _ := inventory(t, c, pool, Query{}).Dataset(pool + "/f"); !f.Mounted {
		t.Error("the rename left it unmounted")
	}
	must(t, c.Unmount(ctx, pool+"/f"))
	if f, ok := inventory(t, c, pool, Query{}).Dataset(pool + "/f"); !ok || f.Mounted {
		t.Errorf("renamed and unmounted: %+v", f)
	}
	must(t, c.Mount(ctx, pool+"/f"))
	mounts, err := Mounts()
	must(t, err)
	f, _ := inventory(t, c, pool, Query{}).Dataset(pool + "/f")
	if !MountedAt(mounts, pool+"/f", f.Mountpoint) { // pitfall 56
		t.Errorf("%s is not mounted at %s", f.Name, f.Mountpoint)
	}
	if m, ok := Holding(mounts, f.Mountpoint+"/x/y"); !ok || m.Source != pool+"/f" {
		t.Errorf("holding: %+v", m)
	}
}

func TestErrorKindsOfTheRealTool(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	must(t, c.CreateDataset(ctx, pool+"/d", nil, false))
	must(t, c.Snapshot(ctx, []string{pool + "/d"}, "s", nil))
	for name, tc := range map[string]struct {
		err  error
		want Kind
	}{
		"create twice":     {c.CreateDataset(ctx, pool+"/d", nil, false), ErrExists},
		"no parent":        {c.CreateDataset(ctx, pool+"/x/y", nil, false), ErrNotFound},
		"snapshot twice":   {c.Snapshot(ctx, []string{pool + "/d"}, "s", nil), ErrExists},
		"bad value":        {c.SetProperties(ctx, pool+"/d", []Prop{{"recordsize", "3"}}), ErrInvalidProperty},
		"unknown property": {c.SetProperties(ctx, pool+"/d", []Prop{{"nonsense", "3"}}), ErrInvalidProperty},
		"no such snapshot": {c.Clone(ctx, pool+"/d@none", pool+"/e", nil), ErrNotFound},
		"a flag as name":   {c.CreateDataset(ctx, "-r", nil, false), ErrInvalidName},
		"release nothing":  {c.Release(ctx, "none", pool+"/d@s"), ErrNotFound},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
	must(t, c.SetProperties(ctx, pool+"/d@s", []Prop{{"zr:late", "1"}}))
	must(t, c.SetProperties(ctx, pool+"/d", []Prop{{"atime", "off"}}))
	must(t, c.Inherit(ctx, pool+"/d", "atime"))
	inv := inventory(t, c, pool, Query{DatasetProperties: []string{"atime"}, SnapshotProperties: []string{"zr:late"}})
	if d, _ := inv.Dataset(pool + "/d"); d.Properties["atime"].Local() || !inv.Snapshots[0].Properties["zr:late"].Local() {
		t.Errorf("%+v", inv)
	}
}

func TestAnInterruptIsNoDeadline(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(nil).Inventory(ctx, "p", Query{}); !errors.Is(err, ErrCanceled) || errors.Is(err, ErrDeadline) {
		t.Errorf("%v", err)
	}
}

func TestDeadlineEndsAHangingCommand(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := New(func(cmd *exec.Cmd) error {
		hanging := exec.CommandContext(ctx, "sleep", "600")
		return hanging.Run()
	})
	if _, err := c.Inventory(ctx, "p", Query{}); !errors.Is(err, ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
