//go:build vm

package zfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

// Of what follows, zfs-fuse can do nothing.

// pitfall 49: all or none, in one transaction group.
func TestRealSnapshotOfSeveralDatasetsIsAtomic(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	var count counter
	c := New(count.run)
	all := []string{pool + "/a", pool + "/b", pool + "/b/c"}
	for _, name := range all {
		must(t, c.CreateDataset(ctx, name, nil, false))
	}
	must(t, c.Snapshot(ctx, all, "s", []Prop{{"zr:mark", "1"}}))
	snaps := inventory(t, c, pool, Query{SnapshotProperties: []string{"zr:mark"}}).Snapshots
	if len(snaps) != len(all) {
		t.Fatalf("%+v", snaps)
	}
	for _, s := range snaps {
		if s.CreateTXG != snaps[0].CreateTXG || !s.Properties["zr:mark"].Local() {
			t.Errorf("%+v is not of the transaction group of %+v", s, snaps[0])
		}
	}
	made := 0
	for _, argv := range count.since(0) {
		if argv[0] == "zfs" && len(argv) > 1 && argv[1] == "snapshot" {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d processes", made)
	}

	must(t, c.Snapshot(ctx, all[2:], "t", nil))
	if err := c.Snapshot(ctx, all, "t", nil); !errors.Is(err, ErrExists) {
		t.Errorf("one of them exists: %v", err)
	}
	if n := len(inventory(t, c, pool, Query{}).Snapshots); n != len(all)+1 {
		t.Errorf("%d snapshots: some were made without the others", n)
	}
}

// pitfall 45: what is held or cloned is taken out, the rest goes in few processes, none of them deferred or by
// a range.
func TestRealDestroyInBatches(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	var count counter
	c := New(count.run)
	const many = 100
	for i := range many {
		zfstest.Run(t, "zfs", "snapshot", fmt.Sprintf("%s@s%03d", pool, i))
	}
	must(t, c.Hold(ctx, "keep", pool+"@s007", pool+"@s008"))
	must(t, c.Clone(ctx, pool+"@s050", pool+"/clone", nil))
	observed := inventory(t, c, pool, Query{}).Snapshots
	zfstest.Run(t, "zfs", "destroy", pool+"@s020")
	zfstest.Run(t, "zfs", "destroy", pool+"@s021")
	zfstest.Run(t, "zfs", "snapshot", pool+"@s021")
	theirs := pool + "@s021x" // amid the range
	zfstest.Run(t, "zfs", "snapshot", theirs)

	before := len(count.since(0))
	left := c.DestroySnapshots(ctx, observed)
	want := map[string]Kind{"s007": ErrHeld, "s008": ErrHeld, "s020": ErrNotFound, "s021": ErrReplaced, "s050": ErrHasClones}
	for name, kind := range want {
		if err := left[pool+"@"+name]; !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", name, err, kind)
		}
	}
	if len(left) != len(want) {
		t.Errorf("left: %v", left)
	}
	if s := left[pool+"@s050"]; s != nil && !strings.Contains(s.Error(), "clone") {
		t.Errorf("words of the cloned one: %v", s)
	}
	spent := count.since(before)
	for _, argv := range spent {
		if argv[1] == "destroy" && (slices.ContainsFunc(argv, func(a string) bool { return strings.HasPrefix(a, "-") }) || strings.Contains(argv[2], "%")) {
			t.Errorf("%q", argv)
		}
	}
	if len(spent) > 4 { // the guids, all, without the cloned one, without the held ones
		t.Errorf("%d processes: %.300q", len(spent), spent)
	}
	var names []string
	for _, s := range inventory(t, c, pool, Query{}).Snapshots {
		names = append(names, s.Name)
	}
	if !slices.Equal(names, []string{"s007", "s008", "s050", "s021", "s021x"}) {
		t.Errorf("still there: %v", names)
	}
	must(t, c.Release(ctx, "keep", pool+"@s007", pool+"@s008"))
}

