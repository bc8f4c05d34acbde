package zfs

import (
	"bytes"
	"fmt"
	"testing"
)

// A listing of 10,000 snapshots with ten properties each, as a plan reads it.
func BenchmarkPropertyReader(b *testing.B) {
	properties := []string{"type", "guid", "createtxg", "creation", "userrefs", "used", "zr:a", "zr:b", "zr:c", "zr:d"}
	var text bytes.Buffer
	for i := range 10000 {
		for _, property := range properties {
			fmt.Fprintf(&text, "p/data@zr-%05d\t%s\t%d\tlocal\n", i, property, i)
		}
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		n := 0
		r := newPropertyReader("p", properties, func(string, map[string]Value) error { n++; return nil })
		if _, err := r.Write(text.Bytes()); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil || n != 10000 {
			b.Fatal(n, err)
		}
	}
}
