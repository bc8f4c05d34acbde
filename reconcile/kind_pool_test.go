package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zreconcile/zreconcile/zfs"
)

const (
	givenDevice  = "/dev/disk/by-id/virtio-data"
	givenDevices = "    - devices: [/dev/disk/by-id/virtio-data]\n"
	mirrors      = "    - {type: mirror, devices: [/disks/a, /disks/b]}\n    - {type: mirror, devices: [/disks/c, /disks/d]}\n    - {class: cache, devices: [/disks/e]}\n"
)

// holding is a bare host whose disk holds something.
func holding(c zfs.Content) func(testing.TB, *State) {
	return func(_ testing.TB, s *State) { s.Absent.Devices[givenDevice] = c }
}

func TestDiffPoolAbsent(t *testing.T) {
	created, blocked := []string{"create pool/zp1"}, []string{"block pool/zp1"}
	overwrite := []string{givenDevices, givenDevices + "  overwrite: [" + givenDevice + "]\n"}
	importable := func(pools ...zfs.Importable) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { s.Absent.Importable = pools }
	}
	checkDiffs(t, map[string]diffCase{
		"a file system is not written over": {bare: true, only: Only{kindPool}, from: holding(zfs.Content{Kind: zfs.Filesystem, Detail: "ext4"}), want: blocked},
		"a partition table neither":         {bare: true, only: Only{kindPool}, from: holding(zfs.Content{Kind: zfs.PartitionTable, Detail: "gpt"}), want: blocked},
		"a file system in overwrite is":     {bare: true, only: Only{kindPool}, edits: overwrite, from: holding(zfs.Content{Kind: zfs.Filesystem, Detail: "ext4"}), want: created},
		// pitfall 55
		"a label never is":                        {bare: true, only: Only{kindPool}, edits: overwrite, from: holding(zfs.Content{Kind: zfs.Label, Detail: `pool "zp0" (guid 5), exported`}), want: blocked},
		"a mounted disk never is":                 {bare: true, only: Only{kindPool}, edits: overwrite, from: holding(zfs.Content{Kind: zfs.InUse, Detail: "/dev/vdb is mounted at /mnt"}), want: blocked},
		"a missing disk":                          {bare: true, only: Only{kindPool}, from: holding(zfs.Content{Kind: zfs.Missing}), want: blocked},
		"a disk that nobody looked at":            {bare: true, only: Only{kindPool}, from: func(_ testing.TB, s *State) { s.Absent.Devices = nil }, want: blocked},
		"no vdevs to make it from":                {bare: true, only: Only{kindPool}, edits: []string{"  vdevs:\n" + givenDevices, ""}, want: blocked},
		"import is preferred to create":           {bare: true, only: Only{kindPool}, from: importable(zfs.Importable{Name: "zp1", GUID: "5", State: "ONLINE"}), want: created},
		"a degraded pool is imported":             {bare: true, only: Only{kindPool}, from: importable(zfs.Importable{Name: "zp1", GUID: "5", State: "DEGRADED"}), want: created},
		"one that misses devices is not":          {bare: true, only: Only{kindPool}, from: importable(zfs.Importable{Name: "zp1", GUID: "5", State: "UNAVAIL", Status: "One or more devices are missing."}), want: blocked},
		"two of the name":                         {bare: true, only: Only{kindPool}, from: importable(zfs.Importable{Name: "zp1", GUID: "5", State: "ONLINE"}, zfs.Importable{Name: "zp1", GUID: "6", State: "ONLINE"}), want: blocked},
		"a mirror and a cache, as they are given": {bare: true, only: Only{kindPool}, edits: []string{givenDevices, mirrors}, want: created},
	})
}

