package wal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pushBed is a data directory that is the working directory, with one archived
// segment's content to push, and an empty archive.
func pushBed(t testing.TB) (PushRequest, Segment, []byte) {
	t.Helper()
	c := sampleWAL(t)
	seg := c.first(t)
	b, err := os.ReadFile(filepath.Join(c.archive, seg.Name(c.size)))
	if err != nil {
		t.Fatal(err)
	}
	data, archive := t.TempDir(), t.TempDir()
	mkdir(t, data+"/pg_wal")
	write(t, data+"/pg_wal/"+seg.Name(c.size), b)
	if tt, ok := t.(*testing.T); ok {
		tt.Chdir(data)
	}
	return PushRequest{Path: "pg_wal/" + seg.Name(c.size), Archive: archive, DataDir: data, SystemID: c.systemID}, seg, b
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) string {
	t.Helper()
	list, err := readNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// A push is whole or not there; what a crash left is cleaned; the same content
// again is success, other content never overwrites (pitfalls 2, 18).
func TestPitfall2_18_Push(t *testing.T) {
	req, seg, content := pushBed(t)
	ctx := context.Background()
	name := filepath.Base(req.Path)
	write(t, req.Archive+"/"+tempName(name), append(bytes.Clone(content), content...))
	write(t, req.Archive+"/"+tempName(name+checksumSuffix), []byte("e3069283 1677"))
	for i := range 3 {
		if err := Push(ctx, req); err != nil {
			t.Fatalf("push %d: %v", i, err)
		}
		if got := names(t, req.Archive); got != name+" "+name+checksumSuffix {
			t.Errorf("push %d leaves %s", i, got)
		}
		if i == 1 {
			os.Remove(req.Archive + "/" + name + checksumSuffix) // as a crash, or another archiver, would leave it
		}
	}
	got, _ := os.ReadFile(req.Archive + "/" + name)
	if !bytes.Equal(got, content) {
		t.Error("the archived content differs")
	}
	if info, _ := os.Stat(req.Archive + "/" + name); info.Mode() != 0o600 {
		t.Error("mode", info.Mode())
	}
	if inv, err := List(req.Archive, sampleWAL(t).size); err != nil || len(inv.Segments) != 1 || len(inv.Others) != 0 || inv.Segments[0].Segment != seg {
		t.Error(inv, err)
	}

	other := bytes.Clone(content)
	other[len(other)-1] ^= 1
	write(t, req.Path, other)
	err := Push(ctx, req)
	if err == nil || !strings.Contains(err.Error(), req.Path) || !strings.Contains(err.Error(), req.Archive+"/"+name) {
		t.Error("other content:", err)
	}
	if got, _ = os.ReadFile(req.Archive + "/" + name); !bytes.Equal(got, content) {
		t.Error("the archived content was overwritten")
	}
	for _, existing := range [][]byte{content[:100], append(bytes.Clone(content), 0), nil} {
		write(t, req.Path, content)
		write(t, req.Archive+"/"+name, existing)
		if err := Push(ctx, req); err == nil {
			t.Errorf("an archived file of %d bytes is taken for the same", len(existing))
		}
	}
	if err := Remove(req.Archive, name); err != nil || names(t, req.Archive) != "" {
		t.Error("Remove:", err, names(t, req.Archive))
	}
}

func TestPushKeepsOtherFilesOfTheServer(t *testing.T) {
	req, seg, _ := pushBed(t)
	name := seg.Name(sampleWAL(t).size)
	for _, n := range []string{"00000002.history", name + ".00000028.backup", name + ".partial"} {
		write(t, "pg_wal/"+n, []byte("1\t0/3000000\tno recovery target specified\n"))
		req.Path = "pg_wal/" + n
		if err := Push(context.Background(), req); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(req.Archive + "/" + n); err != nil {
			t.Error(err)
		}
	}
	write(t, "pg_wal/strange", nil)
	req.Path = "pg_wal/strange"
	if err := Push(context.Background(), req); err == nil {
		t.Error("a strange name is archived")
	}
	inv, err := List(req.Archive, 1<<20)
	if err != nil || len(inv.Segments) != 0 || len(inv.Partials) != 1 || len(inv.Histories) != 1 || len(inv.Others) != 1 {
		t.Error("pitfall 22:", inv, err)
	}
	if err := Remove(req.Archive, "00000002.history"); err == nil {
		t.Error("pitfall 22: a history file is removed")
	}
}

// What is not this standby's WAL is refused, and the archive stays as it was
// (pitfalls 34, 35, 56).
func TestPitfall34_35_56_PushRefuses(t *testing.T) {
	later := func(s Segment) string { return Segment{s.Timeline, s.Number + 1}.Name(1 << 20) }
	cases := map[string]struct {
		spoil func(t *testing.T, req *PushRequest, seg Segment, b []byte)
		says  string
	}{
		"another server's directory": {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) { req.DataDir = t.TempDir() }, "turn archive_mode off"},
		"no such data directory":     {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) { req.DataDir += "/nowhere" }, "no such file"},
		"another cluster":            {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) { req.SystemID++ }, "another cluster"},
		"another segment": {func(t *testing.T, req *PushRequest, s Segment, b []byte) {
			req.Path = "pg_wal/" + later(s)
			write(t, req.Path, b)
		}, "it holds the WAL at"},
		"a later timeline": {func(t *testing.T, req *PushRequest, s Segment, b []byte) {
			b[4] = 2
			write(t, req.Path, b)
		}, "timeline 2"},
		"short": {func(t *testing.T, req *PushRequest, _ Segment, b []byte) { write(t, req.Path, b[:pageSize]) }, "has 8192 bytes"},
		"empty": {func(t *testing.T, req *PushRequest, _ Segment, b []byte) { write(t, req.Path, nil) }, "only 0 bytes"},
		"not mounted": {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) {
			req.Mount = Mount{Dataset: "zp1/archive", Mountpoint: req.Archive}
		}, "is not mounted"},
		"something else mounted": {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) {
			mount(t, "strange", req.Archive, "")
			req.Mount = Mount{Dataset: "zp1/archive", Mountpoint: req.Archive}
		}, "strange is mounted at"},
		"no archive": {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) { req.Archive += "/nowhere" }, "no such file"},
		"no space": {func(t *testing.T, req *PushRequest, _ Segment, _ []byte) {
			mount(t, "zp1/archive", req.Archive, "size=512k")
			req.Mount = Mount{Dataset: "zp1/archive", Mountpoint: req.Archive}
		}, "no space left"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req, seg, b := pushBed(t)
			c.spoil(t, &req, seg, bytes.Clone(b))
			err := Push(context.Background(), req)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("want %q: %v", c.says, err)
			}
			if left, err := readNames(req.Archive); err == nil && len(left) != 0 {
				t.Error("it leaves", left)
			}
		})
	}
}

