package wal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// getBed is an archive with one pushed segment, and the request for it.
func getBed(t *testing.T) (GetRequest, []byte) {
	t.Helper()
	push, seg, b := pushBed(t)
	if err := Push(context.Background(), push); err != nil {
		t.Fatal(err)
	}
	return GetRequest{
		Name: seg.Name(1 << 20), Dest: t.TempDir() + "/RECOVERYXLOG", Archive: push.Archive, Live: t.TempDir(),
		SystemID: push.SystemID, SegmentSize: 1 << 20, Clone: true,
	}, b
}

// A clone gets good WAL from wherever it is, a proven absence, or a stop: never
// a damaged segment, and never an absence that is none (pitfalls 4, 16, 17, 51).
func TestPitfall16_17_Get(t *testing.T) {
	flip := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	half := func(b, rest []byte) []byte { return slices.Concat(b[:len(b)/2], rest[len(b)/2:]) }
	zeros := make([]byte, 1<<20)
	cases := []struct {
		name          string
		archive, live func(b []byte) []byte // nil: not there
		noChecksum    bool
		code          int
	}{
		{"archived", bytes.Clone, nil, false, 0},
		{"archived by something else", bytes.Clone, nil, true, 0},
		{"absent", nil, nil, false, 1},
		{"a hole of the archive", nil, bytes.Clone, false, 0},
		{"zero bytes", func([]byte) []byte { return nil }, bytes.Clone, false, 0},
		{"zero bytes, nothing else", func([]byte) []byte { return nil }, nil, false, 255},
		{"short", func(b []byte) []byte { return b[:5000] }, bytes.Clone, false, 0},
		{"damaged in the middle", func(b []byte) []byte { return flip(b, 500000) }, bytes.Clone, false, 0},
		{"damaged in the middle, nothing else", func(b []byte) []byte { return flip(b, 500000) }, nil, false, 255},
		{"damaged, and recycled in pg_wal", func(b []byte) []byte { return flip(b, 500000) }, func(b []byte) []byte { return flip(b, 11) }, false, 255},
		{"damaged page, no checksum", func(b []byte) []byte { return flip(b, 400*pageSize/8+8-400*pageSize/8%pageSize) }, nil, true, 255},
		{"zeros", func([]byte) []byte { return zeros }, bytes.Clone, false, 0},
		{"another cluster's", func(b []byte) []byte { return flip(b, 24) }, nil, true, 255},
		{"recycled in pg_wal", nil, func(b []byte) []byte { return flip(b, 11) }, false, 1},
		{"made in advance in pg_wal", nil, func([]byte) []byte { return zeros }, false, 1},
		{"another cluster's in pg_wal", nil, func(b []byte) []byte { return flip(b, 24) }, false, 255},
		{"unfinished in pg_wal", nil, func(b []byte) []byte { return half(b, zeros) }, false, 0},
		{"a hole in pg_wal's copy", nil, func(b []byte) []byte {
			return slices.Concat(b[:pageSize], zeros[:pageSize], b[2*pageSize:])
		}, false, 255},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req, b := getBed(t)
			path, want := req.Archive+"/"+req.Name, b
			if c.archive == nil {
				if err := Remove(req.Archive, req.Name); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, path, c.archive(b))
			}
			if c.noChecksum {
				os.Remove(path + checksumSuffix)
			}
			if c.live != nil {
				write(t, req.Live+"/"+req.Name, c.live(b))
				want = c.live(b)
			}
			err := Get(context.Background(), req)
			if code := ExitCode(err, true); code != c.code {
				t.Fatalf("exit %d, want %d: %v", code, c.code, err)
			}
			if c.code == 0 {
				if got, err := os.ReadFile(req.Dest); err != nil || !bytes.Equal(got, want) {
					t.Error("what came is not what is there", err)
				}
				return
			}
			if left := names(t, filepath.Dir(req.Dest)); left != "" {
				t.Error("it leaves", left)
			}
			req.Clone = false
			if code := ExitCode(Get(context.Background(), req), false); code != 1 {
				t.Error("the live standby would be stopped by", code)
			}
		})
	}
}

func TestPitfall51_WhatCannotBeLookedAtIsNotAbsent(t *testing.T) {
	for name, spoil := range map[string]func(req *GetRequest){
		"no archive":        func(r *GetRequest) { r.Archive += "/nowhere" },
		"not mounted":       func(r *GetRequest) { r.Mount = Mount{Dataset: "zp1/archive", Mountpoint: r.Archive} },
		"a file":            func(r *GetRequest) { r.Archive += "/" + r.Name },
		"no live pg_wal":    func(r *GetRequest) { r.Live += "/nowhere"; r.Name = "0000000100000000000000AA" },
		"no destination":    func(r *GetRequest) { r.Dest = "/nowhere/x" },
		"unreadable":        func(r *GetRequest) { p := r.Archive + "/" + r.Name; os.Remove(p); os.Mkdir(p, 0o700) },
		"a strange name":    func(r *GetRequest) { r.Name = "../../etc/passwd" },
		"an impossible one": func(r *GetRequest) { r.Name = "00000001000000000000FFFF" },
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := getBed(t)
			spoil(&req)
			err := Get(context.Background(), req)
			if err == nil || ExitCode(err, true) != 255 || ExitCode(err, false) != 1 {
				t.Errorf("%d: %v", ExitCode(err, true), err)
			}
		})
	}
}

