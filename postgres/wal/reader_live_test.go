package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
)

// meanwhile is a place of WAL that a server writes to while it is read: what is
// asked for after a number of looks is what came later.
type meanwhile struct {
	looks         *int // that are left
	before, after memory
}

func (m meanwhile) now() memory {
	if *m.looks--; *m.looks < 0 {
		return m.after
	}
	return m.before
}

func (m meanwhile) Open(ctx context.Context, seg Segment, size int64) (io.ReadCloser, string, error) {
	r, _, err := m.now().Open(ctx, seg, size)
	return r, "pg_wal/" + seg.Name(size), err
}

func (m meanwhile) segments(ctx context.Context, size int64) ([]Segment, error) {
	return m.now().segments(ctx, size)
}

// Whatever a server writes or moves to the archive between two looks of the reader
// is neither damage nor a gap; what it still finds at a second look is.
func TestReaderBesideAServerThatWrites(t *testing.T) {
	c := sampleWAL(t)
	good := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, good))
	seg := c.full(t, all)
	next := Segment{1, seg.Number + 1}
	half := slices.Concat(good[seg][:c.size/2], make([]byte, c.size/2))
	cases := map[string]struct{ before, after [2]memory }{ // of the archive, of pg_wal
		"it writes on":            {[2]memory{{}, {seg: half}}, [2]memory{{}, good}},
		"it begins a segment":     {[2]memory{{}, {seg: good[seg]}}, [2]memory{{}, good}},
		"it archives and removes": {[2]memory{{}, good}, [2]memory{good, {}}},
		"it archives what it had": {[2]memory{{}, {seg: half}}, [2]memory{good, {}}},
	}
	for name, test := range cases {
		for looks := range 24 {
			t.Run(fmt.Sprintf("%s after %d looks", name, looks), func(t *testing.T) {
				left := looks
				r := NewReader(Sources(meanwhile{&left, test.before[0], test.after[0]}, meanwhile{&left, test.before[1], test.after[1]}),
					c.size, c.systemID, PathOf(1, nil), seg.Start(c.size))
				defer r.Close()
				reached := func() bool { return r.Pos() == all[len(all)-1].End }
				for range 3 { // the end of what was written may be met first
					if _, err := readAll(r); !errors.Is(err, io.EOF) {
						t.Fatalf("at %s: %v", r.Pos(), err)
					}
				}
				if left < 0 && !reached() {
					t.Errorf("it ends at %s", r.Pos())
				}
			})
		}
	}
	for name, lasting := range map[string]memory{"damage": maps.Clone(good), "a gap": maps.Clone(good)} {
		lasting[seg] = half
		if name == "a gap" {
			delete(lasting, next)
			lasting[seg] = good[seg]
		}
		r := NewReader(lasting, c.size, c.systemID, PathOf(1, nil), seg.Start(c.size))
		defer r.Close()
		if _, err := readAll(r); !errors.As(err, new(*DamagedError)) && !errors.As(err, new(*GapError)) {
			t.Errorf("%s that lasts: %v", name, err)
		}
	}
}
