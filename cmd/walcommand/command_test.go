package walcommand

import "testing"

func TestSegmentSizes(t *testing.T) {
	var size segmentSize
	for _, good := range []string{"1048576", "16777216", "1073741824"} {
		if err := size.Set(good); err != nil || size.String() != good {
			t.Errorf("%s: %v, %s", good, err, &size)
		}
	}
	for _, bad := range []string{"", "0", "-1", "16MB", "524288", "3145728", "2147483648"} {
		if err := size.Set(bad); err == nil {
			t.Errorf("%q is taken for a segment size", bad)
		}
	}
}
