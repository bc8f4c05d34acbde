package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// backupOf makes a primary with a tablespace, and the options to copy it to
// another folder with its WAL and tablespace elsewhere.
func backupOf(t *testing.T) (primary, copied *Cluster, o BackupOptions) {
	primary = newServer(t)
	dir := testFolder(t)
	location := testMkdir(t, primary.User, filepath.Join(filepath.Dir(primary.DataDir), "a=ts"))
	mustExec(t, primary, "create tablespace ts location '"+location+"'")
	mustExec(t, primary, "create table t tablespace ts as select generate_series(1, 1000) i")

	copied = testCluster(t, dir, "standby")
	data, err := primary.ControlData(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	o = BackupOptions{
		Target: copied.DataDir, WALDir: filepath.Join(dir, "wal"),
		Tablespaces: map[string]string{location: filepath.Join(dir, "t=s")},
		SystemID:    data.SystemID,
		Conninfo:    primary.conninfo("repl"), Passfile: filepath.Join(dir, "secret", "pgpass"),
	}
	// What conf.PassfileLine does: a backslash before : and \.
	line := fmt.Sprintf("127.0.0.1:%d:*:repl:%s", primary.Port, strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(oddPassword))
	if _, err := WritePassfile(o.Passfile, primary.User, []string{line}); err != nil {
		t.Fatal(err)
	}
	return primary, copied, o
}

func TestBaseBackup(t *testing.T) {
	ctx := testContext(t)
	primary, c, o := backupOf(t)
	var commands [][]string
	c.Run = func(cmd *exec.Cmd) error {
		commands = append(commands, append(cmd.Args, cmd.Env...))
		return cmd.Run()
	}
	t.Setenv("PGPASSWORD", "of the caller")
	t.Setenv("NOTIFY_SOCKET", "/run/of/the/caller")
	var last Progress
	o.Progress = func(p Progress) { last = p }
	o.MaxRate = "200M"
	testMkdir(t, c.User, o.Target) // an empty one is as good as none
	if err := c.BaseBackup(ctx, o); err != nil {
		t.Fatal(err)
	}
	if last.Total < 10<<20 || last.Done < last.Total || last.TablespacesTotal != 2 {
		t.Errorf("the last progress was %+v", last)
	}
	noLeftovers(t, filepath.Dir(o.Target))
	if link, err := os.Readlink(filepath.Join(o.Target, "pg_wal")); err != nil || link != o.WALDir {
		t.Errorf("pg_wal leads to %s, %v", link, err)
	}
	noPassword(t, filepath.Dir(o.Target), o.Passfile) // pitfall 36
	for _, words := range commands {
		if strings.Contains(strings.Join(words, "\x00"), oddPassword) || slices.Contains(words, "-R") {
			t.Errorf("the password or -R is in %q", words)
		}
	}
	for _, name := range []string{"PGPASSWORD=", "NOTIFY_SOCKET="} { // the caller's environment is not for them
		for _, words := range commands {
			if slices.ContainsFunc(words, func(s string) bool { return strings.HasPrefix(s, name) }) {
				t.Errorf("%s reached %s", name, words[0])
			}
		}
	}
	if !slices.ContainsFunc(commands, func(words []string) bool { return filepath.Base(words[0]) == "pg_verifybackup" }) {
		t.Error("the copy was not verified")
	}

	// The copy works as a standby, by the links that it has now.
	testWrite(t, c.User, filepath.Join(o.Target, "standby.signal"), "")
	testAppend(t, filepath.Join(o.Target, "postgresql.conf"), fmt.Sprintf(
		"port = %d\nunix_socket_directories = '%s'\nlisten_addresses = ''\nprimary_conninfo = '%s passfile=%s'\n", c.Port, c.SocketDir, o.Conninfo, o.Passfile))
	start(t, c)
	mustExec(t, primary, "insert into t values (1001)")
	lsn := ask[string](t, primary, "select pg_current_wal_lsn()::text")
	for !ask[bool](t, c, "select coalesce(pg_last_wal_replay_lsn() >= '"+lsn+"', false)") {
		time.Sleep(10 * time.Millisecond)
	}
	if n := ask[int](t, c, "select count(*)::int from t"); n != 1001 {
		t.Errorf("the standby has %d rows", n)
	}
	s := mustStatus(t, c)
	if !s.InRecovery || !s.Connected() || s.Replayed == 0 || s.Received == 0 || s.ReceiverLatestEnd == 0 || s.Timeline != 1 ||
		s.ReplayedCommitAt == nil || s.PrimaryTime == nil || s.SenderHost != "127.0.0.1" || s.ReplayPaused {
		t.Errorf("status %+v", s)
	}
	data, err := c.ControlData(ctx)
	if err != nil || !data.InRecovery() {
		t.Errorf("control data %+v, %v", data, err)
	}
	if err := c.Restartpoint(ctx); err != nil {
		t.Error(err)
	}
	if err := c.PauseReplay(ctx); err != nil {
		t.Error(err)
	}
	if err := c.ResumeReplay(ctx); err != nil {
		t.Error(err)
	}
	noPassword(t, filepath.Dir(o.Target), o.Passfile)
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), ".zreconcile-") {
			t.Errorf("%s was left behind in %s", entry.Name(), dir)
		}
	}
}

