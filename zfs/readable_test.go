package zfs

import "testing"

func TestReadable(t *testing.T) {
	for _, test := range []struct{ property, value, want string }{
		{"recordsize", "8192", "8K"},
		{"recordsize", "131072", "128K"},
		{"recordsize", "512", "512"},
		{"quota", "53687091200", "50G"},
		{"quota", "53687091201", "53687091201"},
		{"quota", "0", "none"},
		{"special_small_blocks", "0", "0"},
		{"userquota@joe", "1099511627776", "1T"},
		{"userquota@joe", "0", "none"},
		{"userobjquota@joe", "2048", "2048"},
		{"filesystem_limit", "1024", "1024"}, // a count is no size
		{"copies", "2", "2"},
		{"com.example:size", "1024", "1024"},
		{"atime", "off", "off"},
	} {
		got := Readable(test.property, test.value)
		if got != test.want {
			t.Errorf("%s %s is written as %s, want %s", test.property, test.value, got, test.want)
		}
		if !SameValue(test.property, got, test.value) {
			t.Errorf("%s: %s does not mean %s", test.property, got, test.value)
		}
	}
}
