package zfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The parser and what a person is told are held to what zpool really printed of
// pools with faults (testdata/status/README).
func TestFaultsInTheToolsWords(t *testing.T) {
	const by = "/dev/disk/by-id/virtio-zr-disk"
	const lost = "321 data errors, use '-v' for a list"
	online := func(path string) Device { return Device{Path: path, State: "ONLINE"} }
	erring := func(path, state, errors string, beside bool) Device {
		return Device{Path: path, State: state, Errors: errors, Beside: beside}
	}
	for file, want := range map[string]struct {
		pool    string
		devices []Device // of the first vdev
		vdevs   int
		faults  []string
		lost    bool
	}{
		"removed": {pool: "m", vdevs: 1, devices: []Device{online(by + "0-part1"), {Path: by + "1-part1", State: "REMOVED"}},
			faults: []string{by + "1 is REMOVED"}},
		"checksum": {pool: "m", vdevs: 1, devices: []Device{online("virtio-zr-disk0"), erring("virtio-zr-disk1", "ONLINE", "0 0 56", false)},
			faults: []string{"virtio-zr-disk1 had errors (read 0, write 0, checksum 56)"}},
		"data-errors": {pool: "m", vdevs: 1, lost: true, devices: []Device{erring("virtio-zr-disk0", "ONLINE", "0 0 676", false), erring("virtio-zr-disk1", "ONLINE", "0 0 676", false)},
			faults: []string{"virtio-zr-disk0 had errors (read 0, write 0, checksum 676)", "virtio-zr-disk1 had errors (read 0, write 0, checksum 676)", lost}},
		"replacing": {pool: "m", vdevs: 1, lost: true, devices: []Device{erring("virtio-zr-disk0", "ONLINE", "0 0 1.06K", false),
			erring("virtio-zr-disk1", "OFFLINE", "0 0 676", false), erring("virtio-zr-disk2", "ONLINE", "0 0 408", true)},
			faults: []string{"virtio-zr-disk0 had errors (read 0, write 0, checksum 1.06K)", "virtio-zr-disk1 is OFFLINE", "virtio-zr-disk1 had errors (read 0, write 0, checksum 676)",
				"virtio-zr-disk2 had errors (read 0, write 0, checksum 408)",
				"resilver in progress since Sun Nov 29 04:51:02 2026 44.2M / 44.2M scanned, 35.4M / 44.2M issued at 35.4M/s 3.91M resilvered, 80.09% done, 00:00:00 to go",
				"503 data errors, use '-v' for a list"}},
		"spare": {pool: "m", vdevs: 2, lost: true, devices: []Device{erring("virtio-zr-disk0", "ONLINE", "0 0 1.91K", false),
			erring("virtio-zr-disk2", "ONLINE", "0 0 1.25K", false), erring("virtio-zr-disk3", "ONLINE", "0 0 642", true)},
			faults: []string{"virtio-zr-disk0 had errors (read 0, write 0, checksum 1.91K)", "virtio-zr-disk2 had errors (read 0, write 0, checksum 1.25K)",
				"virtio-zr-disk3 had errors (read 0, write 0, checksum 642)", lost}},
		"spare-missing": {pool: "m", vdevs: 2, lost: true, devices: []Device{online(by + "0-part1"), {Path: by + "2-part1", State: "UNAVAIL"}, {Path: by + "3-part1", State: "ONLINE", Beside: true}},
			faults: []string{by + "2 is UNAVAIL", lost}},
		"suspended": {pool: "zrt177004364", vdevs: 1, lost: true, devices: []Device{erring(by+"4-part1", "ONLINE", "16 0 0", false)},
			faults: []string{by + "4 had errors (read 16, write 0, checksum 0)", "1 data errors, use '-v' for a list"}},
		"stalled": {pool: "s", vdevs: 1, lost: true, devices: []Device{erring(by+"4-part1", "ONLINE", "0 29.3K 0", false)},
			faults: []string{by + "4 had errors (read 0, write 29.3K, checksum 0)", "8 data errors, use '-v' for a list"}},
	} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "status", file+".txt"))
			must(t, err)
			pool := Pool{Name: want.pool}
			must(t, pool.add(parseStatus(string(text))[0]))
			if len(pool.Vdevs) != want.vdevs || pool.DataErrors() != want.lost || pool.Status == "" {
				t.Errorf("%d vdevs, lost %v, status %q", len(pool.Vdevs), pool.DataErrors(), pool.Status)
			}
			if diff := cmp.Diff(want.devices, pool.Vdevs[0].Devices); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.faults, pool.Faults()); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPoolWithoutFaults(t *testing.T) {
	pool := Pool{Name: "zp1"}
	must(t, pool.add(parseStatus(openZPoolStatus)[0]))
	pool.Vdevs = append(pool.Vdevs, Vdev{Class: "spare", Devices: []Device{{Path: "/dev/sdx", State: "AVAIL"}}},
		Vdev{Class: "spare", Devices: []Device{{Path: "/dev/sdy", State: "INUSE"}}}, Vdev{Class: "cache", Devices: []Device{{Path: "/dev/sdz"}}}) // no state is told
	if faults := pool.Faults(); faults != nil {
		t.Errorf("%q", faults)
	}
}
