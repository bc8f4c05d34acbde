//go:build vm

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

// newStorage is a site of pool and datasets alone, on n disks. Its file is what
// is given to describe.
func newStorage(t *testing.T, n int) (s *site, disks []string) {
	t.Helper()
	dir, name := newFolder(t)
	s = &site{Dir: dir, Name: name}
	for range n {
		disks = append(disks, newVdev(t, "", 0))
	}
	t.Cleanup(func() { s.remove(t) })
	return s, disks
}

// describe writes the file: the rest of pool:, and what follows.
func (s *site) describe(t *testing.T, rest string) {
	t.Helper()
	must(t, os.WriteFile(s.File(), []byte("version: 1\nsite: "+s.Name+"\npool:\n  name: "+s.Name+"\n"+rest), 0o644))
}

// plansOnly fails the test unless the plan is of these changes alone.
func (s *site) plansOnly(t *testing.T, code int, want ...string) result {
	t.Helper()
	r := s.plan(t).exits(t, code)
	if got := fmt.Sprint(r.plan(t).changes()); got != fmt.Sprint(want) {
		t.Errorf("%v", r)
	}
	return r
}

// alters fails the test unless some change shows both values.
func (r result) alters(t *testing.T, before, after string) result {
	t.Helper()
	for _, c := range r.plan(t).Changes {
		for _, a := range c.Attrs {
			if a.Before == before && a.After == after {
				return r
			}
		}
	}
	t.Errorf("%s -> %s is not in %v", before, after, r)
	return r
}

const allVdevs = `  vdevs:
    - {type: mirror, devices: [%[1]s, %[2]s]}
    - {class: special, type: mirror, devices: [%[3]s, %[4]s]}
    - {class: log, devices: [%[5]s]}
    - {class: cache, devices: [%[6]s]}
    - {class: spare, devices: [%[7]s]}
`

// TestOpenZFSStorageConverges makes a pool of whole disks in all classes, with
// properties that only OpenZFS has; the second run changes nothing, nor does one
// after an import. What is for good is blocked, with both values. Pitfalls 6, 48.
func TestOpenZFSStorageConverges(t *testing.T) {
	s, d := newStorage(t, 7)
	vdevs := fmt.Sprintf(allVdevs, d[0], d[1], d[2], d[3], d[4], d[5], d[6])
	datasets := "  rootProperties: {canmount: off, compression: zstd, xattr: sa, acltype: posixacl, dnodesize: auto, relatime: on}\ndatasets:\n"
	for i, properties := range []string{"compression: zstd-3, recordsize: 8K", "compression: lz4, atime: off", "compression: on, xattr: on", "compression: zstd, xattr: dir",
		"redundant_metadata: most, special_small_blocks: 16K", "acltype: off, dnodesize: legacy, relatime: off", "checksum: blake3, snapdir: visible", "normalization: formD, quota: none"} {
		datasets += fmt.Sprintf("  - {name: d%d, properties: {mountpoint: %s/d%d, %s}}\n", i, s.Dir, i, properties)
	}
	s.describe(t, vdevs+"  properties: {ashift: 13, autotrim: on}\n"+datasets)
	s.converges(t)
	if got := command(t, "zpool", "get", "-H", "-o", "value", "ashift", s.Name); got != "13\n" {
		t.Errorf("ashift is %s", got)
	}
	command(t, "zpool", "export", s.Name)
	s.apply(t).exits(t, exitDone)
	s.isConverged(t)

	s.describe(t, vdevs+"  properties: {ashift: 13, autotrim: off}\n"+datasets)
	s.plansOnly(t, exitPending, "update pool/"+s.Name)
	s.converges(t)
	s.describe(t, vdevs+"  properties: {ashift: 12, autotrim: off}\n"+strings.Replace(datasets, "formD", "formC", 1))
	s.plansOnly(t, exitRefused, "block pool/"+s.Name, "block dataset/"+s.Name+"/d7").alters(t, "13", "12").alters(t, "formD", "formC")
	s.apply(t).exits(t, exitRefused)
	s.describe(t, strings.Replace(vdevs, "{class: cache", "{class: log", 1)+"  properties: {ashift: 13, autotrim: off}\n"+datasets)
	s.plansOnly(t, exitRefused, "block pool/"+s.Name).says(t, "cache "+d[5], "log "+d[5])
}

