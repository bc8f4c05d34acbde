package postgres

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

func TestParseControlData(t *testing.T) {
	files, err := filepath.Glob("testdata/controldata/*.txt")
	if err != nil || len(files) < 7 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ParseControlData(text)
			if err != nil {
				t.Fatal(err)
			}
			want := ControlData{
				SystemID: 7711378618410727010, State: "in archive recovery", Version: got.Version, CatalogVersion: got.CatalogVersion,
				Timeline: 3, CheckpointLSN: 0x1D_97002068, RedoLSN: 0x1D_97002030,
				CheckpointTime:   time.Date(2026, 11, 3, 14, 47, 27, 0, time.UTC),
				MinRecoveryPoint: 0x1D_98000000, MinRecoveryTimeline: 3,
				SegmentSize: 16 << 20, Checksums: true, NextXID: 1<<32 | 7964,
				WALLevel: "replica", MaxConnections: 300, MaxWorkerProcesses: 8, MaxWALSenders: 10, MaxLocksPerXact: 64,
			}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if got.Version == 0 || got.CatalogVersion == "" {
				t.Error("the versions are missing")
			}
		})
	}
}

// pitfall 8: a snapshot serves from the later of the two.
func TestConsistentLSN(t *testing.T) {
	for _, test := range []struct{ minRecovery, redo, want wal.LSN }{{0, 5, 5}, {7, 5, 7}, {3, 5, 5}} {
		c := ControlData{MinRecoveryPoint: test.minRecovery, RedoLSN: test.redo}
		if got := c.ConsistentLSN(); got != test.want {
			t.Errorf("%+v: %v, want %v", test, got, test.want)
		}
	}
}

// After a switch of the primary the checkpoint is still of the timeline before.
func TestConsistentTimeline(t *testing.T) {
	for _, test := range []struct {
		minRecovery, redo     wal.LSN
		minTimeline, at, want wal.Timeline
	}{{7, 5, 2, 1, 2}, {5, 5, 2, 1, 2}, {3, 5, 1, 2, 2}, {0, 5, 0, 1, 1}} {
		c := ControlData{MinRecoveryPoint: test.minRecovery, RedoLSN: test.redo, MinRecoveryTimeline: test.minTimeline, Timeline: test.at}
		if got := c.ConsistentTimeline(); got != test.want {
			t.Errorf("%+v: %v, want %v", test, got, test.want)
		}
	}
}

// pitfall 14
func TestInRecovery(t *testing.T) {
	for state, want := range map[string]bool{
		"in archive recovery": true, "shut down in recovery": true,
		"in production": false, "shut down": false, "in crash recovery": false, "starting up": false,
	} {
		if got := (ControlData{State: state}).InRecovery(); got != want {
			t.Errorf("%s: %v", state, got)
		}
	}
}

func TestPitfall14_NoBase(t *testing.T) {
	const unfinished = "not replayed to its end"
	for _, test := range []struct {
		control ControlData
		words   string
	}{
		{ControlData{State: "in archive recovery", MinRecoveryPoint: 9}, ""},
		{ControlData{State: "shut down in recovery"}, ""},
		{ControlData{State: "in production"}, "in production"},
		{ControlData{State: "shut down"}, "shut down"},
		{ControlData{State: "in archive recovery", BackupStart: 7}, unfinished},
		{ControlData{State: "in archive recovery", BackupEndRequired: true}, unfinished},
		{ControlData{State: "shut down in recovery", BackupEnd: 7}, unfinished},
	} {
		if got := test.control.NoBase(); !strings.Contains(got, test.words) || (got == "") != (test.words == "") {
			t.Errorf("%+v: %q, want %q", test.control, got, test.words)
		}
	}
}

func TestControlDataIsNotGuessed(t *testing.T) {
	good, err := os.ReadFile("testdata/controldata/15.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Database system identifier", "Minimum recovery ending location", "Bytes per WAL segment", "max_connections setting", "Time of latest checkpoint"} {
		var without []byte
		for line := range bytes.Lines(good) {
			if !bytes.HasPrefix(line, []byte(name)) {
				without = append(without, line...)
			}
		}
		if _, err := ParseControlData(without); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %q the error is %v", name, err)
		}
	}
	odd := bytes.Replace(good, []byte("16777216"), []byte("16777217"), 1)
	if _, err := ParseControlData(odd); err == nil {
		t.Error("a segment size of 16777217 was accepted")
	}
}

func TestControlDataOfDamagedFile(t *testing.T) {
	u := testUser(t)
	c := testCluster(t, testFolder(t), "data")
	template, err := templateFolder()
	if err != nil {
		t.Fatal(err)
	}
	copyTree(t, filepath.Join(template, "data"), c.DataDir)
	control := filepath.Join(c.DataDir, "global/pg_control")
	b, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	b[100] ^= 0x55
	testWrite(t, u, control, string(b))
	own := c.BinDir
	for says, program := range map[string]string{
		"this host's": `exec "` + own + `/pg_controldata" "$@"`,
		"that of 17":  `"` + own + `/pg_controldata" "$@" | grep -v WARNING; echo "pg_controldata: warning: calculated CRC checksum does not match value stored in control file" >&2`,
	} {
		c.BinDir = testFolder(t)
		testWrite(t, u, filepath.Join(c.BinDir, "pg_controldata"), "#!/bin/sh\n"+program+"\n")
		if err := os.Chmod(filepath.Join(c.BinDir, "pg_controldata"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ControlData(testContext(t)); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: the error is %v", says, err)
		}
	}
}

func FuzzParseControlData(f *testing.F) {
	text, err := os.ReadFile("testdata/controldata/15.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(""))
	f.Add([]byte("Bytes per WAL segment: 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := ParseControlData(b)
		if err == nil && (data.SegmentSize < 1<<20 || data.State == "") {
			t.Errorf("accepted %+v", data)
		}
	})
}
