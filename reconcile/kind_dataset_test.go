package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/zfs"
)

func TestDiffDataset(t *testing.T) {
	on := func(properties map[string]zfs.Value) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { change(s, "zp1/data", properties) }
	}
	updated, blocked := []string{"update dataset/zp1/data"}, []string{"block dataset/zp1/data"}
	prop := func(text string) []string { return []string{"recordsize: 8K", text} }
	checkDiffs(t, map[string]diffCase{
		"a value that differs":                      {from: on(local("recordsize", "131072", "atime", "on")), want: updated},
		"an equal value that is inherited":          {from: on(inherited("zp1", "atime", "off"))},
		"sizes in other units":                      {edits: prop("refquota: 50G"), from: on(local("refquota", "53687091200"))},
		"no limit reads back as 0":                  {edits: prop("quota: none"), from: on(map[string]zfs.Value{"quota": {Value: "0", Source: "default"}})},
		"compression on stays on":                   {edits: prop("compression: on"), from: on(local("compression", "on"))},
		"an alias":                                  {edits: prop("compression: gzip"), from: on(local("compression", "gzip-6"))},
		"compression lz4 is not on":                 {edits: prop("compression: on"), from: on(local("compression", "lz4")), want: updated},
		"null wants no value of its own":            {edits: prop("recordsize: null"), from: on(local("recordsize", "8192")), want: updated},
		"null neither a received one":               {edits: prop("recordsize: null"), from: on(map[string]zfs.Value{"recordsize": {Value: "8192", Source: "received"}}), want: updated},
		"null is content with the inherited":        {edits: prop("recordsize: null"), from: on(inherited("zp1", "recordsize", "131072"))},
		"what the file does not name is left alone": {from: on(local("compression", "gzip-9"))},
		"creation-only":                             {edits: prop("casesensitivity: insensitive"), from: on(map[string]zfs.Value{"casesensitivity": {Value: "sensitive", Source: "none"}}), want: blocked},
		"a property that the tool does not know": {edits: prop("dnodesize: auto"), want: blocked, from: func(_ testing.TB, s *State) {
			delete(dataset(s, "zp1/data").Properties, "dnodesize")
			s.ZFS.Unsupported = []string{"dnodesize"}
		}},
		"a volume of the name": {want: blocked,
			from: func(_ testing.TB, s *State) {
				d := dataset(s, "zp1/data")
				d.Type = "volume"
				delete(d.Properties, "recordsize")
			}},
		"another site's": {from: on(local(markSite, "s2")), want: blocked},
		// pitfall 54: a mark that was handed down is nobody's claim.
		"a stranger's inherited mark": {from: on(inherited("zp1", markSite, "s2", markFormat, marksFormat))},
		"adopted, with snapshots of another site": {want: append(blocked, "block snapshot/zr-20261123T120000Z"), from: func(_ testing.TB, s *State) {
			delete(dataset(s, "zp1/wal").Properties, markSite)
			delete(dataset(s, "zp1/data").Properties, markSite)
			s.ZFS.Snapshots = nil
			addStranger(s, "zp1/data", "theirs", local(markSite, "s2", markFormat, marksFormat, markSystemID, "7123456789012345678"))
			addStranger(s, "zp1/wal", "theirs", inherited("zp1", markSite, "s2"))
			addStranger(s, "zp1/data", "by-hand", nil)
		}},
	})
}

