package wal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// fault spoils a file of WAL, whose content is good and whose checksum is kept.
type fault struct {
	name  string
	spoil func(t *testing.T, path string, good []byte)
	// alone is the exit code for a clone that has no other copy.
	alone int
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// inRecord is an offset of the body of a record in the middle of those of a
// segment, on a page whose header is left alone.
func inRecord(t testing.TB, c *cluster, seg Segment) int {
	t.Helper()
	all, _ := readAll(c.reader(t, Dir(c.archive)))
	all = slices.DeleteFunc(all, func(r Record) bool {
		return r.Start < seg.Start(c.size) || r.Start/pageSize != (r.End-1)/pageSize || r.End-r.Start <= recordHeaderSize+8 || r.End > seg.End(c.size)
	})
	if len(all) == 0 {
		t.Fatal("no record lies on one page of", seg.Name(c.size))
	}
	return int(all[len(all)/2].Start-seg.Start(c.size)) + recordHeaderSize + 4
}

// fullBed is getBed with a segment that is full of records.
func fullBed(t *testing.T) (GetRequest, Segment, []byte) {
	t.Helper()
	req, _ := getBed(t)
	c := sampleWAL(t)
	all, _ := readAll(c.reader(t, Dir(c.archive)))
	seg := c.full(t, all)
	req.Name = seg.Name(c.size)
	b, err := os.ReadFile(c.archive + "/" + req.Name)
	if err != nil {
		t.Fatal(err)
	}
	archive(t, req.Archive, req.Name, b)
	return req, seg, b
}

// archive writes a file with its checksum.
func archive(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	write(t, dir+"/"+name, b)
	sum, err := copyAll(context.Background(), io.Discard, bytes.NewReader(b))
	if err == nil {
		err = writeChecksum(dir, name, sum)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func segmentFaults(t *testing.T) []fault {
	c := sampleWAL(t)
	all, _ := readAll(c.reader(t, Dir(c.archive)))
	seg := c.full(t, all)
	body := inRecord(t, c, seg)
	other, err := os.ReadFile(c.archive + "/" + Segment{1, seg.Number - 1}.Name(c.size))
	if err != nil {
		t.Fatal(err)
	}
	content := func(damage func(b []byte) []byte) func(*testing.T, string, []byte) {
		return func(t *testing.T, path string, good []byte) { write(t, path, damage(good)) }
	}
	unproven := func(damage func(b []byte) []byte) func(*testing.T, string, []byte) {
		return func(t *testing.T, path string, good []byte) {
			write(t, path, damage(good))
			os.Remove(path + checksumSuffix)
		}
	}
	replaced := func(make func(path string) error) func(*testing.T, string, []byte) {
		return func(t *testing.T, path string, _ []byte) {
			if err := errors.Join(os.Remove(path), make(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	page := 40 * pageSize
	return []fault{
		{"none", content(bytes.Clone), 0},
		{"absent", func(t *testing.T, path string, _ []byte) {
			if err := Remove(filepath.Dir(path), filepath.Base(path)); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"short", unproven(func(b []byte) []byte { return b[:len(b)/2] }), 255},
		{"zero bytes", unproven(func([]byte) []byte { return nil }), 255},
		{"too long", unproven(func(b []byte) []byte { return append(bytes.Clone(b), 0) }), 255},
		{"zeros", unproven(func(b []byte) []byte { return make([]byte, len(b)) }), 255},
		{"a damaged page", content(func(b []byte) []byte { return flipped(b, page+9) }), 255},
		{"a damaged page, no checksum", unproven(func(b []byte) []byte { return flipped(b, page+9) }), 255},
		{"a damaged record", content(func(b []byte) []byte { return flipped(b, body) }), 255},
		{"a damaged record, no checksum", unproven(func(b []byte) []byte { return flipped(b, body) }), 255},
		{"pages of zeros", unproven(func(b []byte) []byte { return slices.Concat(b[:page], make([]byte, pageSize), b[page+pageSize:]) }), 255},
		{"no checksum", unproven(bytes.Clone), 0},
		{"a checksum that was cut off", func(t *testing.T, path string, _ []byte) { write(t, path+checksumSuffix, []byte("e30")) }, 0},
		{"the checksum of other content", func(t *testing.T, path string, _ []byte) {
			write(t, path+checksumSuffix, []byte(checksum{0xe3069283, 1 << 20}.String()))
		}, 255},
		{"another cluster's", unproven(func(b []byte) []byte { return flipped(b, 24) }), 255},
		{"a later timeline's", unproven(func(b []byte) []byte { b = bytes.Clone(b); b[4] = 2; return b }), 255},
		{"another segment", unproven(func([]byte) []byte { return other }), 255},
		{"a directory", replaced(func(path string) error { return os.Mkdir(path, 0o700) }), 255},
		{"a FIFO", replaced(func(path string) error { return unix.Mkfifo(path, 0o600) }), 255},
		{"unreadable", func(t *testing.T, path string, _ []byte) {
			if err := os.Chmod(path, 0); err != nil {
				t.Fatal(err)
			}
		}, 255},
	}
}

// asNobody gives up root's right to read what it may not, for this test's thread.
func asNobody(t *testing.T, dirs ...string) {
	t.Helper()
	const nobody = 65534
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, nobody, nobody))
		})
		if err == nil {
			err = os.Chmod(filepath.Dir(dir), 0o755) // the test's own folder of temporary ones
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	_ = unix.Setfsuid(nobody)
	t.Cleanup(func() {
		_ = unix.Setfsuid(0)
		runtime.UnlockOSThread()
	})
}

// Only a regular file is opened, and nothing else is waited for.
func TestOpenRegular(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", nil)
	mkdir(t, dir+"/directory")
	if err := errors.Join(unix.Mkfifo(dir+"/fifo", 0o600), os.Symlink("/dev/zero", dir+"/device")); err != nil {
		t.Fatal(err)
	}
	if f, err := openRegular(dir + "/file"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	for _, name := range []string{"directory", "fifo", "device"} {
		if f, err := openRegular(dir + "/" + name); err == nil {
			t.Error("it opens a", name)
			f.Close()
		}
	}
}

// Every fault of the archived copy stops a clone that has no other, is made good
// by the live pg_wal's copy and by the clone's own, and stops no live standby
// (pitfalls 16, 17).
func TestPitfall16_17_FaultsOfTheArchive(t *testing.T) {
	for _, f := range segmentFaults(t) {
		for _, more := range []string{"alone", "live", "own"} {
			t.Run(f.name+", "+more, func(t *testing.T) {
				req, _, good := fullBed(t)
				own := filepath.Dir(req.Dest)
				want := f.alone
				switch more {
				case "live":
					write(t, req.Live+"/"+req.Name, good)
					want = 0
				case "own":
					write(t, own+"/"+req.Name, good)
					want = 0
				}
				f.spoil(t, filepath.Join(req.Archive, req.Name), good)
				asNobody(t, req.Archive, req.Live, own)
				err := Get(context.Background(), req)
				if code := ExitCode(err, true); code != want {
					t.Fatalf("exit %d, want %d: %v", code, want, err)
				}
				if got, _ := os.ReadFile(req.Dest); want == 0 && !bytes.Equal(got, good) {
					t.Error("what came is not the segment")
				}
				os.Remove(req.Dest)
				req.Clone = false
				if code := ExitCode(Get(context.Background(), req), false); code != min(f.alone, 1) {
					t.Error("the live standby is told", code)
				}
				if got, _ := os.ReadFile(req.Dest); f.alone != 0 && got != nil {
					t.Error("the live standby is given it")
				}
				os.Remove(req.Dest)
				if left := names(t, own); left != "" && left != req.Name {
					t.Error("it leaves", left)
				}
			})
		}
	}
}

// The same faults of the only copy, in a server's pg_wal. A segment that is
// recycled or made in advance is none.
func TestPitfall16_17_FaultsOfTheServersCopy(t *testing.T) {
	codes := map[string]int{"zeros": 1, "another segment": 1, "the checksum of other content": 255}
	for _, f := range segmentFaults(t) {
		for _, where := range []string{"live", "own"} {
			t.Run(f.name+", "+where, func(t *testing.T) {
				req, _, good := fullBed(t)
				if err := Remove(req.Archive, req.Name); err != nil {
					t.Fatal(err)
				}
				own := filepath.Dir(req.Dest)
				dir := map[string]string{"live": req.Live, "own": own}[where]
				archive(t, dir, req.Name, good)
				f.spoil(t, filepath.Join(dir, req.Name), good)
				asNobody(t, req.Archive, req.Live, own)
				want, special := codes[f.name]
				if !special {
					want = f.alone
				}
				err := Get(context.Background(), req)
				if code := ExitCode(err, true); code != want {
					t.Errorf("exit %d, want %d: %v", code, want, err)
				}
			})
		}
	}
}

// Of copies that end early a clone is given the one that goes furthest, unless
// what follows is beside it: then it lost the rest (pitfall 16).
func TestPitfall16_TheCopyThatGoesFurthest(t *testing.T) {
	_, _, good := fullBed(t)
	upTo := func(eighths int) []byte {
		return slices.Concat(good[:eighths*len(good)/8], make([]byte, (8-eighths)*len(good)/8))
	}
	const partial = ".partial"
	for name, c := range map[string]struct {
		archive, live, own int // eighths of the content; 0: not there
		suffix             string
		next               string // where the next segment is
		want               int    // eighths; 0: refused
	}{
		"archived":                       {archive: 4, want: 4},
		"archived, and more follows":     {archive: 4, next: "archive"},
		"archived, own goes further":     {archive: 4, own: 5, next: "archive", want: 5},
		"live":                           {live: 3, want: 3},
		"live, and more follows":         {live: 3, next: "live"},
		"live, and more follows, own":    {live: 5, own: 3, next: "live", want: 3},
		"own, and more follows":          {own: 3, next: "own"},
		"live goes further than own":     {live: 5, own: 3, want: 5},
		"own goes further than live":     {live: 3, own: 5, want: 5},
		"own is whole":                   {archive: 6, live: 7, own: 8, want: 8},
		"left by a promotion":            {archive: 4, suffix: partial, want: 4},
		"left by a promotion, live":      {live: 4, suffix: partial, want: 4},
		"left by a promotion, own":       {own: 4, suffix: partial, want: 4},
		"left, and the live one is more": {archive: 4, live: 5, suffix: partial, want: 5},
	} {
		t.Run(name, func(t *testing.T) {
			req, seg, _ := fullBed(t)
			if err := Remove(req.Archive, req.Name); err != nil {
				t.Fatal(err)
			}
			for dir, eighths := range map[string]int{req.Archive: c.archive, req.Live: c.live, filepath.Dir(req.Dest): c.own} {
				if eighths > 0 {
					write(t, dir+"/"+req.Name+c.suffix, upTo(eighths))
				}
			}
			if c.next != "" {
				cluster := sampleWAL(t)
				name := Segment{1, seg.Number + 1}.Name(cluster.size)
				b, err := os.ReadFile(cluster.archive + "/" + name)
				if err != nil {
					t.Fatal(err)
				}
				write(t, map[string]string{"archive": req.Archive, "live": req.Live, "own": filepath.Dir(req.Dest)}[c.next]+"/"+name, b)
			}
			err := Get(context.Background(), req)
			if want := map[bool]int{true: 0, false: 255}[c.want > 0]; ExitCode(err, true) != want {
				t.Fatalf("exit %d, want %d: %v", ExitCode(err, true), want, err)
			}
			if got, _ := os.ReadFile(req.Dest); c.want > 0 && !bytes.Equal(got, upTo(c.want)) {
				t.Error("another copy came")
			}
			if c.suffix != "" {
				req.Clone = false
				if err := Get(context.Background(), req); !errors.Is(err, ErrAbsent) {
					t.Error("the live standby:", err)
				}
			}
		})
	}
}

// A .partial is proved like any other file: its checksum, its header, its records.
func TestPitfall16_ADamagedPartial(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"other content than was pushed": func(b []byte) []byte { return flipped(b, len(b)-1) },
		"another cluster's":             func(b []byte) []byte { return flipped(b, 24) },
		"short":                         func(b []byte) []byte { return b[:len(b)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			req, _, good := fullBed(t)
			if err := Remove(req.Archive, req.Name); err != nil {
				t.Fatal(err)
			}
			left := req.Name + ".partial"
			archive(t, req.Archive, left, good)
			write(t, req.Archive+"/"+left, spoil(good))
			if err := Get(context.Background(), req); ExitCode(err, true) != 255 {
				t.Error(err)
			}
		})
	}
}

// Whatever bytes are damaged, with no checksum kept, a clone is given no record
// that never was.
func TestPitfall16_GetOfFlippedBytes(t *testing.T) {
	req, seg, good := fullBed(t)
	c := sampleWAL(t)
	path := PathOf(1, nil)
	whole, _ := readAll(NewReader(memory{seg: good}, c.size, c.systemID, path, seg.Start(c.size)))
	os.Remove(req.Archive + "/" + req.Name + checksumSuffix)
	rnd := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for range 200 {
		at, n := rnd.IntN(len(good)), 1+rnd.IntN(64)
		bad := bytes.Clone(good)
		for i := at; i < min(at+n, len(bad)); i++ {
			bad[i] ^= byte(1 + rnd.IntN(255))
		}
		write(t, req.Archive+"/"+req.Name, bad)
		err := Get(context.Background(), req)
		if err != nil {
			refused++
			continue
		}
		got, err := os.ReadFile(req.Dest)
		if err != nil {
			t.Fatal(err)
		}
		records, _ := readAll(NewReader(memory{seg: got}, c.size, c.systemID, path, seg.Start(c.size)))
		if len(records) > len(whole) || !slices.Equal(records, whole[:len(records)]) {
			t.Fatalf("byte %d: a record that never was", at)
		}
	}
	if refused < 180 {
		t.Errorf("only %d of 200 were refused", refused)
	}
}

// Segments of all sizes are fetched and proved (pitfall 21).
func TestPitfall21_GetOfEachSegmentSize(t *testing.T) {
	c64, err := newCluster(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c64.psql("create table t as select g, repeat('x', 700) from generate_series(1,60000) g; select pg_switch_wal(); create table after()"); err != nil {
		t.Fatal(err)
	}
	if err := c64.waitArchived(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*cluster{"1 MB": sampleWAL(t), "16 MB": sampleWAL16(t), "64 MB": c64} {
		t.Run(name, func(t *testing.T) {
			seg := c.first(t)
			good, err := os.ReadFile(c.archive + "/" + seg.Name(c.size))
			if err != nil {
				t.Fatal(err)
			}
			req := GetRequest{Name: seg.Name(c.size), Dest: t.TempDir() + "/RECOVERYXLOG", Archive: t.TempDir(),
				SystemID: c.systemID, SegmentSize: c.size, Clone: true}
			write(t, req.Archive+"/"+req.Name, good)
			if err := Get(context.Background(), req); err != nil {
				t.Error(err)
			}
			if got, _ := os.ReadFile(req.Dest); !bytes.Equal(got, good) {
				t.Error("what came is not the segment")
			}
			write(t, req.Archive+"/"+req.Name, flipped(good, inRecord(t, c, seg)))
			if err := Get(context.Background(), req); ExitCode(err, true) != 255 {
				t.Error("a damaged record:", err)
			}
			req.SegmentSize *= 2
			if err := Get(context.Background(), req); ExitCode(err, true) != 255 {
				t.Error("with another segment size:", err)
			}
		})
	}
}
