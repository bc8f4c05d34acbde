//go:build vm

package zfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

// disks are n empty disks of the virtual machine (e2e/vm), by the names under /dev/disk/by-id that a site file
// gives; they are wiped again after the test.
func disks(t *testing.T, n int) []string {
	t.Helper()
	found, err := filepath.Glob(os.Getenv("ZRECONCILE_E2E_DISKS"))
	must(t, err)
	if len(found) < n {
		t.Fatalf("%d disks in %s, and %d are needed", len(found), os.Getenv("ZRECONCILE_E2E_DISKS"), n)
	}
	wipe := func() {
		for _, disk := range found[:n] {
			zfstest.Run(t, "blkdiscard", "-f", disk)
			zfstest.Run(t, "blockdev", "--rereadpt", disk)
		}
		zfstest.Run(t, "udevadm", "settle")
	}
	wipe()
	t.Cleanup(wipe)
	return found[:n]
}

// createdPool is a pool of the vdevs given.
func createdPool(t *testing.T, spec PoolSpec) *Pool {
	t.Helper()
	spec.Name = zfstest.Name()
	spec.RootProperties = append(spec.RootProperties, Prop{"mountpoint", "none"})
	zfstest.DestroyAfter(t, spec.Name)
	c := New(nil)
	must(t, c.CreatePool(t.Context(), spec))
	return inventory(t, c, spec.Name, Query{}).Pool
}

// Whole disks are shown by their first partition, which OpenZFS makes; each class and mirrors are recognised.
func TestRealVdevsOfAllClassesOnWholeDisks(t *testing.T) {
	d := disks(t, 8)
	wanted := []VdevSpec{
		{Class: "spare", Devices: d[7:8]}, {Class: "log", Devices: d[4:5]}, {Type: "mirror", Devices: d[0:2]},
		{Class: "cache", Devices: d[5:7]}, {Class: "special", Type: "mirror", Devices: d[2:4]},
	}
	pool := createdPool(t, PoolSpec{Vdevs: wanted})
	checkVdevs(t, pool, map[string][]string{"mirror": d[0:2], "special mirror": d[2:4], "log": d[4:5], "cache": d[5:7], "spare": d[7:8]})
	if pool.Status != "" || pool.Errors != "" || !pool.Scrubbed.IsZero() {
		t.Errorf("%+v", pool)
	}

	zfstest.Run(t, "zpool", "scrub", "-w", pool.Name)
	zfstest.Run(t, "zpool", "offline", pool.Name, d[1])
	c := New(nil)
	degraded := inventory(t, c, pool.Name, Query{}).Pool
	checkVdevs(t, degraded, map[string][]string{"mirror": d[0:2], "special mirror": d[2:4], "log": d[4:5], "cache": d[5:7], "spare": d[7:8]})
	if degraded.Health != "DEGRADED" || !strings.Contains(degraded.Status, "offline") || degraded.Vdevs[0].Devices[1].State != "OFFLINE" {
		t.Errorf("%+v", degraded)
	}
	if ago := time.Since(degraded.Scrubbed); ago < -time.Minute || ago > 10*time.Minute {
		t.Errorf("scrubbed %s", degraded.Scrubbed)
	}

	// What zpool import tells is no JSON, and says no state of caches and spares.
	zfstest.Run(t, "zpool", "online", pool.Name, d[1])
	zfstest.Run(t, "zpool", "export", pool.Name)
	list, err := c.Importable(t.Context(), []string{filepath.Dir(d[0])})
	if err != nil || len(list) != 1 || list[0].GUID != pool.GUID {
		t.Fatalf("%+v, %v", list, err)
	}
	checkVdevs(t, &Pool{Vdevs: list[0].Vdevs}, map[string][]string{"mirror": d[0:2], "special mirror": d[2:4], "log": d[4:5], "cache": d[5:7], "spare": d[7:8]})
	must(t, c.Import(t.Context(), pool.GUID, []string{filepath.Dir(d[0])}))
	again := inventory(t, c, pool.Name, Query{}).Pool
	checkVdevs(t, again, map[string][]string{"mirror": d[0:2], "special mirror": d[2:4], "log": d[4:5], "cache": d[5:7], "spare": d[7:8]})
}