func TestDiffDatasetNew(t *testing.T) {
	add := func(properties string) []string {
		return []string{"datasets:\n", "datasets:\n  - name: extra\n    properties: " + properties + "\n  - name: extra/below\n    properties: {mountpoint: /below}\n"}
	}
	both := []string{"create dataset/zp1/extra", "create dataset/zp1/extra/below"}
	gone := func(more func(*State)) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) {
			without(s, "zp1/extra")
			without(s, "zp1/extra/below")
			if more != nil {
				more(s)
			}
		}
	}
	first := []string{"block dataset/zp1/extra", "block dataset/zp1/extra/below"} // which would make the first without its properties
	checkDiffs(t, map[string]diffCase{
		"parents come first": {edits: add("{mountpoint: /extra}"), from: gone(nil), want: both},
		"its mountpoint is another's": {edits: add("{mountpoint: /extra}"), want: first, from: gone(func(s *State) {
			s.Mounts = append(s.Mounts, zfs.Mount{Source: "/dev/vdc", Target: "/extra", FSType: "ext4"})
		})},
		"files lie at its mountpoint": {edits: add("{mountpoint: /extra}"), want: first, from: gone(func(s *State) {
			s.Occupied["/extra"] = []string{"a", "b"}
		})},
		"one that is never mounted minds no mountpoint": {edits: add("{mountpoint: /extra, canmount: off}"), want: both, from: gone(func(s *State) {
			s.Occupied["/extra"] = []string{"a", "b"}
		})},
		"the pool is not encrypted, as the file wants it": {edits: append(add("{mountpoint: /extra}"), "{canmount: off}", "{canmount: off, encryption: on}"), want: append([]string{"block pool/zp1"}, first...),
			from: gone(func(s *State) {
				change(s, "zp1", map[string]zfs.Value{"encryption": {Value: "off", Source: "default"}})
			})},
		"the pool is not encrypted, and the dataset will be": {edits: append(add("{mountpoint: /extra, encryption: on}"), "{canmount: off}", "{canmount: off, encryption: on}"), want: append([]string{"block pool/zp1"}, both...),
			from: gone(func(s *State) {
				change(s, "zp1", map[string]zfs.Value{"encryption": {Value: "off", Source: "default"}})
			})},
		"only the dataset above is encrypted, and not by the file": {
			edits: []string{"datasets:\n", "datasets:\n  - name: theirs/extra\n    properties: {mountpoint: /extra}\n", "{canmount: off}", "{canmount: off, encryption: on}"},
			want:  []string{"block pool/zp1", "create dataset/zp1/theirs/extra"}, from: func(_ testing.TB, s *State) {
				without(s, "zp1/theirs/extra")
				addDataset(s, "zp1/theirs", nil)
				change(s, "zp1/theirs", map[string]zfs.Value{"encryption": {Value: "aes-256-gcm", Source: "none"}})
				change(s, "zp1", map[string]zfs.Value{"encryption": {Value: "off", Source: "default"}})
			}},
		"a property that the tool does not know": {edits: add("{mountpoint: /extra, dnodesize: auto}"), want: first, from: gone(func(s *State) {
			s.ZFS.Unsupported = []string{"dnodesize"}
		})},
	})
}

// pitfall 48
func TestDiffDatasetMountpoint(t *testing.T) {
	blocked := []string{"block dataset/zp1/extra"}
	extra := []string{"datasets:\n", "datasets:\n  - name: extra\n    properties: {mountpoint: /extra}\n"}
	checkDiffs(t, map[string]diffCase{
		"a trailing slash is no difference": {edits: extra, from: func(_ testing.TB, s *State) { change(s, "zp1/extra", local("mountpoint", "/extra/")) }},
		"another one is moved": {edits: extra, want: []string{"update dataset/zp1/extra"}, from: func(_ testing.TB, s *State) {
			unmount(s, "zp1/extra")
			change(s, "zp1/extra", local("mountpoint", "/other"))
			mount(s, "zp1/extra", "/other")
		}},
		"but not where another file system is": {edits: extra, want: blocked, from: func(_ testing.TB, s *State) {
			unmount(s, "zp1/extra")
			change(s, "zp1/extra", local("mountpoint", "/other"))
			mount(s, "zp1/extra", "/other")
			s.Mounts = append(s.Mounts, zfs.Mount{Source: "/dev/vdc", Target: "/extra", FSType: "ext4"})
		}},
	})
}

// pitfall 48: altroot is put before mountpoints.
func TestMountpointBelowAltRootIsEqual(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.ZFS.Pool.AltRoot = "/mnt"
	for _, name := range []string{"data", "wal"} {
		mountpoint := map[string]string{"data": "/mnt/data", "wal": "/mnt/arch"}[name]
		unmount(&state, "zp1/"+name)
		change(&state, "zp1/"+name, local("mountpoint", mountpoint))
		mount(&state, "zp1/"+name, mountpoint)
	}
	if changes := givenView(site, &state).diff(stage{kind: kindDataset, diff: diffDataset}); len(changes) > 0 {
		t.Errorf("mountpoints below the altroot are set again: %+v", changes)
	}
}
