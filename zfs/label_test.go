package zfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/zfs/zfstest"
)

// A pool is always probed before it is created over, and imported instead when it can be.
func TestPitfall55_LabelsOfExportedPoolsAreFoundAndImported(t *testing.T) {
	dir := zfstest.Dir(t)
	ctx := t.Context()
	disk := zfstest.File(t, dir, "disk", poolSize)
	name := zfstest.Name()
	c := New(nil)
	spec := PoolSpec{Name: name, Vdevs: []VdevSpec{{Devices: []string{disk}}},
		Properties: []Prop{{"ashift", "13"}}, RootProperties: []Prop{{"mountpoint", dir + "/mnt"}, {"canmount", "off"}}}
	if content := probe(t, disk); content.Kind != Empty {
		t.Fatalf("before: %+v", content)
	}
	must(t, c.CreatePool(ctx, spec))
	zfstest.DestroyAfter(t, name)
	inv := inventory(t, c, name, Query{DatasetProperties: []string{"canmount"}})
	if inv.Pool.Properties["ashift"].Value != "13" || inv.Datasets[0].Properties["canmount"].Value != "off" {
		t.Errorf("%+v", inv)
	}
	if content := probe(t, disk); content.Kind != Label || content.PoolName != name || content.PoolGUID != inv.Pool.GUID || content.PoolState != "active" {
		t.Errorf("imported: %+v, but zpool says %s", content, inv.Pool.GUID)
	}
	zfstest.Run(t, "zpool", "export", name)
	content := probe(t, disk)
	if content.Kind != Label || content.PoolName != name || content.PoolState != "exported" || !strings.Contains(content.Detail, "exported") {
		t.Errorf("exported: %+v", content)
	}
	pools, err := c.Importable(ctx, []string{dir, dir + "/missing"})
	must(t, err)
	if len(pools) != 1 || pools[0].Name != name || pools[0].GUID != content.PoolGUID || pools[0].State != "ONLINE" ||
		len(pools[0].Vdevs) != 1 || !SameDevice(pools[0].Vdevs[0].Devices[0].Path, disk) {
		t.Fatalf("importable: %+v", pools)
	}
	must(t, c.Import(ctx, pools[0].GUID, []string{dir}))
	if inv := inventory(t, c, name, Query{}); inv.Pool == nil || inv.Pool.GUID != content.PoolGUID {
		t.Errorf("import: %+v", inv)
	}
	if pools, err := c.Importable(ctx, []string{dir}); err != nil || len(pools) != 0 {
		t.Errorf("nothing is left to import: %+v, %v", pools, err)
	}

	// What a new file system leaves of the first two labels is nothing; the two at the end still tell.
	zfstest.Run(t, "zpool", "export", name)
	overwrite(t, disk, 0, make([]byte, 2*labelSize))
	if again := probe(t, disk); again.Kind != Label || again.PoolGUID != content.PoolGUID || again.PoolState != "exported" {
		t.Errorf("without its first labels: %+v", again)
	}
}

func probe(t *testing.T, device string) Content {
	t.Helper()
	content, err := Probe(t.Context(), nil, device)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(data, at)
	must(t, err)
}

