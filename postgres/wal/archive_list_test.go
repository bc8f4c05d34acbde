package wal

import (
	"path/filepath"
	"slices"
	"testing"
)

// A name that was missed while names came and went is looked for again; what is
// really missing is a gap.
func TestListLooksForAGapTwice(t *testing.T) {
	const size = 1 << 20
	dir := t.TempDir()
	var names []string
	for n := range uint64(4) {
		names = append(names, Segment{1, n + 1}.Name(size))
		write(t, filepath.Join(dir, names[n]), make([]byte, size))
	}
	missed := slices.Concat(names[:1], names[2:])
	for name, test := range map[string]struct {
		readings [][]string
		gaps     int
	}{
		"nothing is missing":  {[][]string{names}, 0},
		"one was missed":      {[][]string{missed, names}, 0},
		"one is missing":      {[][]string{missed, missed}, 1},
		"the rest is removed": {[][]string{missed, names[2:]}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			left := test.readings
			inv, err := list(dir, size, func() ([]string, error) {
				now := left[0]
				left = left[1:]
				return now, nil
			})
			if err != nil || len(inv.Gaps()) != test.gaps || len(left) > 0 {
				t.Errorf("gaps %v, %v, and %d readings are left", inv.Gaps(), err, len(left))
			}
		})
	}
}
