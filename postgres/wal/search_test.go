package wal

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"testing"
	"time"
)

// TestPitfall11_ClockSetBack has one commit in the middle that is an hour later
// than all others, as before a primary's clock was set back. WAL order decides:
// recovery to any time before that commit's stops in front of it, and whatever
// holds it holds nothing earlier than it.
func TestPitfall11_ClockSetBack(t *testing.T) {
	c := sampleWAL(t)
	ctx, path := context.Background(), PathOf(1, nil)
	m := maps.Clone(c.load(t, c.archive))
	all, _ := readAll(c.reader(t, m))
	xacts := slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return !r.IsXact() })
	i := slices.IndexFunc(xacts[2:len(xacts)-2], func(r Record) bool { return r.Start/pageSize == (r.End-1)/pageSize }) + 2
	ahead := xacts[len(xacts)-1].Time.Add(time.Hour)
	setTime(t, m, c.size, xacts[i], ahead)

	from, end := all[0].Start, all[len(all)-1].End
	for _, target := range []time.Time{xacts[i-1].Time, xacts[i+1].Time, xacts[len(xacts)-1].Time, ahead.Add(-time.Microsecond)} {
		rec, found, _, lastXact, err := FirstXactAfter(ctx, NewReader(m, c.size, c.systemID, path, from), target)
		if err != nil || !found || rec.Start != xacts[i].Start || lastXact != xacts[i-1] {
			t.Errorf("to %s it goes up to %v, and stops at %v (%v): want the commit at %s", target, lastXact, rec, err, xacts[i].Start)
		}
	}
	newest, at, n, err := NewestXact(ctx, m, c.size, c.systemID, path, from, end)
	if err != nil || n != len(xacts) || !newest.Equal(ahead) || at.Start != xacts[i].Start {
		t.Errorf("of %d transactions the newest is that at %s, of %s (%v); want %s of %s", n, at.Start, newest, err, xacts[i].Start, ahead)
	}
}

// setTime writes another time into a commit or abort that lies on one page, and
// the checksum that belongs to it.
func setTime(t *testing.T, m memory, size int64, r Record, at time.Time) {
	t.Helper()
	segment := SegmentAt(1, r.Start, size)
	content := slices.Clone(m[segment])
	m[segment] = content
	record := content[r.Start-segment.Start(size):]
	record = record[:recordLength(record)]
	data, err := mainData(record)
	if err != nil || !timestamp(int64(binary.LittleEndian.Uint64(data))).Equal(r.Time) {
		t.Fatalf("the record at %s does not begin with its time: %v", r.Start, err)
	}
	binary.LittleEndian.PutUint64(data, binary.LittleEndian.Uint64(data)+uint64(at.Sub(r.Time).Microseconds()))
	sum := crc32.Update(crc32.Update(0, castagnoli, record[recordHeaderSize:]), castagnoli, record[:crcOffset])
	binary.LittleEndian.PutUint32(record[crcOffset:], sum)
}