func TestProbeKnowsOtherContent(t *testing.T) {
	for _, tool := range []string{"blkid", "mke2fs"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("SKIPPED, NOT TESTED: %v", err)
		}
	}
	dir := t.TempDir()
	ext4 := zfstest.File(t, dir, "ext4", 64<<20)
	zfstest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", ext4)
	gpt := zfstest.File(t, dir, "gpt", 64<<20)
	overwrite(t, gpt, 0, partitionTable(64<<20))
	dos := zfstest.File(t, dir, "dos", 64<<20)
	overwrite(t, dos, 0, bootRecord(0x83))
	labelled := zfstest.File(t, dir, "labelled", 64<<20)
	zfstest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", labelled)
	overwrite(t, labelled, 64<<20-labelSize+pairsOffset, encodeLabel("zp0", 42, 1, 9))
	small := zfstest.File(t, dir, "small", 1000)

	for path, want := range map[string]Content{
		ext4:            {Kind: Filesystem, Detail: "ext4"},
		gpt:             {Kind: PartitionTable, Detail: "gpt"},
		dos:             {Kind: PartitionTable, Detail: "dos"},
		small:           {Kind: Empty, Detail: "no known content"},
		dir + "/absent": {Kind: Missing, Detail: "does not exist"},
		labelled:        {Kind: Label, Detail: `pool "zp0" (guid 42), exported`, PoolName: "zp0", PoolGUID: "42", PoolState: "exported"}, // pitfall 55
	} {
		if got := probe(t, path); got != want {
			t.Errorf("%s: %+v, want %+v", filepath.Base(path), got, want)
		}
	}
	if _, err := Probe(t.Context(), nil, dir); err == nil {
		t.Error("a folder was probed")
	}
	failing := func(*exec.Cmd) error { return exec.ErrNotFound }
	if content, err := Probe(context.Background(), failing, small); err == nil {
		t.Errorf("blkid could not run and yet: %+v", content)
	}
}

const partitionStart = 2048 // sectors

// bootRecord is a DOS partition table with one entry.
func bootRecord(kind byte) []byte {
	b := make([]byte, 512)
	b[446+4] = kind
	binary.LittleEndian.PutUint32(b[446+8:], partitionStart)
	binary.LittleEndian.PutUint32(b[446+12:], 40<<11)
	b[510], b[511] = 0x55, 0xaa
	return b
}

// partitionTable is a GPT with one partition, behind its protective boot record (UEFI, 5.3).
func partitionTable(size uint64) []byte {
	const entries, entrySize, headerSize = 128, 128, 92
	little := binary.LittleEndian
	table := make([]byte, entries*entrySize)
	copy(table, "type of sixteen,id of sixteen  .")
	little.PutUint64(table[32:], partitionStart)
	little.PutUint64(table[40:], partitionStart+40<<11-1)
	header := make([]byte, headerSize)
	copy(header, "EFI PART")
	little.PutUint32(header[8:], 0x00010000)
	little.PutUint32(header[12:], headerSize)
	little.PutUint64(header[24:], 1)
	little.PutUint64(header[32:], size/512-1)
	little.PutUint64(header[40:], 34)
	little.PutUint64(header[48:], size/512-34)
	copy(header[56:], "sixteen bytes id")
	little.PutUint64(header[72:], 2)
	little.PutUint32(header[80:], entries)
	little.PutUint32(header[84:], entrySize)
	little.PutUint32(header[88:], crc32.ChecksumIEEE(table))
	little.PutUint32(header[16:], crc32.ChecksumIEEE(header))
	disk := append(bootRecord(0xee), header...)
	disk = append(disk, make([]byte, 512-headerSize)...)
	return append(disk, table...)
}

func TestProbeOfBlockDevices(t *testing.T) {
	dir := zfstest.Dir(t)
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("losetup -f: %v: %s", err, out)
		}
		t.Skipf("SKIPPED, NOT TESTED: no loop device: %s", out)
	}
	attach := func(file string) string {
		device := strings.TrimSpace(zfstest.Run(t, "losetup", "-f", "--show", file))
		t.Cleanup(func() { zfstest.Run(t, "losetup", "-d", device) })
		return device
	}

	ext4 := zfstest.File(t, dir, "ext4", 64<<20)
	zfstest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", ext4)
	device := attach(ext4)
	if content := probe(t, device); content.Kind != Filesystem || content.Detail != "ext4" {
		t.Errorf("not mounted: %+v", content)
	}
	must(t, os.Mkdir(dir+"/mnt", 0o755))
	zfstest.Run(t, "mount", device, dir+"/mnt")
	content := probe(t, device)
	zfstest.Run(t, "umount", dir+"/mnt")
	if content.Kind != InUse || !strings.Contains(content.Detail, "mounted at "+dir+"/mnt") {
		t.Errorf("mounted: %+v", content)
	}
}

