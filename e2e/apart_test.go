//go:build vm

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestWalkApart goes the whole way with pg_wal and a tablespace on datasets of
// their own, which only a tool can that snapshots all of them at once.
func TestWalkApart(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Odd))
	s.Apart = true
	s.write(t)
	s.fromBareHost(t)
	s.secondRunChangesNothing(t)
	s.copyIsFitForThisHost(t)
	if target, err := filepath.EvalSymlinks(filepath.Join(s.DataDir(), "pg_wal")); err != nil || target != s.PGWAL() {
		t.Errorf("pg_wal is in %s (%v), want %s", target, err, s.PGWAL())
	}
	s.rowsFollow(t)
	s.restoresTheDroppedTable(t)
	s.snapshotsAreAtomic(t)
}

// snapshotsAreAtomic: those of one name are of one transaction group of the pool.
func (s *site) snapshotsAreAtomic(t *testing.T) {
	t.Helper()
	groups := map[string][]string{} // datasets by name and group
	for line := range strings.Lines(command(t, "zfs", "get", "-Hp", "-r", "-t", "snapshot", "-o", "name,value", "createtxg", s.Name)) {
		full, txg, _ := strings.Cut(strings.TrimSpace(line), "\t")
		dataset, name, _ := strings.Cut(full, "@")
		if strings.HasPrefix(name, "zr-") {
			groups[name+" "+txg] = append(groups[name+" "+txg], strings.TrimPrefix(dataset, s.Name+"/"))
		}
	}
	if len(groups) == 0 {
		t.Fatal("there is no snapshot")
	}
	for group, datasets := range groups {
		if slices.Sort(datasets); !slices.Equal(datasets, []string{"data", "pgwal", "ts"}) {
			t.Errorf("%s has %q", group, datasets)
		}
	}
}

// TestOracleApart asks the oracle where the rows of the ledger, their index and
// pg_wal come from three datasets: were they not of one moment, a restore would
// not be exact, or not start at all.
func TestOracleApart(t *testing.T) {
	askOracle(t, []primary.Options{{SegmentMB: 1, Tablespace: true}}, 30*time.Second, 6)
}
