package zfs

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Of OpenZFS 2.3.9, short of the numbers that nobody reads, and with a device that is being replaced, the
// remains of a removed one and a scrub added.
const degradedJSON = `{"output_version":{"command":"zpool status","vers_major":0,"vers_minor":1},"pools":{"zt":{"name":"zt","state":"DEGRADED",
"pool_guid":8241174582295909592,"status":"One or more devices has been taken offline by the administrator.\n\tSufficient replicas exist.\n",
"action":"Online the device using 'zpool online' or replace the device with\n\t'zpool replace'.\n",
"scan_stats":{"function":"SCRUB","state":"FINISHED","start_time":1795928200,"end_time":1795928242,"errors":0},
"vdevs":{"zt":{"name":"zt","vdev_type":"root","guid":1,"class":"normal","state":"DEGRADED","vdevs":{
"mirror-10":{"name":"mirror-10","vdev_type":"mirror","state":"DEGRADED","vdevs":{
"replacing-0":{"name":"replacing-0","vdev_type":"replacing","state":"CANT_OPEN","vdevs":{
"127286639182292558":{"name":"127286639182292558","vdev_type":"disk","path":"/dev/disk/by-id/virtio-a-part1","state":"CANT_OPEN","not_present":1,"was":"/dev/disk/by-id/virtio-a-part1"},
"/dev/vdz1":{"name":"/dev/vdz1","vdev_type":"disk","path":"/dev/vdz1","state":"ONLINE"}}},
"/dev/vde1":{"name":"/dev/vde1","vdev_type":"disk","path":"/dev/vde1","class":"normal","state":"OFFLINE","read_errors":1,"write_errors":0,"checksum_errors":12}}},
"indirect-1":{"name":"indirect-1","vdev_type":"indirect","state":"ONLINE"},
"raidz2-2":{"name":"raidz2-2","vdev_type":"raidz","state":"ONLINE","vdevs":{"/dev/vdf1":{"name":"/dev/vdf1","path":"/dev/vdf1","state":"ONLINE"}}},
"/tmp/a b/f ONLINE x":{"name":"/tmp/a b/f ONLINE x","vdev_type":"file","path":"/tmp/a b/f ONLINE x","class":"normal","state":"ONLINE"}}}},
"special":{"mirror-1":{"name":"mirror-1","vdev_type":"mirror","class":"special","state":"ONLINE","vdevs":{"/dev/vdg1":{"name":"/dev/vdg1","path":"/dev/vdg1","state":"ONLINE"}}}},
"logs":{"/dev/vdh1":{"name":"/dev/vdh1","vdev_type":"disk","path":"/dev/vdh1","class":"log","state":"ONLINE"}},
"l2cache":{"/dev/vdi1":{"name":"/dev/vdi1","vdev_type":"disk","path":"/dev/vdi1","class":"l2cache","state":"ONLINE"}},
"spares":{"/dev/vdj1":{"name":"/dev/vdj1","vdev_type":"disk","path":"/dev/vdj1","class":"spare","state":"AVAIL"},
"draid1-0-0":{"name":"draid1-0-0","state":"AVAIL"}},
"error_count":2}}}`