func TestDiffPool(t *testing.T) {
	autotrim := []string{"{ashift: 13}", "{ashift: 13, autotrim: on}"}
	vdevs := func(list ...zfs.Vdev) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { s.ZFS.Pool.Vdevs = list }
	}
	disk := func(path string) []zfs.Device { return []zfs.Device{{Path: path, State: "ONLINE"}} }
	pair := func(a, b string) []zfs.Device { return append(disk(a), disk(b)...) }
	beside := func(old, with string, others ...string) []zfs.Device {
		devices := []zfs.Device{{Path: old, State: "UNAVAIL"}, {Path: with, State: "ONLINE", Beside: true}}
		for _, path := range others {
			devices = append(devices, disk(path)...)
		}
		return devices
	}
	mirror := []string{givenDevices, "    - {type: mirror, devices: [/disks/a, /disks/b]}\n"}
	blocked := []string{"block pool/zp1"}
	pool := func(name, value string) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { s.ZFS.Pool.Properties[name] = zfs.Value{Value: value, Source: "local"} }
	}
	checkDiffs(t, map[string]diffCase{
		"a property that differs is set": {edits: autotrim, from: pool("autotrim", "off"), want: []string{"update pool/zp1"}},
		// pitfall 6
		"ashift can't be changed": {from: pool("ashift", "12"), want: blocked},
		"a property that the tool does not know is no endless update": {edits: autotrim, want: blocked, from: func(_ testing.TB, s *State) {
			delete(s.ZFS.Pool.Properties, "autotrim")
			s.ZFS.Unsupported = []string{"autotrim"}
		}},
		"the root dataset's properties": {want: []string{"update pool/zp1"}, from: func(_ testing.TB, s *State) { change(s, "zp1", local("canmount", "on")) }},
		"the root dataset's creation-only ones": {edits: []string{"{canmount: off}", "{canmount: off, normalization: formD}"}, want: blocked,
			from: func(_ testing.TB, s *State) { change(s, "zp1", local("normalization", "none")) }},
		"other disks":                           {from: vdevs(zfs.Vdev{Name: "x", Devices: disk("/disks/x")}), want: blocked},
		"one disk more":                         {from: vdevs(zfs.Vdev{Devices: disk(givenDevice)}, zfs.Vdev{Devices: disk("/disks/x")}), want: blocked},
		"a mirror where a stripe was wanted":    {from: vdevs(zfs.Vdev{Type: "mirror", Devices: pair(givenDevice, "/disks/x")}), want: blocked},
		"a log where data was wanted":           {from: vdevs(zfs.Vdev{Class: "log", Devices: disk(givenDevice)}), want: blocked},
		"no vdevs in the file, any in the pool": {edits: []string{"  vdevs:\n" + givenDevices, ""}, from: vdevs(zfs.Vdev{Devices: disk("/disks/x")})},
		"by the short name of zpool status":     {from: vdevs(zfs.Vdev{Name: "virtio-data", Devices: disk("virtio-data")})},
		"its first partition":                   {from: vdevs(zfs.Vdev{Devices: disk(givenDevice + "-part1")})},
		"mirrors in another order": {edits: []string{givenDevices, mirrors}, from: vdevs(zfs.Vdev{Class: "cache", Devices: disk("/disks/e")},
			zfs.Vdev{Type: "mirror", Devices: pair("/disks/d", "/disks/c")}, zfs.Vdev{Type: "mirror", Devices: pair("/disks/a", "/disks/b")})},
		"mirrors of other pairs": {edits: []string{givenDevices, mirrors}, want: blocked, from: vdevs(zfs.Vdev{Class: "cache", Devices: disk("/disks/e")},
			zfs.Vdev{Type: "mirror", Devices: pair("/disks/a", "/disks/c")}, zfs.Vdev{Type: "mirror", Devices: pair("/disks/b", "/disks/d")})},
		// A disk that failed is a person's affair, and no reason to stop snapshots.
		"a mirror one side of which is gone": {edits: mirror, from: vdevs(zfs.Vdev{Type: "mirror", Devices: []zfs.Device{{Path: "/disks/a", State: "ONLINE"}, {Path: "/disks/b", State: "REMOVED"}}})},
		"a disk is being replaced":           {edits: mirror, from: vdevs(zfs.Vdev{Type: "mirror", Devices: beside("/disks/a", "/disks/x", "/disks/b")})},
		"a disk is being replaced, and the file names the new one": {edits: []string{givenDevices, "    - {type: mirror, devices: [/disks/x, /disks/b]}\n"},
			from: vdevs(zfs.Vdev{Type: "mirror", Devices: beside("/disks/a", "/disks/x", "/disks/b")})},
		"the only disk is being replaced": {from: vdevs(zfs.Vdev{Devices: beside(givenDevice, "/disks/x")})},
		"a spare is in use": {edits: []string{givenDevices, "    - {type: mirror, devices: [/disks/a, /disks/b]}\n    - {class: spare, devices: [/disks/s]}\n"},
			from: vdevs(zfs.Vdev{Type: "mirror", Devices: beside("/disks/a", "/disks/s", "/disks/b")}, zfs.Vdev{Class: "spare", Devices: disk("/disks/s")})},
		"a disk was replaced":               {edits: mirror, from: vdevs(zfs.Vdev{Type: "mirror", Devices: pair("/disks/x", "/disks/b")}), want: blocked},
		"both disks of a mirror are others": {edits: mirror, from: vdevs(zfs.Vdev{Type: "mirror", Devices: pair("/disks/x", "/disks/y")}), want: blocked},
		"a disk of a mirror was detached":   {edits: mirror, from: vdevs(zfs.Vdev{Devices: disk("/disks/a")}), want: blocked},
		"a third disk was attached":         {edits: mirror, from: vdevs(zfs.Vdev{Type: "mirror", Devices: append(pair("/disks/a", "/disks/b"), disk("/disks/c")...)}), want: blocked},
		"disks of two mirrors changed places": {edits: []string{givenDevices, mirrors}, want: blocked, from: vdevs(zfs.Vdev{Class: "cache", Devices: disk("/disks/e")},
			zfs.Vdev{Type: "mirror", Devices: pair("/disks/a", "/disks/d")}, zfs.Vdev{Type: "mirror", Devices: pair("/disks/c", "/disks/x")})},
		"suspended": {want: blocked, from: func(_ testing.TB, s *State) {
			s.ZFS.Pool.Suspended, s.ZFS.Pool.Status = true, "One or more devices are faulted."
		}},
	})
}