// A clone sees its own timelines only (pitfall 34), and the live standby's own
// pg_wal is not offered to it.
func TestPitfall34_GetHidesForeignTimelines(t *testing.T) {
	req, b := getBed(t)
	ctx := context.Background()
	for _, n := range []string{"00000002.history", "00000003.history"} {
		write(t, req.Archive+"/"+n, []byte("1\t0/8000000\tx\n"))
	}
	get := func(name string, tlis ...Timeline) error {
		req.Name, req.Timelines = name, tlis
		return Get(ctx, req)
	}
	segment := req.Name
	if err := get(segment, 2); !errors.Is(err, ErrAbsent) {
		t.Error("a segment of timeline 1 for timeline 2:", err)
	}
	if err := get(segment, 1, 2); err != nil {
		t.Error(err)
	}
	if err := get("00000003.history", 1, 2); !errors.Is(err, ErrAbsent) {
		t.Error("the history of timeline 3:", err)
	}
	if err := get("00000002.history", 1, 2); err != nil {
		t.Error(err)
	}
	if err := Remove(req.Archive, segment); err != nil {
		t.Fatal(err)
	}
	write(t, req.Live+"/"+segment, b)
	req.Clone = false
	if err := get(segment); !errors.Is(err, ErrAbsent) {
		t.Error("the standby is offered its own pg_wal:", err)
	}
}

// The live standby is shown no timeline that is newer than what its own pg_wal
// has: it learns of those from its primary (pitfall 34).
func TestPitfall34_TheStandbyHearsOfTimelinesFromItsPrimary(t *testing.T) {
	req, b := getBed(t)
	own := filepath.Dir(req.Dest)
	history := []byte("1\t0/8000000\tx\n")
	write(t, req.Archive+"/00000002.history", history)
	segment := req.Name
	req.Name, req.Clone = "00000002.history", false
	for _, step := range []struct {
		name, of string
		content  []byte
		code     int
	}{
		{"nothing", "", nil, 1},
		{"a segment of timeline 1", segment, b, 1},
		{"a segment of timeline 2", "00000002" + segment[8:], b, 0},
		{"the history of timeline 3", "00000003.history", history, 0},
		{"the history itself", "00000002.history", history, 1}, // which the server reads then
	} {
		if step.of != "" {
			write(t, own+"/"+step.of, step.content)
		}
		err := Get(context.Background(), req)
		if code := ExitCode(err, false); code != step.code || code == 1 && !errors.Is(err, ErrAbsent) {
			t.Errorf("with %s in its pg_wal: exit %d, %v", step.name, code, err)
		}
		if strings.HasPrefix(step.of, "000000020") {
			os.Remove(own + "/" + step.of)
		}
	}
}

// A clone follows the history that the live standby has from its primary, not
// another one that lies in the archive, and none that is damaged (pitfall 34).
func TestPitfall34_AClonesHistoryIsTheLiveStandbys(t *testing.T) {
	genuine, rogue := "1\t0/8000000\tx\n", "1\t0/3000000\trogue\n"
	for name, c := range map[string]struct {
		archive, live string // "": not there
		code          int
		want          string
	}{
		"absent":                  {"", "", 1, ""},
		"only archived":           {genuine, "", 0, genuine},
		"only live":               {"", genuine, 0, genuine},
		"they differ":             {rogue, genuine, 0, genuine},
		"live is damaged":         {genuine, "x", 0, genuine},
		"archived is damaged":     {"1 one", "", 255, ""},
		"archived is empty":       {"\n", "", 255, ""},
		"of no earlier timelines": {"2\t0/3000000\tx\n", "", 255, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := getBed(t)
			req.Name = "00000002.history"
			for dir, text := range map[string]string{req.Archive: c.archive, req.Live: c.live} {
				if text != "" {
					write(t, dir+"/"+req.Name, []byte(text))
				}
			}
			err := Get(context.Background(), req)
			if code := ExitCode(err, true); code != c.code {
				t.Fatalf("exit %d, want %d: %v", code, c.code, err)
			}
			if got, _ := os.ReadFile(req.Dest); string(got) != c.want {
				t.Errorf("it is given %q", got)
			}
		})
	}
}

func TestPitfall17_NoCrashReadsAsAbsent(t *testing.T) {
	if kind := os.Getenv("WAL_TEST_CRASH"); kind != "" {
		os.Exit(Guard(strings.HasPrefix(kind, "clone"), func() int {
			if strings.HasSuffix(kind, "panic") {
				panic("on purpose")
			}
			debug.SetMaxStack(1 << 20) // of the gigabyte that Go allows
			var deep func(n int) int
			deep = func(n int) int { return deep(n+1) + 1 }
			return deep(0)
		}))
	}
	for kind, want := range map[string]int{"clone panic": 255, "standby panic": 1, "clone fatal": -1} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPitfall17_NoCrashReadsAsAbsent$")
		cmd.Env = append(os.Environ(), "WAL_TEST_CRASH="+kind)
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%s exits %d, want %d: %v", kind, code, want, err)
		}
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); want < 0 && (status.Signal() != syscall.SIGABRT || status.CoreDump()) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