// TestOpenZFSRefusesDevices: what a disk holds is lost only where the file says
// so, and a ZFS label never. Pitfall 55.
func TestOpenZFSRefusesDevices(t *testing.T) {
	s, d := newStorage(t, 1)
	vdevs := "  vdevs: [{devices: [" + d[0] + "]}]\n  rootProperties: {mountpoint: none}\n"
	overwrite := vdevs + "  overwrite: [" + d[0] + "]\n"
	other := zfstest.Name()
	made.pool(t, other)
	t.Cleanup(func() { _, _ = tryCommand("zpool", "destroy", other) })
	for _, held := range []struct {
		name   string
		make   func()
		reason string
		never  bool
	}{
		{"a file system", func() { command(t, "mkfs.ext4", "-q", "-F", d[0]) }, "ext4", false},
		{"a partition table", func() {
			command(t, "sh", "-c", "echo 'label: gpt\n,64M\n' | sfdisk -q "+d[0])
			command(t, "udevadm", "settle")
		}, "gpt", false},
		{"an exported pool", func() {
			command(t, "zpool", "create", "-f", "-m", "none", other, d[0])
			command(t, "zpool", "export", other)
		}, other, true},
		{"a pool that was destroyed", func() {
			command(t, "zpool", "create", "-f", "-m", "none", other, d[0])
			command(t, "zpool", "destroy", other)
		}, "destroyed", true},
	} {
		t.Run(held.name, func(t *testing.T) {
			wipe(t, d[0])
			held.make()
			s.describe(t, vdevs)
			s.plansOnly(t, exitRefused, "block pool/"+s.Name).says(t, d[0], held.reason)
			s.apply(t).exits(t, exitRefused)
			if _, err := tryCommand("zpool", "list", s.Name); err == nil {
				t.Fatal("the pool was made")
			}
			s.describe(t, overwrite)
			if held.never {
				s.plansOnly(t, exitRefused, "block pool/"+s.Name).says(t, "never")
				s.apply(t).exits(t, exitRefused)
				return
			}
			s.converges(t)
			command(t, "zpool", "destroy", s.Name)
		})
	}
}

// TestOpenZFSAltRoot: below another root the same file holds, also where it
// moves a dataset. Pitfall 48.
func TestOpenZFSAltRoot(t *testing.T) {
	s, d := newStorage(t, 1)
	text := "  vdevs: [{devices: [" + d[0] + "]}]\n  rootProperties: {canmount: off}\ndatasets:\n" +
		"  - {name: a, properties: {mountpoint: /zr-a}}\n  - {name: a/b}\n  - {name: c, properties: {mountpoint: none}}\n"
	s.describe(t, text)
	s.converges(t)
	command(t, "zpool", "export", s.Name)
	root := filepath.Join(s.Dir, "alt")
	command(t, "zpool", "import", "-d", filepath.Dir(d[0]), "-R", root, s.Name)
	s.isConverged(t)
	s.describe(t, strings.Replace(text, "/zr-a", "/zr-a2", 1))
	s.plansOnly(t, exitPending, "update dataset/"+s.Name+"/a")
	s.converges(t)
	if got := command(t, "findmnt", "-n", "-o", "TARGET", "-S", s.Name+"/a/b"); got != root+"/zr-a2/b\n" {
		t.Errorf("it is mounted at %s", got)
	}
}

// TestOpenZFSImportsFromFolders: zpool looks into neither folder by itself.
func TestOpenZFSImportsFromFolders(t *testing.T) {
	s, _ := newStorage(t, 0)
	var files []string
	for _, name := range []string{"one", "two"} {
		dir := filepath.Join(s.Dir, name)
		must(t, os.Mkdir(dir, 0o755))
		files = append(files, zfstest.File(t, dir, "disk", 256<<20))
	}
	s.describe(t, fmt.Sprintf("  vdevs: [{type: mirror, devices: [%s, %s]}]\n  properties: {ashift: 9}\ndatasets:\n  - {name: a, properties: {mountpoint: %s/a}}\n", files[0], files[1], s.Dir))
	s.converges(t)
	guid := command(t, "zpool", "get", "-H", "-o", "value", "guid", s.Name)
	command(t, "zpool", "export", s.Name)
	s.plan(t).exits(t, exitPending).says(t, "can be", strings.TrimSpace(guid))
	s.converges(t)
	if again := command(t, "zpool", "get", "-H", "-o", "value", "guid", s.Name); again != guid {
		t.Errorf("pool %s became %s", guid, again)
	}
}
