package main

import (
	"errors"
	"testing"
)

// pitfall 17: in a clone, nothing but a proven absence may exit below 126.
func TestPitfall17_CommandLineErrorsStopAClone(t *testing.T) {
	refused := usageError{errors.New("unknown flag")}
	for _, test := range []struct {
		args []string
		err  error
		want int
	}{
		{[]string{"wal", "get", "--clone", "--bad"}, refused, 255},
		{[]string{"wal", "get", "--clone=true"}, refused, 255},
		{[]string{"wal", "get", "--clone=nonsense"}, refused, 255},
		{[]string{"wal", "get", "--clone=false"}, refused, 1},
		{[]string{"wal", "get", "--bad"}, refused, 1},
		{[]string{"wal", "get", "--clone"}, reported{1}, 1}, // provably absent
		{[]string{"wal", "get", "--clone"}, reported{255}, 255},
		{[]string{"wal", "get", "--clone"}, nil, 0},
	} {
		if got := walStatus(test.err, forClone(test.args)); got != test.want {
			t.Errorf("%q with %v exits %d, want %d", test.args, test.err, got, test.want)
		}
	}
}

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
