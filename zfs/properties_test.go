package zfs

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPitfall48_ValuesAreComparedByMeaning(t *testing.T) {
	for _, tc := range []struct {
		property, a, b string
		same           bool
	}{
		{"recordsize", "8K", "8192", true},
		{"recordsize", "8k", "8192", true},
		{"recordsize", "1M", "1048576", true},
		{"recordsize", "8K", "128K", false},
		{"quota", "none", "0", true},
		{"refquota", "1.5G", "1610612736", true},
		{"reservation", "none", "10G", false},
		{"userquota@joe", "none", "0", true},
		{"filesystem_limit", "none", "0", false}, // 0 allows nothing
		{"atime", "off", "false", true},
		{"atime", "no", "off", true},
		{"atime", "true", "on", true},
		{"atime", "on", "off", false},
		{"canmount", "noauto", "off", false},
		{"compression", "on", "on", true},
		{"compression", "on", "lz4", false},
		{"compression", "gzip", "gzip-6", true},
		{"compression", "gzip", "gzip-9", false},
		{"compression", "zstd", "zstd-3", true},
		{"xattr", "dir", "on", true},
		{"xattr", "sa", "off", false},
		{"acltype", "posixacl", "posix", true},
		{"acltype", "noacl", "off", true},
		{"aclinherit", "secure", "restricted", true},
		{"mountpoint", "/zpdata01/", "/zpdata01", true},
		{"mountpoint", "/zpdata01", "/zpdata02", false},
		{"mountpoint", "none", "legacy", false},
		{"mountpoint", "none", "0", false},
		{"sharenfs", "off", "false", true},
		{"sharenfs", "rw=@10.0.0.0/8", "RW=@10.0.0.0/8", false},
		{"primarycache", "metadata", "all", false},
		{"secondarycache", "none", "0", false},
		{"copies", "2", "2", true},
		{"ashift", "13", "13", true},
		{"ashift", "12", "13", false},
		{"feature@lz4_compress", "enabled", "active", true},
		{"feature@lz4_compress", "disabled", "enabled", false},
		{"zr:x", "yes", "on", false},
		{"zr:x", "8K", "8192", false},
		{"comment", "Prod", "prod", false},
		{"comment", "", "-", true},
		{"comment", "", "prod", false},
	} {
		for _, pair := range [][2]string{{tc.a, tc.b}, {tc.b, tc.a}} {
			if got := SameValue(tc.property, pair[0], pair[1]); got != tc.same {
				t.Errorf("SameValue(%s, %s, %s) = %v", tc.property, pair[0], pair[1], got)
			}
		}
	}
}

func TestSameValueIsReflexiveAndSymmetric(t *testing.T) {
	properties := []string{"recordsize", "quota", "compression", "mountpoint", "xattr", "zr:x", "sharenfs", "feature@x"}
	rapid.Check(t, func(t *rapid.T) {
		property := rapid.SampledFrom(properties).Draw(t, "property")
		value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"on", "off", "none", "0", "8K", "8192", "gzip", "/a/", "/a"}))
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		if !SameValue(property, a, a) {
			t.Fatalf("%q is not itself", a)
		}
		if SameValue(property, a, b) != SameValue(property, b, a) {
			t.Fatalf("%q and %q differ by order", a, b)
		}
	})
}

func TestKindsOfProperties(t *testing.T) {
	for property, want := range map[string][3]bool{ // creation only, pool creation only, read only
		"volblocksize":      {true, false, false},
		"casesensitivity":   {true, false, false},
		"recordsize":        {false, false, false},
		"ashift":            {false, true, false},
		"used":              {false, false, true},
		"origin":            {false, false, true},
		"userused@joe":      {false, false, true},
		"userquota@joe":     {false, false, false},
		"zreconcile:format": {false, false, false},
	} {
		if got := [3]bool{CreationOnly(property), PoolCreationOnly(property), ReadOnly(property)}; got != want {
			t.Errorf("%s: %v, want %v", property, got, want)
		}
	}
}

func TestNamesAreValidated(t *testing.T) {
	for name, want := range map[string]bool{
		"zp1": true, "zp1/a-b_c.d:e": true, "zp1/_x": true,
		"": false, "-r": false, "zp1/": false, "zp1//a": false, "zp1/a b": false, "zp1@s": false, "zp1/a,b": false, "zp1/a%b": false,
	} {
		if got := ValidDataset(name) == nil; got != want {
			t.Errorf("dataset %q: %v", name, got)
		}
	}
	for name, want := range map[string]bool{
		"zp1@zr-20200321T091701Z": true, "zp1/a@2020-03-2117:06:47": true,
		"zp1": false, "zp1@": false, "zp1@a@b": false, "zp1@a,b": false, "zp1@a%b": false, "zp1@a b": false,
	} {
		if got := ValidSnapshot(name) == nil; got != want {
			t.Errorf("snapshot %q: %v", name, got)
		}
	}
	for name, want := range map[string]bool{
		"atime": true, "userquota@joe": true, "zreconcile:redo-lsn": true, "com.example:a.b": true,
		"Zr:x": false, "zr:X": false, "-o": false, "": false, "a=b": false, "zr:x=y": false,
	} {
		if got := ValidProperty(name) == nil; got != want { // pitfall 54: lower case
			t.Errorf("property %q: %v", name, got)
		}
	}
}

func TestSameDevice(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"/dev/nosuch-sdx", "/dev/nosuch-sdx", true},
		{"/dev/sdzz", "/dev/sdzz1", true},
		{"/dev/sdzp", "/dev/sdzp1", true},
		{"/dev/sdzz", "/dev/sdzz2", false},
		{"/dev/sdzz1", "/dev/sdzz11", false},
		{"/dev/nvme9n1", "/dev/nvme9n1p1", true},
		{"/dev/nvme9n", "/dev/nvme9n1", false},
		{"/dev/disk/by-id/virtio-zrt", "/dev/disk/by-id/virtio-zrt-part1", true},
		{"/dev/disk/by-id/virtio-zrt", "/dev/disk/by-id/virtio-zrt1", false},
		{"/var/disk", "/var/disk1", false},
		{"/var/./disk", "/var/disk", true},
	} {
		if SameDevice(tc.a, tc.b) != tc.same || SameDevice(tc.b, tc.a) != tc.same {
			t.Errorf("SameDevice(%s, %s) is not %v", tc.a, tc.b, tc.same)
		}
	}
}
