package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// A standby of which the newest timeline forked off before what it holds is
// blocked, running or not: it would not start (pitfall 34).
func TestStandbyThatAnotherTimelineLeft(t *testing.T) {
	tests := []struct {
		name      string
		histories map[string]string // in the live pg_wal
		archived  map[string]string
		want      string // in the why of a block; "" is no block
	}{
		{"no other timeline", nil, nil, ""},
		{"it holds no more than the fork", map[string]string{"00000002.history": "1\t1/0\tno reason\n"}, nil, ""},
		{"it holds more", map[string]string{"00000002.history": "1\t0/5000000\tno reason\n"}, nil, "timeline 2 forked off before, at 0/5000000"},
		{"the newest counts", map[string]string{"00000002.history": "1\t1/0\tx\n", "00000003.history": "1\t0/5000000\tx\n"}, nil, "timeline 3 forked off"},
		{"the server finds them one by one", map[string]string{"00000004.history": "1\t0/5000000\tx\n"}, nil, ""},
		{"a stranger's in the archive", nil, map[string]string{"00000002.history": "1\t0/5000000\tx\n"}, ""},
		{"its own before the archive's", map[string]string{"00000002.history": "1\t0/5000000\tx\n"}, map[string]string{"00000002.history": "1\t1/0\tx\n"}, "at 0/5000000, says /data/pg/pg_wal/00000002.history"},
		{"the archive's where it lacks one", map[string]string{"00000003.history": "1\t1/0\tx\n"}, map[string]string{"00000002.history": "1\t0/5000000\tx\n"}, ""},
		{"not a child", map[string]string{"00000002.history": "1\t1/0\tx\n", "00000003.history": "2\t2/0\tx\n"}, nil, "timeline 3 has no part"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, running := range []bool{true, false} {
				site := givenSite(t)
				state := converged(t, site)
				in := givenView(site, &state)
				in.state.Archive.Live = inventoryOf(t, test.histories)
				in.state.Archive.Inventory = inventoryOf(t, test.archived)
				in.state.Cluster.Control.MinRecoveryPoint = 0x6000000
				in.state.Cluster.Process.Running = running
				changes := diffStandby(in)
				blocked := len(changes) == 1 && changes[0].Action == Block
				if blocked != (test.want != "") || blocked && !strings.Contains(changes[0].Why, test.want) {
					t.Errorf("running %t: %+v, want a block that says %q", running, changes, test.want)
				}
			}
		})
	}
}

func inventoryOf(t *testing.T, files map[string]string) wal.Inventory {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inventory, err := wal.List(dir, givenSegment)
	if err != nil {
		t.Fatal(err)
	}
	return inventory
}
