package zfs

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const degraded = `  pool: tank
 state: DEGRADED
status: One or more devices has been taken offline by the administrator.
	Sufficient replicas exist for the pool to continue functioning in a
	degraded state.
action: Online the device using 'zpool online' or replace the device with
	'zpool replace'.
  scan: resilvered 64.3M in 0h8m with 0 errors on Thu Jul 18 12:56:58 2013
config:

	NAME                                   STATE     READ WRITE CKSUM
	tank                                   DEGRADED     0     0     0
	  mirror-0                             DEGRADED     0     0     0
	    replacing-0                        DEGRADED     0     0     0
	      127286639182292558               UNAVAIL      0     0     0  was /dev/disk/by-id/ata-A-part1
	      /dev/disk/by-id/ata-N            ONLINE       0     0     0  (resilvering)
	    /dev/disk/by-id/ata-B              ONLINE       0     0     0
	  /var/disks/with blank                ONLINE       0     0     0
	  indirect-2                           ONLINE       0     0     0
	  draid2:4d:11c:0s-3                   ONLINE       0     0     0
	    /dev/sdx                           ONLINE       0     0     0
	special	
	  mirror-4                             ONLINE       0     0     0
	    /dev/sdc                           ONLINE       0     0     0
	logs	
	  /dev/sdd                             ONLINE       0     0     0
	cache
	  /dev/sde                             ONLINE       0     0     0
	spares
	  /dev/sdf                             AVAIL   

errors: No known data errors
`

func TestStatusOfADegradedPool(t *testing.T) {
	reports := parseStatus(degraded)
	if len(reports) != 1 {
		t.Fatalf("%d pools", len(reports))
	}
	r := reports[0]
	if r.fields["state"] != "DEGRADED" || !strings.HasSuffix(r.fields["status"], "in a degraded state.") || r.errors != "" || !r.scrubbed.IsZero() {
		t.Errorf("fields %v", r.fields)
	}
	want := []Vdev{
		{Type: "mirror", Name: "mirror-0", State: "DEGRADED", Devices: []Device{
			{Path: "/dev/disk/by-id/ata-A-part1", State: "UNAVAIL"}, {Path: "/dev/disk/by-id/ata-N", State: "ONLINE", Beside: true}, {Path: "/dev/disk/by-id/ata-B", State: "ONLINE"}}},
		{Name: "/var/disks/with blank", State: "ONLINE", Devices: []Device{{Path: "/var/disks/with blank", State: "ONLINE"}}},
		{Type: "draid2", Name: "draid2:4d:11c:0s-3", State: "ONLINE", Devices: []Device{{Path: "/dev/sdx", State: "ONLINE"}}},
		{Type: "mirror", Class: "special", Name: "mirror-4", State: "ONLINE", Devices: []Device{{Path: "/dev/sdc", State: "ONLINE"}}},
		{Class: "log", Name: "/dev/sdd", State: "ONLINE", Devices: []Device{{Path: "/dev/sdd", State: "ONLINE"}}},
		{Class: "cache", Name: "/dev/sde", State: "ONLINE", Devices: []Device{{Path: "/dev/sde", State: "ONLINE"}}},
		{Class: "spare", Name: "/dev/sdf", State: "AVAIL", Devices: []Device{{Path: "/dev/sdf", State: "AVAIL"}}},
	}
	if diff := cmp.Diff(want, r.vdevs); diff != "" {
		t.Error(diff)
	}
}

