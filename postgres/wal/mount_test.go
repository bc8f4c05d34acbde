package wal

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// kernelStates is what the kernel tells of pools: name -> state.
func kernelStates(t *testing.T, states map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for pool, state := range states {
		mkdir(t, filepath.Join(dir, pool))
		write(t, filepath.Join(dir, pool, "state"), []byte(state+"\n"))
	}
	return dir
}

func TestServed(t *testing.T) {
	states := kernelStates(t, map[string]string{"zp1": "SUSPENDED", "zp2": "DEGRADED"})
	for _, dataset := range []string{"zp2/archive", "zp3/archive", "zp2", "zp1x/zp1"} {
		if err := (Mount{Dataset: dataset, Mountpoint: "/archive", Kstat: states}).served(); err != nil {
			t.Errorf("%s: %v", dataset, err)
		}
	}
	if err := (Mount{}).served(); err != nil {
		t.Error(err)
	}
	err := Mount{Dataset: "zp1/archive", Mountpoint: "/archive", Kstat: states}.served()
	if err == nil || !strings.Contains(err.Error(), "zp1 is SUSPENDED") || !strings.Contains(err.Error(), "zpool clear zp1") {
		t.Errorf("%v", err)
	}
}

// On a suspended pool nothing is looked at, since that would hang for ever: of the
// folders here none is there, which whoever looked would say.
func TestOfASuspendedPoolNothingIsLookedAt(t *testing.T) {
	suspended := Mount{Dataset: "zp1/archive", Mountpoint: "/nowhere", Kstat: kernelStates(t, map[string]string{"zp1": "SUSPENDED"})}
	ctx, name := context.Background(), "000000010000000000000001"
	push := Push(ctx, PushRequest{Path: "pg_wal/" + name, Archive: "/nowhere/archive", DataDir: "/nowhere/data", Mount: suspended})
	get := Get(ctx, GetRequest{Name: name, Dest: "/nowhere/data/pg_wal/x", Archive: "/nowhere/archive", SegmentSize: 1 << 20, Mount: suspended})
	for call, err := range map[string]error{"push": push, "get": get} {
		if err == nil || !strings.Contains(err.Error(), "zp1 is SUSPENDED") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if code := ExitCode(get, true); code != 255 {
		t.Errorf("in a clone it ends with %d, which PostgreSQL takes for an absence", code)
	}
}