func TestDegradedPoolIsShown(t *testing.T) {
	plan := diffCase{from: func(_ testing.TB, s *State) {
		s.ZFS.Pool.Health, s.ZFS.Pool.Status = "DEGRADED", "One device is offline."
	}}.planned(t)
	if len(plan.Notes) != 1 || plan.Notes[0] != "pool zp1 is DEGRADED: One device is offline." || !plan.Converged {
		t.Errorf("notes %q, converged %v", plan.Notes, plan.Converged)
	}
}

// What is wrong with a pool stands in each plan, and changes nothing.
func TestFaultsOfThePoolAreShown(t *testing.T) {
	mirror := []string{givenDevices, "    - {type: mirror, devices: [/disks/a, /disks/b]}\n"}
	for name, test := range map[string]struct {
		spoil func(*zfs.Pool)
		notes []string
	}{
		"a device that had errors": {func(p *zfs.Pool) { p.Vdevs[0].Devices[1].Errors = "0 0 56" },
			[]string{"pool zp1 is ONLINE, /disks/b had errors (read 0, write 0, checksum 56): zpool's words"}},
		"lost data": {func(p *zfs.Pool) { p.Errors = "3 data errors, use '-v' for a list" }, []string{"pool zp1 is ONLINE, 3 data errors, use '-v' for a list: zpool's words"}},
		"resilvering": {func(p *zfs.Pool) { p.Resilvering = "resilver in progress since Sun Nov 29 04:51:02 2026" },
			[]string{"pool zp1 is ONLINE, resilver in progress since Sun Nov 29 04:51:02 2026: zpool's words"}},
		"a missing device": {func(p *zfs.Pool) { p.Health, p.Vdevs[0].Devices[1].State = "DEGRADED", "REMOVED" },
			[]string{"pool zp1 is DEGRADED, /disks/b is REMOVED: zpool's words"}},
		"words about features": {func(*zfs.Pool) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			plan := diffCase{edits: mirror, from: func(_ testing.TB, s *State) {
				p := *s.ZFS.Pool
				p.Status = "zpool's words"
				p.Vdevs = []zfs.Vdev{{Type: "mirror", Devices: []zfs.Device{{Path: "/disks/a", State: "ONLINE"}, {Path: "/disks/b", State: "ONLINE"}}}}
				test.spoil(&p)
				s.ZFS.Pool = &p
			}}.planned(t)
			if !slices.Equal(plan.Notes, test.notes) || !plan.Converged {
				t.Errorf("notes %q, converged %v", plan.Notes, plan.Converged)
			}
		})
	}
}

func TestSameDeviceBehindLinks(t *testing.T) {
	dir := t.TempDir()
	disk, link := filepath.Join(dir, "disk"), filepath.Join(dir, "by-id")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(disk, link); err != nil {
		t.Fatal(err)
	}
	if !sameDevice(link, disk) || sameDevice(link, filepath.Join(dir, "other")) {
		t.Error("a link is the device behind it, and no other")
	}
	if !sameDevice("/dev/of-a-vendor/disk7", "disk7") || sameDevice("/dev/of-a-vendor/disk7", "disk") {
		t.Error("a disk of any folder is shown by its last name")
	}
	if !sameDevice("/dev/null", "null") || sameDevice("/dev/null", "zero") {
		t.Error("a name without a folder is looked for in /dev")
	}
}

// A pool that works holds what it is to hold, whatever the file says of it; on one
// that is suspended, or not there, nothing can be done, and one that shares nothing
// with the file but its name may be somebody else's.
func TestABlockOfAPoolThatWorksHoldsNothingUp(t *testing.T) {
	others := func(s *State) {
		p := *s.ZFS.Pool
		p.Vdevs = []zfs.Vdev{{Devices: []zfs.Device{{Path: "/disks/x", State: "ONLINE"}}}}
		s.ZFS.Pool = &p
	}
	for name, test := range map[string]struct {
		c     diffCase
		aside bool
	}{
		"other properties": {diffCase{from: func(_ testing.TB, s *State) {
			s.ZFS.Pool.Properties["ashift"] = zfs.Value{Value: "12", Source: "local"}
		}}, true},
		"on other disks": {diffCase{from: func(_ testing.TB, s *State) { others(s) }}, true},
		"on other disks, with datasets of another site": {diffCase{only: Only{kindPool}, from: func(_ testing.TB, s *State) {
			others(s)
			for _, d := range s.ZFS.Datasets {
				change(s, d.Name, local(markSite, "s2"))
			}
		}}, false},
		"suspended": {diffCase{from: func(_ testing.TB, s *State) { s.ZFS.Pool.Suspended = true }}, false},
		"not there": {diffCase{bare: true, from: holding(zfs.Content{Kind: zfs.Missing})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c := test.c.planned(t).Changes[0]; c.Kind != kindPool || c.Action != Block || c.aside != test.aside {
				t.Errorf("%+v, aside: %v", c, c.aside)
			}
		})
	}
}