// noPassword reads every file below dir but the passfile.
func noPassword(t *testing.T, dir, passfile string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == passfile || strings.Contains(path, "/wal/") {
			return ignoreVanished(err)
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), oddPassword) {
			t.Errorf("the password is in %s", path)
		}
		return ignoreVanished(err)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ignoreVanished: a running server removes files under our feet.
func ignoreVanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func TestBaseBackupRefusals(t *testing.T) {
	ctx := testContext(t)
	_, c, good := backupOf(t)
	full := testMkdir(t, c.User, filepath.Join(filepath.Dir(good.Target), "full"))
	testWrite(t, c.User, filepath.Join(full, "stranger.txt"), "mine")
	for name, test := range map[string]struct {
		change func(*BackupOptions)
		words  string
	}{
		"strangers' files":       {func(o *BackupOptions) { o.Target = full }, "stranger.txt"},
		"WAL folder in use":      {func(o *BackupOptions) { o.WALDir = full }, "stranger.txt"},
		"tablespace in use":      {func(o *BackupOptions) { o.Tablespaces = map[string]string{"/x": full} }, "stranger.txt"},
		"staging elsewhere":      {func(o *BackupOptions) { o.Staging = "/tmp/x" + PartialSuffix }, "beside"},
		"staging without suffix": {func(o *BackupOptions) { o.Staging = full }, PartialSuffix},
		"relative":               {func(o *BackupOptions) { o.Target = "data" }, "absolute"},
		"no password":            {func(o *BackupOptions) { o.Passfile = "" }, "no password supplied"},
		"nobody answers":         {func(o *BackupOptions) { o.Conninfo = fmt.Sprintf("host=127.0.0.1 port=%d", freePort(t)) }, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			test.change(&o)
			if err := c.BaseBackup(ctx, o); err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("the error is %v, and should tell %q", err, test.words)
			}
			noLeftovers(t, filepath.Dir(good.Target))
			if b, err := os.ReadFile(filepath.Join(full, "stranger.txt")); err != nil || string(b) != "mine" {
				t.Errorf("the stranger's file is %q, %v", b, err)
			}
		})
	}
}

func TestBaseBackupStoppedMidwayIsMadeAnew(t *testing.T) {
	primary, c, o := backupOf(t)
	mustExec(t, primary, "create table big as select repeat('x', 500) s, i from generate_series(1, 60000) i")
	ctx, cancel := context.WithCancel(testContext(t))
	slow := o
	slow.MaxRate = "1M"
	slow.Progress = func(p Progress) {
		if p.Done > 0 {
			cancel()
		}
	}
	if err := c.BaseBackup(ctx, slow); !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	noLeftovers(t, filepath.Dir(o.Target))
	if _, err := os.Stat(o.Target); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("half a copy is in place: %v", err)
	}

	// As after kill -9: unfinished folders are still there.
	for _, dir := range []string{o.Target, o.WALDir} {
		testMkdir(t, c.User, dir+PartialSuffix)
		testWrite(t, c.User, filepath.Join(dir+PartialSuffix, "PG_VERSION"), "15\n")
	}
	if err := c.BaseBackup(testContext(t), o); err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, filepath.Dir(o.Target))
}