// A spare that failed and is replaced itself: all of them stand in one place, in the table and in JSON.
func TestDevicesInOnePlaceAtAnyDepth(t *testing.T) {
	table := parseConfig("zt", strings.Split(`	zt                ONLINE       0     0     0
	  mirror-0        ONLINE       0     0     0
	    replacing-0   ONLINE       0     0     0
	      spare-0     ONLINE       0     0     0
	        /dev/sda  ONLINE       0     0     0
	        /dev/sdb  ONLINE       0     0     0
	      /dev/sdc    ONLINE       0     0     0
	    /dev/sdd      ONLINE       0     0     0
	  /dev/sde        ONLINE       0     0     0`, "\n"))
	leaf := func(name string) vdevJSON { return vdevJSON{Name: name, Path: name, State: "ONLINE"} }
	group := func(name string, below ...vdevJSON) vdevJSON {
		return vdevJSON{Name: name, State: "ONLINE", Vdevs: below}
	}
	mirror, _ := group("mirror-0", group("replacing-0", group("spare-0", leaf("/dev/sda"), leaf("/dev/sdb")), leaf("/dev/sdc")), leaf("/dev/sdd")).top("")
	stripe, _ := leaf("/dev/sde").top("")
	want := []Vdev{
		{Type: "mirror", Name: "mirror-0", State: "ONLINE", Devices: []Device{{Path: "/dev/sda", State: "ONLINE"}, {Path: "/dev/sdb", State: "ONLINE", Beside: true},
			{Path: "/dev/sdc", State: "ONLINE", Beside: true}, {Path: "/dev/sdd", State: "ONLINE"}}},
		{Name: "/dev/sde", State: "ONLINE", Devices: []Device{{Path: "/dev/sde", State: "ONLINE"}}},
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, []Vdev{mirror, stripe}); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
}

// pitfall 51: a status that shows no pool, or others, is not that of a pool without devices.
func TestAStatusWithoutThePool(t *testing.T) {
	for _, status := range []string{"", "all pools are healthy\n", strings.ReplaceAll(openZPoolStatus, "zp1", "zp2"), openZPoolStatus + openZPoolStatus} {
		o := &openZFS{t: t, answers: map[string]string{"zpool get -Hp all zp1": openZPoolGet, "zpool status zp1": status}}
		if inv, err := New(o.run).Inventory(t.Context(), "zp1", Query{}); err == nil {
			t.Errorf("%q: %+v", status, inv)
		}
	}
}

func TestScrubEnd(t *testing.T) {
	for scan, want := range map[string]string{
		"scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov  8 00:24:02 2026":                                                                          "2026-11-08T00:24:02Z",
		"scrub repaired 0 in 0h0m with 0 errors on Sun Nov 29 05:00:27 2026":                                                                               "2026-11-29T05:00:27Z",
		"scrub in progress since Sun Nov  8 00:24:02 2026 3.2M scanned out of 4M":                                                                          "0001-01-01T00:00:00Z",
		"scrub canceled on Sun Nov  8 00:24:02 2026":                                                                                                       "0001-01-01T00:00:00Z",
		"scrub paused since Sun Nov  8 00:24:02 2026 scrub started on Sun Nov  8 00:20:02 2026 3.2M / 4M scanned":                                          "0001-01-01T00:00:00Z",
		"scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov  8 00:24:02 2026 scan warning: skipped blocks that are only referenced by the checkpoint.": "2026-11-08T00:24:02Z",
		"resilvered 64.3M in 0h8m with 0 errors on Thu Jul 18 12:56:58 2013":                                                                               "0001-01-01T00:00:00Z",
		"none requested": "0001-01-01T00:00:00Z",
		"":               "0001-01-01T00:00:00Z",
	} {
		if got := scrubEnd(scan).Format(time.RFC3339); got != want {
			t.Errorf("%q: %s, want %s", scan, got, want)
		}
	}
}

// After a sequential resilver the scrub has a line of its own before that of each vdev.
func TestScansOfSequentialResilvers(t *testing.T) {
	const scrub = "  scan: scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov  8 00:24:02 2026\n"
	for scans, resilvering := range map[string]string{
		"  scan: resilvered (mirror-0) 64M in 00:00:02 with 0 errors on Sun Nov 29 05:00:27 2026\n": "",
		"  scan: resilver (mirror-0) canceled on Sun Nov 29 05:00:27 2026\n":                        "",
		"  scan: resilver (mirror-0) in progress since Sun Nov 29 05:00:27 2026\n\t3M / 4M scanned\n" +
			"  scan: resilver (mirror-1) in progress since Sun Nov 29 05:00:28 2026\n\t1M / 4M scanned\n": "resilver (mirror-0) in progress since Sun Nov 29 05:00:27 2026 3M / 4M scanned, " +
			"resilver (mirror-1) in progress since Sun Nov 29 05:00:28 2026 1M / 4M scanned",
	} {
		r := parseStatus(strings.Replace(openZPoolStatus, "config:", scrub+scans+"config:", 1))[0]
		if r.resilvering != resilvering || r.scrubbed.Format(time.RFC3339) != "2026-11-08T00:24:02Z" || len(r.vdevs) != 1 {
			t.Errorf("%s: resilvering %q, scrubbed %s, vdevs %v", scans, r.resilvering, r.scrubbed, r.vdevs)
		}
	}
}

