package wal

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var dumpLine = regexp.MustCompile(`^rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: (\S+), prev (\S+), desc: (.*)$`)

// describe renders a record as pg_waldump's line is rendered by dumped.
func describe(r Record) string {
	s := fmt.Sprintf("%s rmgr=%d tx=%d", r.Start, r.Rmgr, r.XID)
	switch r.Kind {
	case Other:
		return s
	case RunningXacts:
		return s + fmt.Sprintf(" %s, next %d, oldest %d, of %d", r.Kind, r.Running.Next, r.Running.Oldest, r.Running.Count)
	case Commit, Abort:
		return s + fmt.Sprintf(" %s %s", r.Kind, r.Time.Format("2006-01-02 15:04:05.000000"))
	case CommitPrepared, AbortPrepared:
		return s + fmt.Sprintf(" %s %d %s", r.Kind, r.TwoPhaseXID, r.Time.Format("2006-01-02 15:04:05.000000"))
	case RestorePoint:
		return s + fmt.Sprintf(" %s %s", r.Kind, r.Name)
	case CheckpointOnline, CheckpointShutdown:
		return s + fmt.Sprintf(" %s %s", r.Kind, r.RedoLSN)
	case ParameterChange:
		return s + fmt.Sprintf(" %s %+v", r.Kind, r.Settings)
	}
	return s + " " + r.Kind.String()
}

var rmgrNames = strings.Fields("XLOG Transaction Storage CLOG Database Tablespace MultiXact RelMap Standby Heap2 Heap Btree Hash Gin Gist Sequence SPGist BRIN CommitTs ReplicationOrigin Generic LogicalMessage")

