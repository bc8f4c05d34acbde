package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServerLife(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)

	major, err := c.PGVersion()
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Process()
	if err != nil || !p.Running || p.Port != c.Port || p.SocketDir != c.SocketDir || p.Status != "ready" {
		t.Fatalf("process %+v, %v", p, err)
	}
	if sid := ask[int](t, c, fmt.Sprintf("select split_part(pg_read_file('/proc/%d/stat'), ' ', 6)::int", p.PID)); sid != p.PID {
		t.Errorf("the server is in session %d, not in its own, and would die with our terminal", sid)
	}
	info, err := os.Stat(c.LogFile)
	if err != nil || info.Mode().Perm() != 0o600 || !owned(info, c.User) {
		t.Errorf("log file %v, %v", info, err)
	}

	s, err := c.Status(ctx, "max_connections", "wal_segment_size", "no_such_setting")
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.ControlData(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.InRecovery || s.SystemID != data.SystemID || s.Timeline != 1 || s.Written == 0 || s.ServerVersionNum/10000 != major {
		t.Errorf("status %+v", s)
	}
	if len(s.Settings) != 2 || s.Settings["max_connections"] != "100" || s.Settings["wal_segment_size"] != "1MB" {
		t.Errorf("settings %v", s.Settings)
	}
	if data.SegmentSize != 1<<20 || !data.Checksums || data.InRecovery() { // pitfall 21
		t.Errorf("control data %+v", data)
	}

	testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), "max_connections = 101\nwork_mem = '5MB'\n")
	if err := c.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	for s.ConfLoadedAt.Equal(mustStatus(t, c).ConfLoadedAt) {
		time.Sleep(10 * time.Millisecond)
	}
	if s = mustStatus(t, c, "work_mem"); fmt.Sprint(s.PendingRestart) != "[max_connections]" || s.Settings["work_mem"] != "5MB" {
		t.Errorf("pending %v, settings %v", s.PendingRestart, s.Settings)
	}
	if err := c.Restart(ctx, StartOptions{OOMScoreAdj: 500}); err != nil {
		t.Fatal(err)
	}
	if s = mustStatus(t, c); len(s.PendingRestart) != 0 {
		t.Errorf("still pending: %v", s.PendingRestart)
	}
	p, _ = c.Process()
	if score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.PID)); err != nil || strings.TrimSpace(string(score)) != "500" { // pitfall 61
		t.Errorf("OOM score %q, %v", score, err)
	}
	if err := c.Restartpoint(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Stop(ctx, "fast"); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Process(); err != nil || p != (Process{}) {
		t.Errorf("process after stop %+v, %v", p, err)
	}
	if err := c.Stop(ctx, "fast"); err != nil {
		t.Errorf("stopping a stopped server: %v", err)
	}
}

func mustStatus(t *testing.T, c *Cluster, settings ...string) Status {
	t.Helper()
	s, err := c.Status(testContext(t), settings...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSessionIsReadOnly(t *testing.T) {
	c := newServer(t)
	conn := session(t, c)
	defer closing(conn)
	if role, err := BootstrapRole(t.Context(), conn); err != nil || role != "boss" {
		t.Errorf("bootstrap role %q, %v", role, err)
	}
	if _, err := conn.Exec(t.Context(), "create table t (i int)"); err == nil {
		t.Error("a session of ours can write")
	}
	t.Setenv("PGPASSWORD", "x")
	t.Setenv("PGOPTIONS", "-c work_mem=nonsense")
	closing(session(t, c)) // nothing of that is taken up
}

func TestStartFailureTellsLastWords(t *testing.T) {
	for name, test := range map[string]struct{ conf, words string }{
		"unknown parameter": {"rds_max_log_files = 20\n", `unrecognized configuration parameter "rds_max_log_files"`},
		"missing library":   {"shared_preload_libraries = 'pg_pathman'\n", `could not access file "pg_pathman"`},
		"after the logging collector took over": {"logging_collector = on\nlog_directory = 'mylog'\nrecovery_target_time = '2020-01-01'\nrecovery_target_xid = '7'\n",
			"multiple recovery targets specified"},
		"in the log of the collector": {"logging_collector = on\nlog_directory = 'mylog'\nrestore_command = ''\n", "when standby mode is not enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, testFolder(t), "data")
			template, err := templateFolder()
			if err != nil {
				t.Fatal(err)
			}
			copyTree(t, filepath.Join(template, "data"), c.DataDir)
			testWrite(t, c.User, filepath.Join(c.DataDir, "recovery.signal"), "")
			testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), fmt.Sprintf(
				"port = %d\nunix_socket_directories = '%s'\nlisten_addresses = ''\nshared_buffers = 8MB\n%s", c.Port, c.SocketDir, test.conf))
			testMkdir(t, c.User, filepath.Dir(c.LogFile))
			testWrite(t, c.User, c.LogFile, "FATAL: of last week\n")
			err = c.Start(testContext(t), StartOptions{})
			var failed *StartError
			if !errors.As(err, &failed) || !strings.Contains(failed.LastWords, test.words) {
				t.Errorf("the error is %v, and should tell %q", err, test.words)
			}
			if err != nil && strings.Contains(err.Error(), "of last week") {
				t.Errorf("the error tells what an earlier start said: %v", err)
			}
		})
	}
}