func TestPitfall56_PushWhereMounted(t *testing.T) {
	req, _, _ := pushBed(t)
	mount(t, "zp1/archive two", req.Archive, "")
	mkdir(t, req.Archive+"/wal")
	req.Mount = Mount{Dataset: "zp1/archive two", Mountpoint: req.Archive}
	req.Archive += "/wal"
	if err := Push(context.Background(), req); err != nil {
		t.Error(err)
	}
	req.Archive = t.TempDir()
	if err := Push(context.Background(), req); err == nil {
		t.Error("an archive beside the dataset is taken")
	}
}

// What a push that was killed left under the temporary name is never written to
// where it is an archived file as well: it may have been set aside since.
func TestPitfall2_PushWritesToNoArchivedFile(t *testing.T) {
	req, _, content := pushBed(t)
	name := filepath.Base(req.Path)
	temp, final := req.Archive+"/"+tempName(name), req.Archive+"/"+name
	if err := Push(context.Background(), req); err != nil {
		t.Fatal(err)
	}
	link := func() { // and killed before it took the temporary name away
		t.Helper()
		if err := os.Link(final, temp); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(path string, want []byte) {
		t.Helper()
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s has %d bytes, or others, %v", path, len(b), err)
		}
	}
	link()
	if err := Push(context.Background(), req); err != nil || names(t, req.Archive) != name+" "+name+checksumSuffix {
		t.Errorf("the same again: %v, and it leaves %s", err, names(t, req.Archive))
	}
	holds(final, content)
	damaged := flipped(content, len(content)/2)
	write(t, final, damaged)
	link()
	aside, err := SetAside(req.Archive, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := Push(context.Background(), req); err != nil {
		t.Error(err)
	}
	holds(aside, damaged)
	holds(final, content)
	if _, err := os.Lstat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary name: %v", err)
	}
}