func TestStatusInJSON(t *testing.T) {
	r, err := parseStatusJSON("zt", degradedJSON)
	if err != nil {
		t.Fatal(err)
	}
	if r.fields["state"] != "DEGRADED" || !strings.HasSuffix(r.fields["status"], "Sufficient replicas exist.") || r.errors != "2 data errors" ||
		!r.scrubbed.Equal(time.Unix(1795928242, 0)) {
		t.Errorf("%+v", r)
	}
	want := []Vdev{
		{Type: "mirror", Name: "mirror-10", State: "DEGRADED", Devices: []Device{
			{Path: "/dev/disk/by-id/virtio-a-part1", State: "UNAVAIL"}, {Path: "/dev/vdz1", State: "ONLINE", Beside: true}, {Path: "/dev/vde1", State: "OFFLINE", Errors: "1 0 12"}}},
		{Type: "raidz2", Name: "raidz2-2", State: "ONLINE", Devices: []Device{{Path: "/dev/vdf1", State: "ONLINE"}}},
		{Name: "/tmp/a b/f ONLINE x", State: "ONLINE", Devices: []Device{{Path: "/tmp/a b/f ONLINE x", State: "ONLINE"}}},
		{Type: "mirror", Class: "special", Name: "mirror-1", State: "ONLINE", Devices: []Device{{Path: "/dev/vdg1", State: "ONLINE"}}},
		{Class: "log", Name: "/dev/vdh1", State: "ONLINE", Devices: []Device{{Path: "/dev/vdh1", State: "ONLINE"}}},
		{Class: "cache", Name: "/dev/vdi1", State: "ONLINE", Devices: []Device{{Path: "/dev/vdi1", State: "ONLINE"}}},
		{Class: "spare", Name: "/dev/vdj1", State: "AVAIL", Devices: []Device{{Path: "/dev/vdj1", State: "AVAIL"}}},
		{Class: "spare", Name: "draid1-0-0", State: "AVAIL", Devices: []Device{{Path: "draid1-0-0", State: "AVAIL"}}},
	}
	if diff := cmp.Diff(want, r.vdevs); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "{}", "no json", `{"pools":{"other":{}}}`, `{"pools":{"zt":{"vdevs":[]}}}`, `{"pools":{"zt":{"vdevs":{}}}}`} {
		if r, err := parseStatusJSON("zt", text); err == nil {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// zpool writes the kernel's states into its JSON, and its own into the table and the manual.
func TestStatesInJSON(t *testing.T) {
	for words, want := range map[string]string{
		`"state":"CANT_OPEN","not_present":1`:      "UNAVAIL",
		`"state":"CANT_OPEN","aux":"OPEN_FAILED"`:  "UNAVAIL",
		`"state":"CANT_OPEN","aux":"CORRUPT_DATA"`: "FAULTED",
		`"state":"CANT_OPEN","aux":"BAD_LOG"`:      "FAULTED",
		`"state":"CANT_OPEN","aux":"SPLIT_POOL"`:   "SPLIT",
		`"state":"CLOSED"`:                         "OFFLINE",
		`"state":"FAULTED","aux":"ERR_EXCEEDED"`:   "FAULTED",
		`"state":"REMOVED"`:                        "REMOVED",
		`"state":"UNKNOWN"`:                        "UNKNOWN",
	} {
		r, err := parseStatusJSON("zt", strings.Replace(degradedJSON, `"class":"log","state":"ONLINE"`, words, 1))
		if err != nil {
			t.Fatal(err)
		}
		if log := r.vdevs[4]; log.State != want || log.Devices[0].State != want {
			t.Errorf("%s: %+v, want %s", words, log, want)
		}
		if faults := (Pool{Vdevs: r.vdevs[4:5]}).Faults(); len(faults) != 1 || faults[0] != "/dev/vdh1 is "+want {
			t.Errorf("%s: %q", words, faults)
		}
	}
}

func TestScansInJSON(t *testing.T) {
	const scrub = `"function":"SCRUB","state":"FINISHED","start_time":1795928200,"end_time":1795928242,"errors":0`
	for scans, want := range map[string]struct {
		scrubbed    int64
		resilvering string
	}{
		scrub: {scrubbed: 1795928242},
		`"function":"SCRUB","state":"CANCELED","start_time":1795928200,"end_time":1795928242`: {},
		`"function":"SCRUB","state":"SCANNING","start_time":1795928200,"end_time":0`:          {},
		`"function":"RESILVER","state":"FINISHED","start_time":1,"end_time":1795928242`:       {},
		`"function":"RESILVER","state":"SCANNING","start_time":1795928242,"end_time":0`:       {resilvering: "resilver in progress since Sun Nov 29 04:57:22 2026"},
		scrub + `,"rebuild_stats":{"mirror-1":{"state":"ACTIVE","start_time":1795928243},"mirror-0":{"state":"ACTIVE","start_time":1795928242},"mirror-2":{"state":"COMPLETE","start_time":1}}`: {
			scrubbed:    1795928242,
			resilvering: "resilver (mirror-0) in progress since Sun Nov 29 04:57:22 2026, resilver (mirror-1) in progress since Sun Nov 29 04:57:23 2026",
		},
	} {
		r, err := parseStatusJSON("zt", strings.Replace(degradedJSON, scrub, scans, 1))
		if err != nil {
			t.Fatal(err)
		}
		if r.resilvering != want.resilvering || r.scrubbed.IsZero() != (want.scrubbed == 0) || !r.scrubbed.IsZero() && r.scrubbed.Unix() != want.scrubbed {
			t.Errorf("%s: resilvering %q, scrubbed %s", scans, r.resilvering, r.scrubbed)
		}
	}
}

// What OpenZFS 2.3 can do costs no process more than an older one takes.
func TestStatusIsAskedForInJSONWhereTheToolHasIt(t *testing.T) {
	var asked []string
	o := &openZFS{t: t, answers: map[string]string{
		"zpool get -Hp all zt":          strings.ReplaceAll(openZPoolGet, "zp1\t", "zt\t"),
		"zpool status -j --json-int zt": degradedJSON,
		"zfs get -Hp -r -o name,property,value,source -t filesystem,volume type,guid,origin,mountpoint,mounted,used,available,referenced,encryptionroot,keystatus,keylocation zt": "",
		"zfs get -Hp -r -o name,property,value,source -t snapshot type,guid,createtxg,creation,userrefs,used zt":                                                                  "",
	}}
	c := New(func(cmd *exec.Cmd) error {
		asked = append(asked, strings.Join(cmd.Args, " "))
		if len(cmd.Args) == 1 {
			_, _ = cmd.Stderr.Write([]byte(strings.ReplaceAll(openZFSUsage, "list [-Hp] ", "list [-Hp] [-j [--json-int]] ")))
			return exitStatus(2)
		}
		return o.run(cmd)
	})
	inv := inventory(t, c, "zt", Query{})
	if len(asked) != 5 || len(inv.Pool.Vdevs) != 8 || inv.Pool.Health != "ONLINE" || inv.Pool.Errors != "2 data errors" {
		t.Errorf("%q\n%+v", asked, inv.Pool)
	}
}

func FuzzParseStatusJSON(f *testing.F) {
	f.Add(degradedJSON)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseStatusJSON("zt", text)
		for _, v := range r.vdevs {
			if err == nil && v.Name == "" && len(v.Devices) == 0 {
				t.Fatalf("a vdev of nothing: %+v", r)
			}
		}
	})
}