func TestTelling(t *testing.T) {
	for name, test := range map[string]struct{ log, want string }{
		"what fails after a shutdown fails for that": {
			"LOG:  received fast shutdown request\nLOG:  aborting any active transactions\nFATAL:  terminating walreceiver process due to administrator command\n",
			"LOG:  received fast shutdown request\nFATAL:  terminating walreceiver process due to administrator command"},
		"who asks too early tells nothing": {"LOG:  starting\nFATAL:  the database system is starting up\n\nPANIC:  could not locate a valid checkpoint record\r\n",
			"PANIC:  could not locate a valid checkpoint record"},
		"where nothing tells, the last lines": {"LOG:  starting\nLOG:  ready\n", "LOG:  starting\nLOG:  ready"},
	} {
		if got := telling([]byte(test.log)); got != test.want {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestPitfall25_CopiedPidFile(t *testing.T) {
	ctx := testContext(t)
	live := newServer(t)
	clone := *live
	clone.DataDir = live.DataDir + "clone"
	copyTree(t, live.DataDir, clone.DataDir)

	p, err := clone.Process()
	if err != nil || p.Running || !p.Foreign {
		t.Fatalf("the clone's process is %+v, %v", p, err)
	}
	for name, act := range map[string]func() error{
		"stop":    func() error { return clone.Stop(ctx, "fast") },
		"restart": func() error { return clone.Restart(ctx, StartOptions{}) },
		"reload":  func() error { return clone.Reload(ctx) },
		"start":   func() error { return clone.Start(ctx, StartOptions{}) },
	} {
		if err := act(); !errors.Is(err, ErrForeignPID) {
			t.Errorf("%s of the clone: %v", name, err)
		}
	}
	if p, err := live.Process(); err != nil || !p.Running {
		t.Fatalf("the live server is %+v, %v", p, err)
	}

	// The number of a crashed server's process may be anybody's by now.
	pid := fmt.Sprintf("%d\n%s\n1600000000\n%d\n", os.Getpid(), clone.DataDir, clone.Port)
	testWrite(t, clone.User, filepath.Join(clone.DataDir, "postmaster.pid"), pid)
	if p, err := clone.Process(); err != nil || p.Running {
		t.Errorf("the test itself is taken for a server: %+v, %v", p, err)
	}
	if err := clone.Stop(ctx, "fast"); err != nil {
		t.Errorf("stopping a crashed server: %v", err)
	}
	// Or another PostgreSQL server's.
	livePID, _ := live.Process()
	testWrite(t, clone.User, filepath.Join(clone.DataDir, "postmaster.pid"), strings.Replace(pid, fmt.Sprint(os.Getpid()), fmt.Sprint(livePID.PID), 1))
	if p, err := clone.Process(); err != nil || p.Running {
		t.Errorf("the live server is taken for the clone's: %+v, %v", p, err)
	}
	if err := clone.Stop(ctx, "fast"); err != nil {
		t.Errorf("stopping a crashed server: %v", err)
	}
	if err := syscall.Kill(livePID.PID, 0); err != nil {
		t.Errorf("the live server is gone: %v", err)
	}
}

func TestLogLinkIsNotFollowed(t *testing.T) {
	u := testUser(t)
	dir := testFolder(t)
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("FATAL: root's secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Cluster{DataDir: dir, User: u, LogFile: filepath.Join(dir, "log")}
	if err := os.Symlink(secret, c.LogFile); err != nil {
		t.Fatal(err)
	}
	if words := c.lastWords(logMark{}); words != "" {
		t.Errorf("last words are %q", words)
	}
	if err := os.Remove(c.LogFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(secret, c.LogFile); err != nil {
		t.Fatal(err)
	}
	if words := c.lastWords(logMark{}); words != "" {
		t.Errorf("last words of a hard link are %q", words)
	}
}

func TestNoDataDirectory(t *testing.T) {
	c := Cluster{DataDir: filepath.Join(t.TempDir(), "missing"), User: testUser(t), BinDir: testBinDir(t)}
	if _, err := c.PGVersion(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("PGVersion: %v", err)
	}
	if p, err := c.Process(); err != nil || p.Running {
		t.Errorf("Process: %+v, %v", p, err)
	}
	if _, err := c.ControlData(t.Context()); err == nil || !strings.Contains(err.Error(), c.DataDir) {
		t.Errorf("ControlData: %v", err)
	}
}