func TestBaseBackupDamagedOnTheWayIsRefused(t *testing.T) {
	_, c, o := backupOf(t)
	c.Run = func(cmd *exec.Cmd) error {
		if filepath.Base(cmd.Path) == "pg_verifybackup" {
			testAppend(t, filepath.Join(o.Target+PartialSuffix, "postgresql.conf"), "# one more line\n")
		}
		return cmd.Run()
	}
	err := c.BaseBackup(testContext(t), o)
	if err == nil || !strings.Contains(err.Error(), "postgresql.conf") || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("the error is %v", err)
	}
	noLeftovers(t, filepath.Dir(o.Target))
	if _, err := os.Stat(o.Target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a damaged copy is in place: %v", err)
	}
}

// Killed between any two of the last steps, the next run finishes without
// copying again.
func TestBaseBackupKilledBetweenRenamesIsFinished(t *testing.T) {
	_, c, o := backupOf(t)
	if err := c.BaseBackup(testContext(t), o); err != nil {
		t.Fatal(err)
	}
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	folders := o.outside()
	undo := []func() error{ // from the last step backwards
		func() error { return os.Rename(o.Target, o.verified()) },
		func() error { return os.Rename(folders[1].final, folders[1].staging) },
		func() error { return os.Rename(folders[0].final, folders[0].staging) },
		func() error { return os.Remove(filepath.Join(o.verified(), "pg_wal")) },
		func() error { return os.Symlink(folders[0].staging, filepath.Join(o.verified(), "pg_wal")) },
	}
	c.Run = func(cmd *exec.Cmd) error {
		if filepath.Base(cmd.Path) == "pg_basebackup" {
			t.Error("it was copied again")
		}
		return cmd.Run()
	}
	for _, steps := range []int{1, 2, 3, 5} {
		for _, step := range undo[:steps] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.BaseBackup(testContext(t), o); err != nil {
			t.Fatalf("after undoing %d steps: %v", steps, err)
		}
		noLeftovers(t, filepath.Dir(o.Target))
		if link, err := os.Readlink(filepath.Join(o.Target, "pg_wal")); err != nil || link != o.WALDir {
			t.Errorf("pg_wal leads to %s, %v", link, err)
		}
		if major, err := c.PGVersion(); err != nil || major < 12 {
			t.Errorf("the data directory is not in place: %v", err)
		}
	}
}

func TestBackupArgs(t *testing.T) {
	o, err := BackupOptions{Target: "/d/data", Tablespaces: map[string]string{"/a=b": "/c/ts"}, Conninfo: "host=h"}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if args := backupArgs(o, 12); slices.ContainsFunc(args, func(s string) bool { return strings.Contains(s, "manifest") }) { // pitfall 42
		t.Errorf("PostgreSQL 12 knows no manifest: %q", args)
	}
	args := backupArgs(o, 13)
	for _, want := range []string{`--tablespace-mapping=/a\=b=/c/ts` + PartialSuffix, "--no-password", "--manifest-checksums=CRC32C", "--checkpoint=fast"} {
		if !slices.Contains(args, want) {
			t.Errorf("%q is not in %q", want, args)
		}
	}
}

func TestParseProgress(t *testing.T) {
	var got []Progress
	r := &progressReader{report: func(p Progress) { got = append(got, p) }}
	for _, part := range []string{
		"waiting for checkpoint\r    0/23217 kB (0%), 0/1 table", "space\r 3149/23217 kB (13%), 0/2 tablespaces (.../base/1/2619)\r",
		"23226/23226 kB (100%), 2/2 tablespaces         \n", "pg_basebackup: error: could not write",
	} {
		if n, err := r.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := []Progress{{0, 23217 << 10, 0, 1}, {3149 << 10, 23217 << 10, 0, 2}, {23226 << 10, 23226 << 10, 2, 2}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if words := r.words(); words != "waiting for checkpoint\npg_basebackup: error: could not write" {
		t.Errorf("words are %q", words)
	}
}

func FuzzProgress(f *testing.F) {
	f.Add("  3149/23217 kB (13%), 0/1 tablespace (x)\r")
	f.Add("pg_basebackup: error: x\n")
	f.Add("99999999999999999999/1 kB (1%), 0/1 tablespace")
	f.Fuzz(func(t *testing.T, s string) {
		r := &progressReader{report: func(p Progress) {
			if p.Done < 0 || p.Total < 0 {
				t.Errorf("%+v", p)
			}
		}}
		_, _ = r.Write([]byte(s))
		r.words()
	})
}