// The second run changes nothing: what was set is read back as the same.
func TestRealPropertiesAreReadBackAsTheSame(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	var asked []string
	var given []Prop
	for property, values := range map[string]string{
		"compression": "on off lz4 zstd zstd-3 zstd-19 zstd-fast zstd-fast-10 gzip gzip-6 gzip-9 zle", "checksum": "on sha256 blake3 fletcher4",
		"xattr": "on sa dir off", "acltype": "off noacl posix posixacl nfsv4", "aclinherit": "restricted secure passthrough",
		"atime": "on off", "relatime": "on off", "dnodesize": "legacy auto 1k 16k", "redundant_metadata": "all most some none",
		"special_small_blocks": "0 8K 16384 128K", "recordsize": "8K 8192 128K 1M", "logbias": "latency throughput",
		"primarycache": "all metadata none", "secondarycache": "all none", "sync": "standard always disabled", "snapdir": "hidden visible",
		"quota": "none 1G 1073741824", "refquota": "none 10G", "reservation": "none 1M", "copies": "1 2", "exec": "off", "setuid": "off", "devices": "off",
		"filesystem_limit": "none 10", "snapshot_limit": "none 10", "casesensitivity": "insensitive", "normalization": "formD", "utf8only": "on",
		"canmount": "off noauto on", "mountpoint": "none legacy /nowhere/ /nowhere", "readonly": "on", "zr:text": "any",
	} {
		asked = append(asked, property)
		for value := range strings.FieldsSeq(values) {
			given = append(given, Prop{property, value})
		}
	}
	for i, p := range given {
		props := []Prop{p}
		if p.Name != "mountpoint" && p.Name != "canmount" {
			props = append(props, Prop{"canmount", "off"})
		}
		must(t, c.CreateDataset(ctx, fmt.Sprintf("%s/d%d", pool, i), props, false))
	}
	inv := inventory(t, c, pool, Query{DatasetProperties: asked})
	if len(inv.Unsupported) > 0 {
		t.Errorf("not known to zfs: %v", inv.Unsupported)
	}
	for i, p := range given {
		d, _ := inv.Dataset(fmt.Sprintf("%s/d%d", pool, i))
		if got := d.Properties[p.Name].Value; !SameValue(p.Name, p.Value, got) {
			t.Errorf("%s=%s is read back as %q", p.Name, p.Value, got)
		}
	}
	t.Logf("%d values of %d properties", len(given), len(asked))
}

// An encrypted dataset, from its making to its key after a reboot.
func TestRealKeys(t *testing.T) {
	pool, base := zfstest.Pool(t, poolSize)
	ctx := t.Context()
	c := New(nil)
	key := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600))
	must(t, c.CreateDataset(ctx, pool+"/e", []Prop{{"encryption", "on"}, {"keyformat", "raw"}, {"keylocation", "file://" + key}}, false))
	must(t, c.CreateDataset(ctx, pool+"/e/child", nil, false))
	must(t, c.Snapshot(ctx, []string{pool + "/e"}, "s", nil))
	must(t, c.Clone(ctx, pool+"/e@s", pool+"/clone", nil))
	keys := func() map[string]Key {
		found := map[string]Key{}
		for _, d := range inventory(t, c, pool, Query{}).Datasets {
			found[strings.TrimPrefix(d.Name, pool)] = d.Key
		}
		return found
	}
	check := func(loaded bool) {
		t.Helper()
		for name, want := range map[string]Key{"": {Location: "none"}, "/e": {pool + "/e", loaded, "file://" + key},
			"/e/child": {pool + "/e", loaded, "none"}, "/clone": {pool + "/e", loaded, "none"}} {
			if got := keys()[name]; got != want {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	}
	check(true)
	zfstest.Run(t, "zpool", "export", pool)
	zfstest.Run(t, "zpool", "import", "-d", filepath.Dir(base), pool)
	check(false)
	if d, _ := inventory(t, c, pool, Query{}).Dataset(pool + "/e"); d.Mounted {
		t.Error("mounted without its key")
	}
	must(t, os.WriteFile(key, []byte(strings.Repeat("w", 32)), 0o600))
	if err := c.LoadKey(ctx, pool+"/e"); err == nil || !strings.Contains(err.Error(), "Incorrect key") || strings.Contains(err.Error(), "www") {
		t.Errorf("a wrong key: %v", err)
	}
	must(t, os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600))
	must(t, c.LoadKey(ctx, pool+"/e"))
	check(true)
	if err := c.LoadKey(ctx, pool+"/e"); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for _, name := range []string{"/e", "/e/child", "/clone"} {
		must(t, c.Mount(ctx, pool+name))
	}
	must(t, c.SetProperties(ctx, pool+"/e", []Prop{{"keylocation", "prompt"}}))
	if keys()["/e"].Location != "prompt" {
		t.Errorf("%+v", keys())
	}
}

// pitfall 46: five processes on a fresh client, with all that OpenZFS has to tell.
func TestRealProcessesOfAnInventory(t *testing.T) {
	pool, _ := zfstest.Pool(t, poolSize)
	var count counter
	c := New(count.run)
	inventory(t, c, pool, Query{DatasetProperties: []string{"recordsize", "canmount", "encryption", "zr:x"}, SnapshotProperties: []string{"zr:y"}})
	if _, err := c.Abilities(t.Context()); err != nil || len(count.since(0)) != 5 {
		t.Errorf("%v, %d processes: %q", err, len(count.since(0)), count.since(0))
	}
	want := Abilities{ListParsable: true, GetTypes: true, SetMany: true, SnapshotMany: true, DestroyList: true, DestroyDryRun: true, PoolGetParsable: true, JSON: true, LoadKey: true}
	if a, _ := c.Abilities(t.Context()); a != want {
		t.Errorf("%+v", a)
	}
}
