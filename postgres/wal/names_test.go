package wal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSegmentNames(t *testing.T) {
	lsn, _ := ParseLSN("11D/97002068")
	for size, want := range map[int64]string{1 << 20: "000000010000011D00000970", 16 << 20: "000000010000011D00000097", 1 << 30: "000000010000011D00000002"} {
		s := SegmentAt(1, lsn, size)
		if s.Name(size) != want || lsn < s.Start(size) || lsn >= s.End(size) {
			t.Errorf("pitfall 21: %d: %s, want %s", size, s.Name(size), want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		size := int64(1) << rapid.IntRange(20, 30).Draw(t, "size")
		s := SegmentAt(Timeline(rapid.Uint32Range(1, 1<<32-1).Draw(t, "timeline")), LSN(rapid.Uint64().Draw(t, "lsn")), size)
		if got, ok := ParseSegment(s.Name(size), size); !ok || got != s {
			t.Fatalf("%v is read as %v %v", s, got, ok)
		}
	})
}

func FuzzParseSegment(f *testing.F) {
	for _, s := range []string{"000000010000011D00000097", "000000010000011D000000FF.partial", "00000000000000000000000A", "0000000100000000000FFFFF", "00000001000000000000001a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for size := int64(1 << 20); size <= 1<<30; size <<= 1 {
			if s, ok := ParseSegment(name, size); ok && (s.Name(size) != name || Classify(name) != KindSegment) {
				t.Errorf("%q is read as %v", name, s)
			}
		}
	})
}

func TestPitfall22_Classify(t *testing.T) {
	for name, want := range map[string]Kind{
		"000000010000011D00000097":                 KindSegment,
		"000000010000011D00000097.partial":         KindPartial,
		"000000010000011D00000097.00000028.backup": KindBackup,
		"00000002.history":                         KindHistory,
		"000000010000011D00000097.crc32c":          KindChecksum,
		"000000010000011D00000097.gz":              KindOther,
		"000000010000011D0000009":                  KindOther,
		"00000002.HISTORY":                         KindOther,
		"archive_status":                           KindOther,
		"":                                         KindOther,
	} {
		if got := Classify(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}

func TestHistory(t *testing.T) {
	h, err := ParseHistory([]byte("# comment\n1\t0/5000000\tno recovery target specified\n\n3\t0/7000028\tbefore 2026-11-23 00:00:00+00\n"))
	if err != nil || len(h) != 2 || h[1] != (HistoryEntry{3, 0x7000028, "before 2026-11-23 00:00:00+00"}) {
		t.Fatal(h, err)
	}
	p := PathOf(4, h)
	for lsn, want := range map[LSN]Timeline{1: 1, 0x4FFFFFF: 1, 0x5000000: 3, 0x7000027: 3, 0x7000028: 4, 1 << 60: 4} {
		if got := p.TimelineAt(lsn); got != want {
			t.Errorf("%s: timeline %d, want %d", lsn, got, want)
		}
	}
	for _, bad := range []string{"x\t0/1\ty", "1", "1\tzero", "2\t0/5\ta\n1\t0/6\tb", "1\t0/5\ta\n2\t0/4\tb", "0\t0/1\tx", "1\t0/0\tx"} {
		if h, err := ParseHistory([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, h)
		}
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add([]byte("1\t0/5000000\tno recovery target specified\n"))
	f.Add([]byte("1 0/1 x\n2 0/2 y\n# z"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHistory(b)
		if err != nil {
			return
		}
		p := PathOf(1<<32-1, h)
		for _, e := range h {
			if e.SwitchAt > 0 && p.TimelineAt(e.SwitchAt-1) > e.Timeline {
				t.Errorf("timeline %d just before the end of %d", p.TimelineAt(e.SwitchAt-1), e.Timeline)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	b := make([]byte, longHeaderSize)
	f.Add(b)
	b = []byte("\x10\xd1\x02\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00abcdefgh\x00\x00\x10\x00\x00\x20\x00\x00")
	f.Add(b)
	if h, err := ReadHeader(bytes.NewReader(b)); err != nil || h.Version() != 15 || h.PageAddr != 1<<24 || h.SegmentSize != 1<<20 || h.Timeline != 1 {
		f.Error(h, err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ReadHeader(bytes.NewReader(b)); err == nil && (!h.Long || !ValidSegmentSize(h.SegmentSize)) {
			t.Error(h)
		}
	})
}

// FuzzReader writes bytes into real WAL: no panic, and no record that never was.
func FuzzReader(f *testing.F) {
	f.Add(uint32(pageSize), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Add(uint32(0), []byte{0})
	f.Add(uint32(pageSize+16), []byte{0, 1, 0, 0})
	c := sampleWAL(f)
	good := c.load(f, c.archive)
	all, _ := readAll(c.reader(f, good))
	seg := c.full(f, all)
	start := seg.Start(c.size)
	were := map[Record]bool{}
	for _, rec := range all {
		were[rec] = true
	}
	f.Fuzz(func(t *testing.T, at uint32, b []byte) {
		bad := bytes.Clone(good[seg])
		copy(bad[int(at)%len(bad):], b)
		r := NewReader(memory{seg: bad}, c.size, c.systemID, PathOf(1, nil), start)
		for {
			rec, err := r.Next(context.Background())
			if err != nil {
				return
			}
			if !were[rec] {
				t.Fatalf("%v never was", rec)
			}
		}
	})
}

// The archive lists what it has, run by run, over a switch of timelines.
func TestInventory(t *testing.T) {
	dir := t.TempDir()
	const size = 1 << 20
	for _, s := range []Segment{{1, 3}, {1, 4}, {1, 7}, {1, 8}, {2, 12}, {2, 13}} {
		write(t, filepath.Join(dir, s.Name(size)), make([]byte, size))
	}
	short, empty := Segment{1, 5}, Segment{1, 6}
	write(t, filepath.Join(dir, short.Name(size)), make([]byte, size-1))
	write(t, filepath.Join(dir, empty.Name(size)), nil)
	write(t, filepath.Join(dir, "00000002.history"), []byte("1\t0/A80000\tx\n"))
	inv, err := List(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	wantRuns := []Range{hole(1, 3, 4), hole(1, 7, 8), hole(2, 12, 13)}
	wantGaps := []Range{hole(1, 5, 6), hole(1, 9, 9), hole(2, 10, 11)}
	if got := inv.Ranges(); !slices.Equal(got, wantRuns) {
		t.Error("ranges", got)
	}
	if got := inv.Gaps(); !slices.Equal(got, wantGaps) {
		t.Error("gaps", got)
	}
	if len(inv.Damaged) != 2 || inv.Damaged[0].Segment != short || inv.Damaged[1].Segment != empty {
		t.Error("damaged", inv.Damaged)
	}
	if err := inv.Headers(dir, 0); err != nil || len(inv.Segments) != 0 || len(inv.Damaged) != 8 {
		t.Errorf("segments of zeros: %d are sound, %d are not, %v", len(inv.Segments), len(inv.Damaged), err)
	}
	if _, err := List(dir+"/nowhere", size); !errors.Is(err, os.ErrNotExist) {
		t.Error("pitfall 51:", err)
	}
	if _, _, err := Sources(Dir(dir), Dir(dir)).Open(context.Background(), Segment{1, 3}, size); !errors.As(err, new(*DamagedError)) {
		t.Error("an empty segment:", err)
	}
}
