package wal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A promotion in the middle of a segment: the path goes over to the new
// timeline, whose file holds a copy of the beginning, and leaves what the old
// one wrote afterwards.
func TestReaderFollowsTheTimelineSwitch(t *testing.T) {
	c, err := newCluster(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.psql("create table a as select generate_series(1,20000)"); err != nil {
		t.Fatal(err)
	}
	if err := c.stop("fast"); err != nil {
		t.Fatal(err)
	}
	before := c.load(t, c.data+"/pg_wal")
	write(t, c.data+"/recovery.signal", nil)
	uid, gid := postgresIDs()
	if err := os.Chown(c.data+"/recovery.signal", uid, gid); err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(c.data+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conf, "restore_command = 'cp "+c.archive+"/%f %p'\n"); err != nil {
		t.Fatal(err)
	}
	conf.Close()
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	if err := c.waitPromoted(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.psql("create table b as select generate_series(1,20000); select pg_create_restore_point('on two'); select pg_switch_wal(); create table c()"); err != nil {
		t.Fatal(err)
	}
	if err := c.waitArchived(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.data + "/pg_wal/00000002.history")
	if err != nil {
		t.Fatal(err)
	}
	history, err := ParseHistory(b)
	if err != nil || len(history) != 1 {
		t.Fatal(history, err)
	}
	path := PathOf(2, history)
	m := c.load(t, c.archive, c.data+"/pg_wal")
	for s, b := range before { // the old timeline's last segment, which promotion renames
		m[s] = b
	}
	r := NewReader(m, c.size, c.systemID, path, c.first(t).Start(c.size))
	all, err := readAll(r)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	two := slices.IndexFunc(all, func(r Record) bool { return r.Name == "on two" })
	cross := slices.IndexFunc(all, func(r Record) bool { return r.Start >= history[0].SwitchAt })
	if two < cross || cross < 1 || all[cross-1].End != history[0].SwitchAt {
		t.Errorf("%d records, the switch at %d, the restore point at %d", len(all), cross, two)
	}

	// Without the new timeline's file, its beginning is read from the old one's,
	// and nothing of what is behind the switch.
	delete(m, SegmentAt(2, history[0].SwitchAt, c.size))
	got, err := readAll(NewReader(m, c.size, c.systemID, path, c.first(t).Start(c.size)))
	var gap *GapError
	if !errors.As(err, &gap) || gap.Segment.Timeline != 2 || !slices.Equal(got, all[:cross]) {
		t.Errorf("%d records, then %v", len(got), err)
	}
}

// A server that crashed in the middle of a record that spans pages writes
// another one over its rest.
func TestReaderPassesAnOverwrittenRecord(t *testing.T) {
	c, err := newCluster(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	// It ends in the middle of the second segment from here, of 1 MB.
	if _, err := c.psql("checkpoint; select pg_switch_wal(); create table a as select g, repeat('x', 700) from generate_series(1,2000) g"); err != nil {
		t.Fatal(err)
	}
	if err := c.waitArchived(); err != nil {
		t.Fatal(err)
	}
	if err := c.stop("immediate"); err != nil {
		t.Fatal(err)
	}
	lost := c.cutAcrossPages(t)
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.psql("create table b as select generate_series(1,20000); select pg_switch_wal(); create table c()"); err != nil {
		t.Fatal(err)
	}
	if err := c.waitArchived(); err != nil {
		t.Fatal(err)
	}
	all, err := readAll(c.reader(t, Dir(c.archive)))
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(r Record) bool { return r.Rmgr == rmgrXLOG && r.Info&0xF0 == infoOverwriteContrecord })
	if i < 1 || all[i-1].End != lost || all[i].Start <= lost || len(all)-i < 20000 {
		t.Errorf("record %d of %d overwrites the one at %s", i, len(all), lost)
	}
	compareWithDump(t, c, 20000)
}

// cutAcrossPages cuts the WAL of a stopped server at a page that the record of
// the returned LSN goes on to. The page is of the last segment: a complete one
// would be in the archive as it was.
func (c *cluster) cutAcrossPages(t *testing.T) LSN {
	t.Helper()
	pgWAL := c.data + "/pg_wal"
	all, _ := readAll(c.reader(t, c.both()))
	last := SegmentAt(1, all[len(all)-1].End, c.size).Start(c.size)
	for i := len(all) - 200; i > 0 && all[i].Start > last; i-- {
		page := (all[i].Start + pageSize) &^ (pageSize - 1)
		if all[i].End <= page {
			continue
		}
		inv, err := List(pgWAL, c.size)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range inv.Segments {
			from := max(int64(page)-int64(s.Start(c.size)), 0)
			if from >= c.size {
				continue
			}
			f, err := os.OpenFile(filepath.Join(pgWAL, s.Name(c.size)), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(make([]byte, c.size-from), from); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		return all[i-1].End
	}
	t.Fatal("no record of the last segment spans pages")
	return 0
}