func TestImportListsSeveralPools(t *testing.T) {
	out := `   pool: a
     id: 1785981735137013783
  state: ONLINE
 action: The pool can be imported using its name or numeric identifier.
 config:

	a           ONLINE
	  raidz1-0  ONLINE
	    sda     ONLINE
	    sdb     ONLINE

   pool: b
     id: 2
  state: UNAVAIL
 status: One or more devices are missing from the system.
 action: The pool cannot be imported. Attach the missing
	devices and try again.
 config:

	b                      UNAVAIL  insufficient replicas
	  1234567890123456789  UNAVAIL
`
	c := New(func(cmd *exec.Cmd) error { _, err := cmd.Stdout.Write([]byte(out)); return err })
	pools, err := c.Importable(t.Context(), nil)
	if err != nil || len(pools) != 2 {
		t.Fatalf("%+v, %v", pools, err)
	}
	if a := pools[0]; a.Name != "a" || a.Vdevs[0].Type != "raidz1" || len(a.Vdevs[0].Devices) != 2 {
		t.Errorf("%+v", a)
	}
	if b := pools[1]; b.GUID != "2" || b.State != "UNAVAIL" || !strings.HasSuffix(b.Action, "and try again.") {
		t.Errorf("%+v", b)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add(degraded)
	f.Add("pool: a\nconfig:\n\ta ONLINE\n\t\t\tb\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range parseStatus(text) {
			if _, ok := r.fields["pool"]; !ok {
				t.Fatal("a report without a pool")
			}
		}
	})
}

func TestErrorsAreClassifiedByTheToolsWords(t *testing.T) {
	for words, want := range map[string]Kind{
		"cannot open 'x': no such pool":                                                                                                               ErrNotFound,
		"cannot open 'x': dataset does not exist":                                                                                                     ErrNotFound,
		"The ZFS modules are not loaded.\nTry running 'modprobe zfs' as root to load them.":                                                           ErrNoModule,
		"The ZFS modules cannot be auto-loaded.\nTry running 'modprobe zfs' as root to manually load them.":                                           ErrNoModule,
		"connect: No such file or directory\nPlease make sure that the zfs-fuse daemon is running.\ninternal error: failed to initialize ZFS library": ErrNoModule,
		"connect: Permission denied\ninternal error: failed to initialize ZFS library":                                                                ErrPermission,
		"cannot open 'x': pool I/O is currently suspended":                                                                                            ErrSuspended,
		"cannot destroy 'p/d': dataset is busy":                                                                                                       ErrBusy,
		"umount: /x: target is busy.\ncannot unmount '/x': umount failed":                                                                             ErrBusy,
		"cannot destroy snapshot p@a: it's being held. Run 'zfs holds -r p@a' to see holders.":                                                        ErrHeld,
		"cannot destroy 'p@a': snapshot has dependent clones\nuse '-R' to destroy":                                                                    ErrHasClones,
		"cannot destroy 'p': filesystem has children\nuse '-r' to destroy":                                                                            ErrHasChildren,
		"Key load error: Key already loaded for 'p/e'.":                                                                                               ErrExists,
		"cannot create 'p/d': out of space":                                                                                                           ErrNoSpace,
		"cannot create 'p/d': permission denied":                                                                                                      ErrPermission,
		"cannot set property for 'p': 'recordsize' must be power of 2 from 512B to 1M":                                                                ErrInvalidProperty,
		"invalid vdev specification\nuse '-f' to override:\n/dev/sdb1 is part of active pool 'x'":                                                     ErrInUse,
		"invalid option 'P'\nusage:\n\tstatus [-vx] [pool] ... permission denied":                                                                     ErrOther,
		"": ErrOther,
	} {
		if got := classify(words); got != want {
			t.Errorf("%q: %s, want %s", words, got, want)
		}
	}
}