// A whole disk that OpenZFS was given has a partition table, and the label in its first partition.
func TestPitfall55_LabelsInsidePartitionsAreFound(t *testing.T) {
	const size, end = 64 << 20, partitionStart*512 + 40<<20
	for place, at := range map[string]int64{"first": partitionStart * 512, "last": end - labelSize} {
		path := zfstest.File(t, t.TempDir(), "whole", size)
		overwrite(t, path, 0, partitionTable(size))
		overwrite(t, path, at+pairsOffset, encodeLabel("zp0", 42, 1, 9))
		if content := probe(t, path); content.Kind != Label || content.PoolGUID != "42" {
			t.Errorf("%s label: %+v", place, content)
		}
	}
}

func FuzzPartitionTable(f *testing.F) {
	f.Add(partitionTable(64 << 20))
	f.Add(partitionTable(64 << 20)[:700])
	f.Fuzz(func(t *testing.T, disk []byte) {
		size := int64(len(disk))
		for _, part := range gptPartitions(bytes.NewReader(disk), size) {
			if part.start < 0 || part.size <= 0 || part.start+part.size > size {
				t.Fatalf("%+v is not within %d bytes", part, size)
			}
		}
	})
}

// encodeLabel writes the pairs of a label as nvlist_pack does.
func encodeLabel(name string, guid, state, txg uint64) []byte {
	b := []byte{xdrEncoding, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	pair := func(key string, kind uint32, data []byte) {
		size := 12 + (len(key)+3)&^3 + 8 + len(data)
		b = binary.BigEndian.AppendUint32(b, uint32(size))
		b = binary.BigEndian.AppendUint32(b, uint32(size))
		b = appendText(b, key)
		b = binary.BigEndian.AppendUint32(b, kind)
		b = binary.BigEndian.AppendUint32(b, 1)
		b = append(b, data...)
	}
	pair("version", typeUint64, binary.BigEndian.AppendUint64(nil, 5000))
	pair("name", typeString, appendText(nil, name))
	pair("state", typeUint64, binary.BigEndian.AppendUint64(nil, state))
	pair("txg", typeUint64, binary.BigEndian.AppendUint64(nil, txg))
	pair("pool_guid", typeUint64, binary.BigEndian.AppendUint64(nil, guid))
	return append(b, make([]byte, 8)...)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	b = append(b, s...)
	return append(b, make([]byte, (4-len(s)%4)%4)...)
}

func TestReadLabelTakesTheNewestOfFour(t *testing.T) {
	disk := make([]byte, 64<<20+1000) // not a whole number of labels
	for i, name := range []string{"", "old", "", "new"} {
		at, ok := labelOffset(int64(len(disk)), i)
		if !ok {
			t.Fatal("no label fits")
		}
		if name == "" {
			continue
		}
		copy(disk[at+pairsOffset:], encodeLabel(name, 7, 0, uint64(i)))
	}
	label, err := ReadLabel(bytes.NewReader(disk), int64(len(disk)))
	if err != nil || label == nil || label.PoolName != "new" || label.TXG != 3 || label.State != "active" {
		t.Errorf("%+v, %v", label, err)
	}
	if label, err := ReadLabel(bytes.NewReader(nil), 64<<20); err == nil {
		t.Errorf("a device that cannot be read gave %+v", label)
	}
}

func FuzzParseLabel(f *testing.F) {
	whole := encodeLabel("zp0", 1<<63, 1, 9)
	f.Add(whole)
	f.Add(whole[:40])
	f.Add(append(append([]byte{}, whole[:12]...), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, pairs []byte) {
		label, ok := parseLabel(pairs)
		if ok && len(label.PoolName) > len(pairs) {
			t.Fatal("a name longer than its label")
		}
	})
}