var (
	dumpTime       = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}`)
	dumpCheckpoint = regexp.MustCompile(`redo (\S+);.*(online|shutdown)$`)
	dumpRunning    = regexp.MustCompile(`nextXid (\d+) latestCompletedXid \d+ oldestRunningXid (\d+)(?:; (\d+) xacts:)?`)
	dumpPrepared   = regexp.MustCompile(`PREPARED (\d+):`)
)

var dumpSettings = regexp.MustCompile(`(\w+)=(\w+)`)

// dumpedSettings reads those of a parameter change.
func dumpedSettings(desc string) Settings {
	number, minimal := map[string]int{}, false
	for _, m := range dumpSettings.FindAllStringSubmatch(desc, -1) {
		number[m[1]], _ = strconv.Atoi(m[2])
		minimal = minimal || m[1] == "wal_level" && m[2] == "minimal"
	}
	return Settings{MaxConnections: number["max_connections"], MaxWorkerProcesses: number["max_worker_processes"], MaxWALSenders: number["max_wal_senders"],
		MaxPreparedXacts: number["max_prepared_xacts"], MaxLocksPerXact: number["max_locks_per_xact"], Minimal: minimal}
}

func dumped(t *testing.T, line string) string {
	m := dumpLine.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("pg_waldump wrote %q", line)
	}
	lsn, err := ParseLSN(m[4])
	if err != nil {
		t.Fatal(err)
	}
	s := fmt.Sprintf("%s rmgr=%d tx=%s", lsn, slices.Index(rmgrNames, m[1]), m[3])
	desc := m[6]
	when := dumpTime.FindString(desc)
	switch {
	case m[1] == "Transaction" && strings.HasPrefix(desc, "COMMIT "):
		return s + " commit " + when
	case m[1] == "Transaction" && strings.HasPrefix(desc, "ABORT "):
		return s + " abort " + when
	case m[1] == "Transaction" && strings.HasPrefix(desc, "COMMIT_PREPARED "):
		return s + " commit prepared " + dumpPrepared.FindStringSubmatch(desc)[1] + " " + when
	case m[1] == "Transaction" && strings.HasPrefix(desc, "ABORT_PREPARED "):
		return s + " abort prepared " + dumpPrepared.FindStringSubmatch(desc)[1] + " " + when
	case m[1] == "Standby" && strings.HasPrefix(desc, "RUNNING_XACTS"):
		x := dumpRunning.FindStringSubmatch(desc)
		return s + fmt.Sprintf(" running transactions, next %s, oldest %s, of %s", x[1], x[2], cmp.Or(x[3], "0"))
	case m[1] != "XLOG":
		return s
	case strings.HasPrefix(desc, "RESTORE_POINT "):
		return s + " restore point " + strings.TrimPrefix(desc, "RESTORE_POINT ")
	case strings.HasPrefix(desc, "CHECKPOINT_ONLINE"), strings.HasPrefix(desc, "CHECKPOINT_SHUTDOWN"): // CHECKPOINT_REDO of 17 steers nothing
		c := dumpCheckpoint.FindStringSubmatch(desc)
		return s + " " + c[2] + " checkpoint " + c[1]
	case strings.HasPrefix(desc, "SWITCH"):
		return s + " switch"
	case strings.HasPrefix(desc, "PARAMETER_CHANGE"):
		return s + fmt.Sprintf(" parameter change %+v", dumpedSettings(desc))
	}
	return s
}

// The reader finds the records that pg_waldump finds, in segments of 1 MB and of
// 16 MB (pitfall 21).
func TestReaderAgreesWithPgWaldump(t *testing.T) {
	for name, c := range map[string]*cluster{"1MB": sampleWAL(t), "16MB": sampleWAL16(t)} {
		t.Run(name, func(t *testing.T) {
			kinds := compareWithDump(t, c, 5000)
			for _, k := range []RecordKind{Commit, Abort, CommitPrepared, AbortPrepared, RestorePoint, CheckpointOnline, Switch} {
				if kinds[k] == 0 {
					t.Errorf("the sample has no %s record", k)
				}
			}
		})
	}
}

// compareWithDump compares at least so many records of the archive, and returns
// how many there are of each kind.
func compareWithDump(t *testing.T, c *cluster, atLeast int) map[RecordKind]int {
	r := c.reader(t, Dir(c.archive))
	got, err := readAll(r)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	first := c.first(t)
	out, err := c.command("pg_waldump", "-p", c.archive, "-s", first.Start(c.size).String(), "-t", "1").Output()
	if len(out) == 0 {
		t.Fatal("pg_waldump wrote nothing:", err)
	}
	i, kinds := 0, map[RecordKind]int{}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	lines.Buffer(nil, 1<<20)
	for ; lines.Scan(); i++ {
		if strings.HasPrefix(lines.Text(), "first record is after") {
			i--
			continue
		}
		if i >= len(got) {
			t.Fatalf("the reader ends after %d records with %v; pg_waldump has also %s", i, err, lines.Text())
		}
		if want := dumped(t, lines.Text()); describe(got[i]) != want {
			t.Fatalf("record %d:\n%s\nbut pg_waldump says\n%s", i, describe(got[i]), want)
		}
		kinds[got[i].Kind]++
	}
	if i != len(got) || i < atLeast {
		t.Fatalf("%d records, and %d by pg_waldump", len(got), i)
	}
	return kinds
}

// The end that the reader finds in the live pg_wal is the server's own (pitfall 4).
func TestPitfall4_ReaderReachesTheUnfinishedSegment(t *testing.T) {
	c := sampleWAL(t)
	if _, err := c.psql("insert into t values (900000 + (random()*1e6)::int, 'x')"); err != nil {
		t.Fatal(err)
	}
	end := c.lsn(t, "select pg_current_wal_flush_lsn()")
	r := c.reader(t, c.both())
	all, err := readAll(r)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if last := all[len(all)-1]; last.End < end || r.Pos() != last.End {
		t.Errorf("the last record ends at %s, pos %s, the server at %s", last.End, r.Pos(), end)
	}
	if _, err := r.Next(context.Background()); !errors.Is(err, io.EOF) {
		t.Error("a second Next at the end:", err)
	}
	if _, err := c.psql("insert into t values (-1 - (random()*1e9)::int, 'x')"); err != nil {
		t.Fatal(err)
	}
	if more, err := readAll(r); len(more) == 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after more was written: %d records, %v", len(more), err)
	}
}

func TestReaderStartsAnywhereOnAPage(t *testing.T) {
	c := sampleWAL(t)
	m := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, m))
	start := c.first(t).Start(c.size)
	for _, at := range []LSN{start, start + LSN(c.size), start + LSN(c.size) + pageSize, start + 2*LSN(c.size) + 3*pageSize} {
		want := slices.IndexFunc(all, func(r Record) bool { return r.Start >= at })
		r := NewReader(m, c.size, c.systemID, PathOf(1, nil), at)
		got, _ := readAll(r)
		if !slices.Equal(got, all[want:]) {
			t.Errorf("from %s: %d records, want %d", at, len(got), len(all)-want)
		}
		clean := want > 0 && all[want-1].End == at
		if want > 0 && r.AtBoundary() != clean {
			t.Errorf("from %s: AtBoundary is %v", at, r.AtBoundary())
		}
	}
	mid := all[len(all)/2]
	for _, at := range []LSN{mid.Start, mid.End} {
		r := NewReader(m, c.size, c.systemID, PathOf(1, nil), at)
		if rec, err := r.Next(context.Background()); err != nil || rec.Start < at || !r.AtBoundary() {
			t.Errorf("from %s: %v %v", at, rec, err)
		}
	}
	if _, err := NewReader(m, c.size, c.systemID, PathOf(1, nil), mid.Start+8).Next(context.Background()); err == nil {
		t.Error("a start in the middle of a record is read")
	}
}

// Whatever follows the cut, the reader gives the records before it and no other.
func TestReaderCutAtEveryKindOfOffset(t *testing.T) {
	c := sampleWAL(t)
	m := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, m))
	first := c.first(t)
	stale := m[first]
	// The third segment is in the middle of records that span pages.
	seg := Segment{1, first.Number + 2}
	start := seg.Start(c.size)
	cuts := []int64{0, 8, 23, 24, 39, 40, 41, pageSize - 1, pageSize, pageSize + 4, pageSize + 24, c.size - 1, c.size}
	for _, r := range all {
		if r.Start >= start && r.End < start+LSN(c.size) && len(cuts) < 400 {
			at := int64(r.Start - start)
			cuts = append(cuts, at, at+3, at+4, at+23, at+24, at+27, int64(r.End-start)-1)
		}
	}
	for _, cut := range cuts {
		for name, fill := range map[string][]byte{"zeros": make([]byte, c.size), "stale": stale} {
			cutWAL := memory{}
			for s, b := range m {
				if s.Number < seg.Number {
					cutWAL[s] = b
				}
			}
			cutWAL[seg] = slices.Concat(m[seg][:cut], fill[cut:])
			r := c.reader(t, cutWAL)
			got, err := readAll(r)
			want := slices.IndexFunc(all, func(r Record) bool { return r.End > start+LSN(cut) })
			if !errors.Is(err, io.EOF) {
				t.Fatalf("cut at %d, then %s: %v", cut, name, err)
			}
			// A record may end in padding, which need not have been written.
			if len(got) < want || !slices.Equal(got, all[:len(got)]) || len(got) > want+1 {
				t.Fatalf("cut at %d, then %s: %d records, want %d", cut, name, len(got), want)
			}
		}
	}
}

// Flipped bytes are damage, never another record, as long as WAL follows.
func TestReaderFindsFlippedBytes(t *testing.T) {
	c := sampleWAL(t)
	m := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, m))
	segments := slices.SortedFunc(maps.Keys(m), compareSegments)
	rnd := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 400 {
		seg := segments[rnd.IntN(len(segments)-2)]
		at := rnd.IntN(int(c.size))
		b := slices.Clone(m[seg])
		b[at] ^= byte(1 + rnd.IntN(255))
		bad := maps.Clone(m)
		bad[seg] = b
		got, err := readAll(c.reader(t, bad))
		if !slices.Equal(got, all[:len(got)]) {
			t.Fatalf("byte %d of %s: a record that never was", at, seg.Name(c.size))
		}
		var damage *DamagedError
		switch {
		case errors.As(err, &damage):
			found++
			if damage.LSN > seg.Start(c.size)+LSN(at) {
				t.Errorf("byte %d of %s: damage found at %s", at, seg.Name(c.size), damage.LSN)
			}
		case len(got) != len(all):
			t.Fatalf("byte %d of %s: it ends after %d of %d records with %v", at, seg.Name(c.size), len(got), len(all), err)
		}
		// Behind a switch and in padding a byte means nothing.
	}
	if found < 200 {
		t.Errorf("only %d of 400 were found", found)
	}
}

// A damaged copy in the archive does not hide a good one elsewhere (pitfall 16).
func TestPitfall16_ReaderFallsBackToTheGoodCopy(t *testing.T) {
	c := sampleWAL(t)
	good := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, good))
	seg := c.full(t, all)
	next := Segment{1, seg.Number + 1}
	flip := slices.Clone(good[seg])
	flip[300000] ^= 1
	for name, bad := range map[string][]byte{
		"zero bytes":           {},
		"short":                good[seg][:c.size/2],
		"zeros":                make([]byte, c.size),
		"another segment":      good[next],
		"flipped":              flip,
		"zeros from the half":  slices.Concat(good[seg][:c.size/2], make([]byte, c.size/2)),
		"flipped in two files": flip,
	} {
		t.Run(name, func(t *testing.T) {
			archive := maps.Clone(good)
			archive[seg] = bad
			if name == "flipped in two files" {
				other := slices.Clone(good[next])
				other[17] ^= 1
				archive[next] = other
			}
			if got, err := readAll(c.reader(t, archive)); len(got) == len(all) || !errors.As(err, new(*DamagedError)) {
				t.Fatalf("alone: %d records, %v", len(got), err)
			}
			r := c.reader(t, Sources(archive, memory{seg: good[seg], next: good[next]}))
			got, err := readAll(r)
			if !slices.Equal(got, all) || !errors.Is(err, io.EOF) {
				t.Fatalf("%d records of %d, %v", len(got), len(all), err)
			}
			if len(r.Damaged()) == 0 {
				t.Error("the damage is not remembered")
			}
		})
	}
}

// What is no file in the archive hides no good copy either, and is damage when
// there is none (pitfall 16).
func TestPitfall16_ReaderPassesWhatIsNoFile(t *testing.T) {
	c := sampleWAL(t)
	good := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, good))
	seg := c.full(t, all)
	for name, put := range map[string]func(path string) error{
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for s, b := range good {
				write(t, dir+"/"+s.Name(c.size), b)
			}
			path := dir + "/" + seg.Name(c.size)
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			var damage *DamagedError
			if _, err := readAll(c.reader(t, Dir(dir))); !errors.As(err, &damage) || damage.Origin != path {
				t.Error("alone:", err)
			}
			if got, err := readAll(c.reader(t, Sources(Dir(dir), good))); !slices.Equal(got, all) || !errors.Is(err, io.EOF) {
				t.Errorf("%d records of %d, %v", len(got), len(all), err)
			}
			aside, err := SetAside(dir, seg.Name(c.size))
			if _, gone := os.Lstat(path); err != nil || !errors.Is(gone, os.ErrNotExist) {
				t.Error("setting it aside:", aside, err)
			}
		})
	}
}

func TestReaderTellsGapFromEnd(t *testing.T) {
	c := sampleWAL(t)
	good := c.load(t, c.archive)
	hole := maps.Clone(good)
	seg := Segment{1, c.first(t).Number + 2}
	delete(hole, seg)
	got, err := readAll(c.reader(t, hole))
	var gap *GapError
	if !errors.As(err, &gap) || gap.Segment != seg || len(got) == 0 {
		t.Errorf("%d records, then %v", len(got), err)
	}
	r := NewReader(memory{}, c.size, 0, PathOf(1, nil), seg.Start(c.size))
	if _, err := r.Next(context.Background()); !errors.As(err, &gap) {
		t.Error("a start that is absent:", err)
	}
	if _, err := readAll(c.reader(t, Dir(c.archive+"/nowhere"))); err == nil || errors.As(err, &gap) || errors.Is(err, io.EOF) {
		t.Error("pitfall 51: a directory that is not there:", err)
	}
	other := NewReader(good, c.size, c.systemID+1, PathOf(1, nil), seg.Start(c.size))
	if _, err := other.Next(context.Background()); !errors.As(err, new(*DamagedError)) {
		t.Error("WAL of another cluster:", err)
	}
}

// A record that goes on in a segment that is absent ends the WAL that is left of
// a single point. That is told, whatever else another place has under the name of
// the segment in which it begins: nothing, or zeros that the server laid down
// for later.
func TestReaderTellsTheAbsentSegmentThatARecordGoesOnIn(t *testing.T) {
	c := sampleWAL(t)
	good := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, good))
	at := slices.IndexFunc(all, func(r Record) bool {
		return r.Kind != Switch && r.Start/LSN(c.size) != (r.End-1)/LSN(c.size) && r.Start > c.first(t).End(c.size)
	})
	if at < 1 {
		t.Fatal("no record of the sample goes on in the next segment")
	}
	home := SegmentAt(1, all[at].Start, c.size)
	gone := Segment{1, home.Number + 1}
	left := maps.Clone(good)
	delete(left, gone)
	for name, own := range map[string]memory{"nothing": {}, "zeros": {home: make([]byte, c.size)}} {
		t.Run(name, func(t *testing.T) {
			var gap *GapError
			if got, err := readAll(c.reader(t, Sources(left, own))); !errors.As(err, &gap) || gap.Segment != gone || len(got) != at {
				t.Errorf("%d records of %d, then %v", len(got), at, err)
			}
			got, err := LastRecordBefore(context.Background(), Sources(left, own), c.size, c.systemID, PathOf(1, nil), all[at].Start, 0)
			if err != nil || got != all[at-1] {
				t.Errorf("before it: %v, %v", got, err)
			}
		})
	}
}

func TestLastRecordBefore(t *testing.T) {
	c := sampleWAL(t)
	ctx, path := context.Background(), PathOf(1, nil)
	m := c.load(t, c.archive)
	start := c.first(t).Start(c.size)
	all, _ := readAll(c.reader(t, m))
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		i := rnd.IntN(len(all) - 1)
		lsn := all[i].End + LSN(rnd.IntN(int(all[i+1].End-all[i].End)))
		rec, err := LastRecordBefore(ctx, m, c.size, c.systemID, path, lsn, start)
		if err != nil || rec != all[i] {
			t.Fatalf("before %s: %v %v, want %v", lsn, rec, err, all[i])
		}
	}
	last := all[len(all)-1]
	if rec, err := LastRecordBefore(ctx, m, c.size, c.systemID, path, last.End, start); err != nil || rec != last {
		t.Error("the end of the archive:", rec, err)
	}
	if rec, err := LastRecordBefore(ctx, m, c.size, c.systemID, path, last.End+LSN(c.size), start); err == nil {
		t.Error("an LSN that the WAL does not reach:", rec)
	}
	if rec, err := LastRecordBefore(ctx, m, c.size, c.systemID, path, start+longHeaderSize, start); err == nil {
		t.Error("nothing ends there:", rec)
	}
}

// Commit times are not in WAL order, and a quiet end is no error (pitfalls 11, 12).
func TestPitfall11_SearchByTime(t *testing.T) {
	c := sampleWAL(t)
	ctx, path := context.Background(), PathOf(1, nil)
	m := c.load(t, c.archive)
	all, _ := readAll(c.reader(t, m))
	start := all[0].Start
	xacts := slices.DeleteFunc(slices.Clone(all), func(r Record) bool { return !r.IsXact() })
	for i, x := range xacts[:len(xacts)-1] {
		rec, found, last, lastXact, err := FirstXactAfter(ctx, NewReader(m, c.size, c.systemID, path, start), x.Time)
		want := slices.IndexFunc(xacts, func(r Record) bool { return r.Time.After(x.Time) })
		if want < 0 {
			continue
		}
		if err != nil || !found || rec != xacts[want] || want > 0 && lastXact != xacts[want-1] || last.End > rec.Start {
			t.Fatalf("after xact %d: %v %v %v %v %v", i, rec, found, last, lastXact, err)
		}
	}
	newest, at, n, err := NewestXact(ctx, m, c.size, c.systemID, path, start, all[len(all)-1].End)
	if err != nil || n != len(xacts) || at.Time != newest {
		t.Error(newest, at, n, err)
	}
	_, found, last, lastXact, err := FirstXactAfter(ctx, NewReader(m, c.size, c.systemID, path, start), newest.Add(time.Hour))
	if found || err != nil || last != all[len(all)-1] || lastXact != xacts[len(xacts)-1] {
		t.Error("after the last:", found, last, lastXact, err)
	}
	if _, _, n, err := NewestXact(ctx, m, c.size, c.systemID, path, start, xacts[2].Start); err != nil || n != 2 {
		t.Error("up to the third:", n, err)
	}
	if _, _, _, err := NewestXact(ctx, m, c.size, c.systemID, path, start, all[len(all)-1].End+LSN(c.size)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("beyond the end:", err)
	}
}

func BenchmarkReader(b *testing.B) {
	c := sampleWAL16(b)
	inv, err := List(c.archive, c.size)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(inv.Segments)) * c.size)
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(Dir(c.archive), c.size, c.systemID, PathOf(1, nil), inv.Segments[0].Start(c.size))
		if all, err := count(r); all == 0 || !errors.Is(err, io.EOF) {
			b.Fatal(all, err)
		}
		r.Close()
	}
}

func count(r *Reader) (n int, err error) {
	for {
		if _, err = r.Next(context.Background()); err != nil {
			return n, err
		}
		n++
	}
}