// Of two pushes of one file at once, one archives it; the other archives it as well
// (it found the same there), or fails and takes nothing from the first.
func TestPushesOfOneFileAtOnce(t *testing.T) {
	req, _, content := pushBed(t)
	name := filepath.Base(req.Path)
	held, err := createTemp(req.Archive, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := Push(context.Background(), req); err == nil || !strings.Contains(err.Error(), "another push of it is at work") {
		t.Error("beside one that is at work:", err)
	}
	held.discard()
	for round := range 20 {
		errs := make(chan error)
		for range 4 {
			go func() { errs <- Push(context.Background(), req) }()
		}
		done := 0
		for range 4 {
			if err := <-errs; err == nil {
				done++
			} else if !strings.Contains(err.Error(), "another push of it is at work") {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if b, err := os.ReadFile(req.Archive + "/" + name); done == 0 || err != nil || !bytes.Equal(b, content) {
			t.Errorf("round %d: %d pushes succeeded, and the archive has %d bytes, %v", round, done, len(b), err)
		}
		if got := names(t, req.Archive); got != name+" "+name+checksumSuffix {
			t.Errorf("round %d leaves %s", round, got)
		}
		if err := Remove(req.Archive, name); err != nil {
			t.Fatal(err)
		}
	}
}

// A rename is never over another file, by renameat2 as by the link that stands
// in for it (pitfall 2).
func TestPitfall2_RenameNeverReplaces(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"renameat2": renameNew, "link": linkNew} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/one", []byte("1"))
			write(t, dir+"/two", []byte("2"))
			if err := rename(dir+"/one", dir+"/two"); !errors.Is(err, fs.ErrExist) || names(t, dir) != "one two" {
				t.Error("over another:", err, names(t, dir))
			}
			if b, _ := os.ReadFile(dir + "/two"); string(b) != "2" {
				t.Errorf("it was replaced by %s", b)
			}
			if err := rename(dir+"/one", dir+"/three"); err != nil || names(t, dir) != "three two" {
				t.Error("to a new name:", err, names(t, dir))
			}
			if err := rename(dir+"/one", dir+"/four"); !errors.Is(err, fs.ErrNotExist) {
				t.Error("of nothing:", err)
			}
		})
	}
}

func mount(t *testing.T, source, dir, options string) {
	t.Helper()
	if err := unix.Mount(source, dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	})
}

// A push of 16 MB takes no more than 1.5 times BenchmarkCopyAndSync.
func BenchmarkPush(b *testing.B) {
	c, src, archive := benchBed(b)
	for b.Loop() {
		if err := Push(context.Background(), PushRequest{Path: src, Archive: archive, SystemID: c.systemID}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := Remove(archive, filepath.Base(src)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkCopyAndSync(b *testing.B) {
	_, src, archive := benchBed(b)
	dst := filepath.Join(archive, filepath.Base(src))
	for b.Loop() {
		for _, args := range [][]string{{"cp", src, dst}, {"sync", dst, archive}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
		}
		b.StopTimer()
		os.Remove(dst)
		b.StartTimer()
	}
}

func benchBed(b *testing.B) (c *cluster, src, archive string) {
	b.Helper()
	c = sampleWAL16(b)
	seg := c.first(b)
	b.SetBytes(c.size)
	return c, filepath.Join(c.archive, seg.Name(c.size)), b.TempDir()
}

// A server may give a segment that it has done with another name, and write over it.
func TestPushOfASegmentThatIsRecycledMeanwhile(t *testing.T) {
	_, seg, good := fullBed(t)
	dir, archive := t.TempDir(), t.TempDir()
	name := seg.Name(int64(len(good)))
	write(t, filepath.Join(dir, name), good)
	src, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "recycled")); err != nil {
		t.Fatal(err)
	}
	if err := store(t.Context(), src, archive, name); err == nil || !strings.Contains(err.Error(), "recycled") {
		t.Error("it was archived:", err)
	}
	if left, err := os.ReadDir(archive); err != nil || len(left) != 0 {
		t.Errorf("the archive holds %v (%v)", left, err)
	}
}