func TestNoModuleIsNotAMissingPool(t *testing.T) { // pitfall 51
	for _, run := range []func(*exec.Cmd) error{
		func(cmd *exec.Cmd) error {
			_, _ = cmd.Stderr.Write([]byte("The ZFS modules are not loaded.\n"))
			return exitStatus(1)
		},
		func(cmd *exec.Cmd) error { return &exec.Error{Name: "zpool", Err: exec.ErrNotFound} },
	} {
		inv, err := New(run).Inventory(context.Background(), "p", Query{})
		if !errors.Is(err, ErrNoModule) {
			t.Errorf("%+v, %v", inv, err)
		}
	}
}

func TestSuspendedPoolIsNotRead(t *testing.T) {
	o := &openZFS{t: t, answers: map[string]string{
		"zpool get -Hp all zp1": strings.ReplaceAll(openZPoolGet, "ONLINE", "SUSPENDED"),
		"zpool status zp1":      strings.ReplaceAll(openZPoolStatus, "ONLINE", "SUSPENDED"),
	}}
	inv, err := New(o.run).Inventory(t.Context(), "zp1", Query{})
	if !errors.Is(err, ErrSuspended) || inv.Pool == nil || !inv.Pool.Suspended {
		t.Errorf("%+v, %v", inv, err)
	}
}

func TestMountsAreUnescapedAndHiddenOnesLeftOut(t *testing.T) {
	lines, err := parseMounts(strings.NewReader(`22 1 0:20 / / rw - ext4 /dev/vda rw
30 22 0:31 / /zpdata01 rw,relatime shared:9 - zfs zp1/zpdata01 rw
32 30 0:33 / /zpdata01/sub rw - zfs zp1/sub rw
31 22 0:32 / /with\040blank\011tab rw - fuse.zfs zp1/b rw
33 22 0:34 / /zpdata02 rw - zfs zp1/zpdata02 rw
34 33 0:35 / /zpdata02 rw - tmpfs tmpfs rw
40 22 0:41 / /hidden/below rw - zfs zp1/below rw
41 22 0:42 / /hidden rw - zfs zp1/hidden rw
23 22 0:5 / /proc rw - proc proc rw
`))
	if err != nil {
		t.Fatal(err)
	}
	mounts := visible(lines)
	for _, tc := range []struct {
		dataset, dir string
		want         bool
	}{
		{"zp1/zpdata01", "/zpdata01/", true},
		{"zp1/b", "/with blank\ttab", true},
		{"zp1/sub", "/zpdata01", false},
		{"zp1/zpdata01", "/zpdata01/folder", false},
		{"zp1/zpdata02", "/zpdata02", false},  // another on the same target
		{"zp1/below", "/hidden/below", false}, // another on the target above
		{"zp1/hidden", "/hidden", true},
		{"zp1/none", "/none", false},
	} {
		if got := MountedAt(mounts, tc.dataset, tc.dir); got != tc.want {
			t.Errorf("MountedAt(%s, %q) = %v", tc.dataset, tc.dir, got)
		}
	}
	for path, want := range map[string]string{ // pitfall 56
		"/zpdata01/x": "zp1/zpdata01", "/zpdata01/sub/x": "zp1/sub", "/zpdata011": "/dev/vda", "/zpdata02": "tmpfs",
		"/hidden/below/x": "zp1/hidden", "/proc/1": "proc", "/etc": "/dev/vda",
	} {
		if m, ok := Holding(mounts, path); !ok || m.Source != want {
			t.Errorf("Holding(%s) = %+v", path, m)
		}
	}
	slices.Reverse(mounts)
	if m, _ := Holding(mounts, "/zpdata01/sub/x"); m.Source != "zp1/sub" {
		t.Errorf("by order, not by length: %+v", m)
	}
	if _, err := parseMounts(strings.NewReader("nonsense\n")); err == nil {
		t.Error("nonsense was read")
	}
}
