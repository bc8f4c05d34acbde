package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// comparison times what the program does beside the same steps typed by hand,
// turn by turn, so that a machine that is busy for a moment slows both.
type comparison struct {
	ours, byHand []time.Duration
}

// timed is how long something takes.
func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

func (c *comparison) turn(ours, byHand time.Duration) {
	c.ours, c.byHand = append(c.ours, ours), append(c.byHand, byHand)
}

// report states the medians, and their ratio, in place of ns/op.
func (c *comparison) report(b *testing.B) {
	ours, byHand := median(c.ours), median(c.byHand)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.Seconds(), "s-zreconcile")
	b.ReportMetric(byHand.Seconds(), "s-by-hand")
	b.ReportMetric(ours.Seconds()/byHand.Seconds(), "ratio")
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// BenchmarkFirstApply is a bare host to a streaming standby with its first
// snapshot, beside pg_basebackup alone of the same primary into a plain folder.
func BenchmarkFirstApply(b *testing.B) {
	p := sharedPrimary(b, primary.Plain)
	var c comparison
	for b.Loop() {
		s := newSite(b, p)
		ours := timed(func() { s.apply(b).exits(b, exitDone) })
		c.turn(ours, timed(func() { s.baseBackupByHand(b) }))
	}
	c.report(b)
}

func (s *site) baseBackupByHand(b *testing.B) {
	b.Helper()
	dir := filepath.Join(s.DataMount, "by-hand")
	must(b, os.Mkdir(dir, 0o700))
	command(b, "chown", "postgres:", dir)
	command(b, "env", "PGPASSWORD="+s.Password, "runuser", "-u", "postgres", "--", filepath.Join(s.Primary.BinDir, "pg_basebackup"),
		"-D", dir, "-F", "p", "-c", "fast", "-X", "stream", "-h", "127.0.0.1", "-p", text(s.Primary.Port), "-U", s.User)
}

// BenchmarkEmptyPlan is a plan of a converged host, beside the zfs and zpool
// processes that it starts, typed by hand; 1.3 times and 100 ms are promised,
// from 1 to 10,000 snapshots ("promised" is what part of that was taken).
func BenchmarkEmptyPlan(b *testing.B) {
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.Retention = "{last: -1}"
	s.write(b)
	s.converges(b)
	made := 1
	for _, snapshots := range []int{1, 1000, 10000} {
		b.Run(fmt.Sprintf("snapshots=%d", snapshots), func(b *testing.B) {
			s.addSnapshots(b, made, snapshots)
			made = max(made, snapshots)
			calls := s.countedPlan(b)
			var c comparison
			for b.Loop() {
				ours := timed(func() { s.run(b, "plan", "--detailed-exitcode").exits(b, exitDone) })
				c.turn(ours, timed(func() { typed(calls) }))
			}
			c.report(b)
			b.ReportMetric(float64(len(calls)), "processes")
			b.ReportMetric(median(c.ours).Seconds()/(1.3*median(c.byHand).Seconds()+0.1), "promised")
		})
	}
}

// typed runs noted calls one after the other; only their time counts.
func typed(calls []string) {
	for _, call := range calls {
		words := strings.Fields(call)
		_, _ = tryCommand(words[0], words[1:]...)
	}
}

// addSnapshots makes snapshots of this site's, from..until, a minute apart in
// 2020, with the marks of its newest: as if it had run for long.
func (s *site) addSnapshots(b *testing.B, from, until int) {
	b.Helper()
	snapshots := s.status(b).Snapshots
	newest := s.Name + "/data@" + snapshots[len(snapshots)-1].Name
	var marks []string
	for _, line := range strings.Split(strings.TrimSpace(command(b, "zfs", "get", "-H", "-s", "local", "-o", "property,value", "all", newest)), "\n") {
		name, value, _ := strings.Cut(line, "\t")
		if strings.HasPrefix(name, "zreconcile:") && name != "zreconcile:taken-at" {
			marks = append(marks, "-o", name+"="+value)
		}
	}
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := from; i < until; i++ {
		at := start.Add(time.Duration(i) * time.Minute)
		args := append([]string{"snapshot", "-o", "zreconcile:taken-at=" + at.Format(time.RFC3339Nano)}, marks...)
		command(b, "zfs", append(args, s.Name+"/data@zr-"+at.Format("20060102T150405Z"))...)
	}
}

// BenchmarkDestroySnapshots is retention that removes 1,000 snapshots, beside
// `zfs destroy` of as many, one after the other. One process a batch is
// promised where the tool can (zfs-fuse cannot).
func BenchmarkDestroySnapshots(b *testing.B) {
	const snapshots = 1000
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.converges(b)
	var c comparison
	for b.Loop() {
		s.Retention = "{last: 1}"
		s.write(b)
		s.addSnapshots(b, 0, snapshots)
		ours := timed(func() { s.apply(b).exits(b, exitDone) })
		if left := len(s.status(b).Snapshots); left != 1 {
			b.Fatalf("%d snapshots are left", left)
		}
		s.addSnapshots(b, 0, snapshots)
		c.turn(ours, timed(func() {
			for _, name := range strings.Fields(command(b, "zfs", "list", "-H", "-t", "snapshot", "-o", "name")) {
				if strings.HasPrefix(name, s.Name+"/data@zr-2020") {
					command(b, "zfs", "destroy", name)
				}
			}
		}))
	}
	c.report(b)
}

