package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestPitfall3_WALGoesWithItsSnapshots takes snapshots, lets the retention
// remove the oldest, and proves by a restore of the oldest that is kept that
// the WAL it needs was not removed along. Its WAL before that is gone.
func TestPitfall3_WALGoesWithItsSnapshots(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Retention = "{last: 2}"
	s.write(t)
	s.converges(t)
	must(t, s.Primary.Exec("DROP TABLE IF EXISTS steps", "CREATE TABLE steps (n int)"))
	held := s.step(t, 1, "--hold", "--label", "before the migration")
	s.step(t, 2)
	s.step(t, 3)

	st := s.status(t)
	first := st.Snapshots[0].Name
	want := []string{"delete retention/" + first, "delete wal/" + filepath.Join(s.WALMount, "archive")}
	if got := s.plan(t).exits(t, exitPending).plan(t).changes(); !slices.Equal(got, want) {
		t.Fatalf("the plan is %q, want %q", got, want)
	}
	before := s.archived(t)
	s.converges(t)
	if after := s.archived(t); len(after) == 0 || after[0] <= before[0] {
		t.Errorf("the archive began with %s, and begins with %v", before[0], after)
	}
	kept := s.status(t).Snapshots
	if len(kept) != 3 || kept[0].Name != held || !slices.Contains(kept[0].KeptBy, "has a hold") {
		t.Fatalf("kept: %+v", kept)
	}

	s.Restores = s.restoreTo("oldest", "snapshot: "+held)
	s.write(t)
	s.converges(t)
	connect := s.status(t).Restores[0].Connect
	if got := socketText(t, connect, s.Primary.Superuser, "SELECT string_agg(n::text, ',') FROM steps"); got != "1" {
		t.Errorf("the oldest snapshot holds the steps %q, want 1", got)
	}

	// Released, it stays as long as its clone does, and goes with it.
	s.run(t, "snapshot", "--release", held).exits(t, exitDone)
	s.isConverged(t)
	s.Restores = ""
	s.write(t)
	s.converges(t)
	if kept := s.status(t).Snapshots; len(kept) != 2 || kept[0].Name == held {
		t.Errorf("kept after the release: %+v", kept)
	}
}

// step writes a row and ends the WAL segment, waits for both, and takes a
// snapshot.
func (s *site) step(t *testing.T, n int, flags ...string) (name string) {
	t.Helper()
	must(t, s.Primary.Exec("INSERT INTO steps VALUES ("+text(n)+")", "SELECT pg_switch_wal()", "CHECKPOINT"))
	s.caughtUp(t)
	s.run(t, "snapshot", flags...).exits(t, exitDone)
	list := s.status(t).Snapshots
	return list[len(list)-1].Name
}

// archived lists the segments of the archive.
func (s *site) archived(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.WALMount, "archive"))
	must(t, err)
	var names []string
	for _, e := range entries {
		if len(e.Name()) == 24 {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestPitfall19_TheBackupsOwnWALIsArchived looks for the segment that the base
// backup brought along: no archiver was ever told of it, and the first snapshot
// can't be recovered without it. The primary is the test's own: a checkpoint that
// others make meanwhile would leave nobody who needs it.
func TestPitfall19_TheBackupsOwnWALIsArchived(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Set["wal_keep_size"] = "0" // what nobody needs is removed by the next restartpoint
	s.write(t)
	s.converges(t)
	label, err := os.ReadFile(filepath.Join(s.DataDir(), "backup_label.old"))
	must(t, err)
	_, rest, _ := strings.Cut(string(label), "(file ")
	segment, _, _ := strings.Cut(rest, ")")
	// pg_basebackup marks it as archived, so that it would be removed and never
	// archived, unless it stopped before it had seen the segment's end.
	if _, err := os.Stat(filepath.Join(s.DataDir(), "pg_wal", "archive_status", segment+".done")); err == nil {
		t.Logf("%s is marked", segment)
		if !slices.Contains(s.archived(t), segment) {
			t.Errorf("%s, in which the backup began, is not in the archive", segment)
		}
		return
	}
	t.Logf("%s is not marked: the server itself has it archived before it removes it", segment)
	must(t, s.Primary.Exec("CREATE TABLE moves_on ()", "SELECT pg_switch_wal()", "DROP TABLE moves_on", "CHECKPOINT"))
	s.caughtUp(t)
	s.asOSUser(t, "psql", "-h", s.Dir+"/s", "-p", text(s.Port), "-qXc", "CHECKPOINT", "postgres")
	eventually(t, "the segment "+segment+", in which the backup began, to be in the archive", func() bool {
		return slices.Contains(s.archived(t), segment)
	})
}