// checkVdevs compares the devices of each kind of vdev with those that were asked for.
func checkVdevs(t *testing.T, pool *Pool, want map[string][]string) {
	t.Helper()
	got := map[string][]string{}
	for _, v := range pool.Vdevs {
		kind := strings.TrimSpace(v.Class + " " + v.Type)
		for _, device := range v.Devices {
			got[kind] = append(got[kind], device.Path)
		}
	}
	for kind, devices := range want {
		if len(got[kind]) != len(devices) {
			t.Errorf("%s: %v, want %v", kind, got[kind], devices)
			continue
		}
		for i, device := range devices {
			if !SameDevice(device, got[kind][i]) {
				t.Errorf("%s: %s is shown for %s", kind, got[kind][i], device)
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("vdevs %v, want %v", got, want)
	}
}

// pitfall 6: what the file says is what the pool has.
func TestRealPoolPropertiesAreReadBack(t *testing.T) {
	d := disks(t, 1)
	for _, props := range [][]Prop{
		{{"ashift", "9"}, {"autotrim", "on"}, {"comment", "two words"}},
		{{"ashift", "12"}, {"autotrim", "off"}, {"autoexpand", "on"}},
		{{"ashift", "13"}, {"failmode", "continue"}, {"delegation", "off"}},
	} {
		pool := createdPool(t, PoolSpec{Properties: props, Vdevs: []VdevSpec{{Devices: d}}})
		for _, p := range props {
			if got := pool.Properties[p.Name].Value; !SameValue(p.Name, p.Value, got) {
				t.Errorf("%s=%s is read back as %q", p.Name, p.Value, got)
			}
		}
		if got := pool.Properties["ashift"].Value; SameValue("ashift", got, "10") {
			t.Errorf("ashift %s is as good as 10", got)
		}
		zfstest.Run(t, "zpool", "destroy", pool.Name)
		zfstest.Run(t, "zpool", "labelclear", "-f", d[0]+"-part1")
	}
}

// pitfall 55, on disks: whatever the kernel and udev have found so far.
func TestRealProbe(t *testing.T) {
	d := disks(t, 6)
	if content := probe(t, d[0]); content.Kind != Empty {
		t.Errorf("a wiped disk: %+v", content)
	}
	zfstest.Run(t, "mkfs.ext4", "-q", d[1])
	zfstest.Run(t, "sh", "-c", "echo 'label: gpt\n,64M\n' | sfdisk -q "+d[2])
	zfstest.Run(t, "sh", "-c", "echo 'label: dos\n,64M\n' | sfdisk -q "+d[3])
	zfstest.Run(t, "mkswap", d[4])
	zfstest.Run(t, "udevadm", "settle")
	for device, want := range map[string]Content{
		d[1]: {Kind: Filesystem, Detail: "ext4"}, d[2]: {Kind: PartitionTable, Detail: "gpt"},
		d[3]: {Kind: PartitionTable, Detail: "dos"}, d[4]: {Kind: Filesystem, Detail: "swap"},
	} {
		if got := probe(t, device); got != want {
			t.Errorf("%s: %+v, want %+v", device, got, want)
		}
	}
	dir := t.TempDir()
	zfstest.Run(t, "mount", d[1], dir)
	t.Cleanup(func() { zfstest.Run(t, "umount", dir) })
	if got := probe(t, d[1]); got.Kind != InUse || !strings.Contains(got.Detail, dir) {
		t.Errorf("mounted: %+v", got)
	}

	pool := createdPool(t, PoolSpec{Vdevs: []VdevSpec{{Devices: d[0:1]}, {Class: "cache", Devices: d[5:6]}}})
	state := func(want string) {
		t.Helper()
		for _, device := range []string{d[0], d[0] + "-part1"} {
			if got := probe(t, device); got.Kind != Label || got.PoolName != pool.Name || got.PoolGUID != pool.GUID || got.PoolState != want {
				t.Errorf("%s: %+v, want %s", device, got, want)
			}
		}
		if got := probe(t, d[5]); got.Kind != Label {
			t.Errorf("a cache device: %+v", got)
		}
	}
	state("active")
	zfstest.Run(t, "zpool", "export", pool.Name)
	state("exported")
	zfstest.Run(t, "zpool", "import", "-d", filepath.Dir(d[0]), pool.Name)
	zfstest.Run(t, "zpool", "destroy", pool.Name)
	state("destroyed")
	if list, err := New(nil).Importable(t.Context(), []string{filepath.Dir(d[0])}); err != nil || len(list) != 0 {
		t.Errorf("a destroyed pool is to be imported: %+v, %v", list, err)
	}
}

// A folder that zpool does not look into by itself, and a path that no table could tell from its state.
func TestRealImportFromAFolder(t *testing.T) {
	dir := filepath.Join(zfstest.Dir(t), "a b")
	must(t, os.Mkdir(dir, 0o755))
	file := zfstest.File(t, dir, "disk ONLINE x", poolSize)
	pool := createdPool(t, PoolSpec{Vdevs: []VdevSpec{{Devices: []string{file}}}})
	checkVdevs(t, pool, map[string][]string{"": {file}})
	zfstest.Run(t, "zpool", "export", pool.Name)
	c := New(nil)
	if list, err := c.Importable(t.Context(), nil); err != nil || len(list) != 0 {
		t.Errorf("zpool looked there: %+v, %v", list, err)
	}
	list, err := c.Importable(t.Context(), []string{dir})
	if err != nil || len(list) != 1 || list[0].GUID != pool.GUID || list[0].State != "ONLINE" {
		t.Fatalf("%+v, %v", list, err)
	}
	must(t, c.Import(t.Context(), pool.GUID, []string{dir}))
	if again := inventory(t, c, pool.Name, Query{}).Pool; again == nil || again.GUID != pool.GUID {
		t.Errorf("%+v", again)
	}
}

// pitfall 48
func TestRealAltRoot(t *testing.T) {
	pool, base := zfstest.Pool(t, poolSize)
	c := New(nil)
	must(t, c.CreateDataset(t.Context(), pool+"/d", []Prop{{"mountpoint", base + "/other"}}, false))
	zfstest.Run(t, "zpool", "export", pool)
	root := filepath.Join(filepath.Dir(base), "alt")
	zfstest.Run(t, "zpool", "import", "-d", filepath.Dir(base), "-R", root, pool)
	inv := inventory(t, c, pool, Query{DatasetProperties: []string{"mountpoint"}})
	d, _ := inv.Dataset(pool + "/d")
	if inv.Pool.AltRoot != root || d.Mountpoint != inv.WithAltRoot(base+"/other") || d.Properties["mountpoint"].Value != d.Mountpoint || !d.Mounted {
		t.Errorf("altroot %s: %+v", inv.Pool.AltRoot, d)
	}
}