// BenchmarkRestore is a restore to a time, beside the same steps typed by
// hand: clone, conf, start, target reached; 1.2 times is promised.
func BenchmarkRestore(b *testing.B) {
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.Set["fsync"] = "on" // as servers run; for both sides of the comparison
	s.write(b)
	s.converges(b)
	var moment string
	must(b, s.Primary.Exec("DROP TABLE IF EXISTS bench", "CREATE TABLE bench AS SELECT generate_series(1, 20000) AS n"))
	must(b, s.Primary.QueryRow("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')", &moment))
	must(b, s.Primary.Exec("DROP TABLE bench"))
	s.archives(b)
	snapshot := s.status(b).Snapshots[0].Name

	var c comparison
	for b.Loop() {
		s.Restores = s.restoreTo("bench", fmt.Sprintf("time: %q", moment))
		s.write(b)
		ours := timed(func() { s.apply(b).exits(b, exitDone) })
		s.Restores = ""
		s.write(b)
		s.apply(b).exits(b, exitDone)

		var dir string
		c.turn(ours, timed(func() { dir = s.restoreByHand(b, snapshot, moment) }))
		s.asOSUser(b, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", dir)
		eventually(b, "zfs destroy", func() bool {
			_, err := tryCommand("zfs", "destroy", s.Name+"/hand")
			return err == nil
		})
	}
	c.report(b)
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
`, s.RestorePort, dataDir, s.archiveDir(), moment), 0o600))
	command(b, "chown", "postgres:postgres", filepath.Join(dataDir, "recovery.signal"), settings)
	s.asOSUser(b, "pg_ctl", "start", "-w", "-D", dataDir, "-l", filepath.Join(dataDir, "hand.log"))
	for paused := ""; paused != "paused\n"; {
		paused = s.asOSUser(b, "psql", "-h", dataDir, "-p", text(s.RestorePort), "-U", s.Primary.Superuser, "-qAtXc",
			"SELECT pg_get_wal_replay_pause_state()", "postgres")
	}
	return dataDir
}

func (s *site) archiveDir() string { return filepath.Join(s.WALMount, "archive") }

// archives ends the segment that is being written, and waits for the standby to
// archive it: it does when the first record of the next one comes.
func (s *site) archives(b *testing.B) {
	b.Helper()
	var segment string
	must(b, s.Primary.QueryRow("SELECT pg_walfile_name(pg_switch_wal() - 1)", &segment))
	must(b, s.Primary.Exec("CHECKPOINT"))
	eventually(b, "the archive to hold "+segment, func() bool {
		_, err := os.Stat(filepath.Join(s.archiveDir(), segment))
		return err == nil
	})
}

// BenchmarkWALPush archives a segment of 16 MB as the server would, process and
// all, beside a copy and a sync of file and folder; 1.5 times is promised. The copy
// is that of dd, which syncs what it has open: zfs-fuse forgets at the end of cp
// what of the file a later sync(1) would have to write, and does nothing then.
func BenchmarkWALPush(b *testing.B) {
	s := newSite(b, sharedPrimary(b, primary.Plain))
	s.converges(b)
	// More than two segments of what does not compress: the second is full.
	must(b, s.Primary.Exec("CREATE TABLE pushed AS SELECT sha256(n::text::bytea) FROM generate_series(1, 800000) n", "DROP TABLE pushed"))
	s.archives(b)
	segments, err := filepath.Glob(filepath.Join(s.archiveDir(), strings.Repeat("[0-9A-F]", 24)))
	must(b, err)
	if len(segments) < 3 {
		b.Fatalf("the archive holds no full segment: %q", segments)
	}
	full := segments[len(segments)-2] // the last one was cut short
	segment := filepath.Join(s.Dir, filepath.Base(full))
	command(b, "cp", "--sparse=never", full, segment)
	command(b, "chmod", "644", segment)

	pushed, copied := filepath.Join(s.WALMount, "pushed"), filepath.Join(s.WALMount, "copied")
	command(b, "install", "-d", "-o", "postgres", pushed, copied)
	system := fmt.Sprint(s.status(b).Standby.SystemIdentifier)
	asPostgres := []string{"-u", "postgres", "--"}
	push := append(asPostgres, "env", "-C", s.DataDir(), s.helper(), "wal", "push", "--archive", pushed, "--data-dir", s.DataDir(), "--system-id", system,
		"--dataset", s.Name+"/wal", "--mountpoint", s.WALMount, segment)
	copyAndSync := append(asPostgres, "sh", "-c", `dd if="$0" of="$1/${0##*/}" bs=1M conv=fsync status=none && sync "$1"`, segment, copied)

	var c comparison
	for b.Loop() {
		ours := timed(func() { command(b, "runuser", push...) })
		c.turn(ours, timed(func() { command(b, "runuser", copyAndSync...) }))
		for _, dir := range []string{pushed, copied} {
			files, err := os.ReadDir(dir)
			must(b, err)
			for _, f := range files {
				must(b, os.Remove(filepath.Join(dir, f.Name())))
			}
		}
	}
	c.report(b)
}
