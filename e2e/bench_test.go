package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// BenchmarkFirstApply is a bare host to a streaming standby.
func BenchmarkFirstApply(b *testing.B) {
	p := sharedPrimary(b, primary.Plain)
	for b.Loop() {
		b.StopTimer()
		s := newSite(b, p)
		b.StartTimer()
		s.apply(b).exits(b, exitDone)
	}
}

// BenchmarkEmptyPlan is a plan of a converged host, beside the zfs and zpool
// processes that it starts, typed by hand: 1.3 times and 100 ms are promised.
func BenchmarkEmptyPlan(b *testing.B) {
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.converges(b)
	calls := s.countedPlan(b)
	b.Run("zreconcile", func(b *testing.B) {
		for b.Loop() {
			s.run(b, "plan").exits(b, exitDone)
		}
	})
	b.Run("by-hand", func(b *testing.B) {
		for b.Loop() {
			for _, call := range calls {
				words := strings.Fields(call)
				_, _ = tryCommand(words[0], words[1:]...) // only its time counts
			}
		}
		b.ReportMetric(float64(len(calls)), "processes/op")
	})
}

// BenchmarkRestore is a restore to a time, beside the same steps typed by
// hand: clone, conf, start, target reached; 1.2 times is promised.
func BenchmarkRestore(b *testing.B) {
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.converges(b)
	var moment string
	must(b, s.Primary.Exec("CREATE TABLE IF NOT EXISTS bench AS SELECT generate_series(1, 20000) AS n"))
	must(b, s.Primary.QueryRow("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')", &moment))
	must(b, s.Primary.Exec("DROP TABLE bench", "SELECT pg_switch_wal()"))
	s.caughtUp(b)
	eventually(b, "the standby to archive", func() bool { return s.status(b).Archive.Segments > 1 })
	snapshot := s.status(b).Snapshots[0].Name

	b.Run("zreconcile", func(b *testing.B) {
		for b.Loop() {
			s.Restores = s.restoreTo("bench", fmt.Sprintf("time: %q", moment))
			s.write(b)
			s.apply(b).exits(b, exitDone)
			b.StopTimer()
			s.Restores = ""
			s.write(b)
			s.apply(b).exits(b, exitDone)
			b.StartTimer()
		}
	})
	b.Run("by-hand", func(b *testing.B) {
		for b.Loop() {
			dir := s.restoreByHand(b, snapshot, moment)
			b.StopTimer()
			s.asOSUser(b, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", dir)
			eventually(b, "zfs destroy", func() bool {
				_, err := tryCommand("zfs", "destroy", s.Name+"/hand")
				return err == nil
			})
			b.StartTimer()
		}
	})
}

// restoreByHand types the steps of the procedure.
func (s *site) restoreByHand(b *testing.B, snapshot, moment string) (dataDir string) {
	b.Helper()
	mount := filepath.Join(s.Dir, "hand")
	dataDir = filepath.Join(mount, "pgdata")
	command(b, "zfs", "clone", "-o", "mountpoint="+mount, s.Name+"/data@"+snapshot, s.Name+"/hand")
	for _, name := range []string{"postmaster.pid", "standby.signal"} {
		if err := os.Remove(filepath.Join(dataDir, name)); err != nil && !os.IsNotExist(err) {
			b.Fatal(err)
		}
	}
	must(b, os.WriteFile(filepath.Join(dataDir, "recovery.signal"), nil, 0o600))
	settings := filepath.Join(dataDir, "postgresql.auto.conf")
	must(b, os.WriteFile(settings, fmt.Appendf(nil, `port = %d
shared_buffers = 16MB
unix_socket_directories = '%s'
archive_mode = off
primary_conninfo = ''
restore_command = 'cp %s/%%f %%p'
recovery_target_time = '%s'
recovery_target_timeline = 'latest'
recovery_target_action = 'pause'
`, s.RestorePort, dataDir, filepath.Join(s.WALMount, "archive"), moment), 0o600))
	command(b, "chown", "-R", "postgres:postgres", filepath.Join(dataDir, "recovery.signal"), settings)
	s.asOSUser(b, "pg_ctl", "start", "-w", "-D", dataDir, "-l", filepath.Join(dataDir, "hand.log"))
	for paused := ""; paused != "paused\n"; {
		paused = s.asOSUser(b, "psql", "-h", dataDir, "-p", text(s.RestorePort), "-U", s.Primary.Superuser, "-qAtXc",
			"SELECT pg_get_wal_replay_pause_state()", "postgres")
	}
	return dataDir
}
