package conf

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// TestUnsupportedOfEachMajor: what a server says of settings that it can't load is
// text, of which the wording is each version's own; and settings come and go.
func TestUnsupportedOfEachMajor(t *testing.T) {
	comeAndGo := map[string][2]int{ // the first and the last version, by the appendix "Release Notes"
		"wal_keep_segments = 1": {0, 12}, "wal_keep_size = 1GB": {13, 99}, "operator_precedence_warning = off": {0, 13},
		"idle_session_timeout = 0": {14, 99}, "stats_temp_directory = 'x'": {0, 99}, // commented out before it is asked for
		"log_startup_progress_interval = 0": {15, 99}, "vacuum_defer_cleanup_age = 0": {0, 15}, "reserved_connections = 1": {16, 99},
		"old_snapshot_threshold = -1": {0, 16}, "db_user_namespace = off": {0, 16}, "trace_recovery_messages = log": {0, 16},
		"transaction_timeout = 0": {17, 99}, "io_method = worker": {18, 99},
	}
	servers.Each(t, func(t *testing.T, major int, binDir string) {
		text := "rds_one = 1\nPORT = abc\nwal_level = bogus\nfsync = maybe\nmax_connections = -5\nserver_version = 9\nrds.dotted = 1\nwork_mem = 4MB\n" +
			"lc_messages = 'xx_XX.UTF-8'\npassword_encryption = rot13\nshared_buffers = 1\n"
		want := []string{"fsync", "lc_messages", "max_connections", "password_encryption", "port", "rds_one", "server_version", "shared_buffers", "wal_level"}
		for line, span := range comeAndGo {
			text += line + "\n"
			if major < span[0] || major > span[1] {
				want = append(want, splitLines([]byte(line))[0].entry.Name)
			}
		}
		slices.Sort(want)
		s, runs := asPostgres(t, Server{BinDir: binDir}), 0
		s.Run = func(c *exec.Cmd) error { runs++; return c.Run() }
		refused, err := s.Unsupported(context.Background(), map[string][]byte{MainFile: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, sortedNames(refused)); diff != "" {
			t.Errorf("refused (-want +got):\n%s%v", diff, refused)
		}
		if runs != 3 {
			t.Errorf("%d runs of postgres -C, want one each for unknown names, bad values and the all-clear", runs)
		}
		if missing, err := s.MissingLibraries(context.Background(), []string{"auto_explain", "no_such_library"}); err != nil || len(missing) != 1 || missing["no_such_library"] == "" {
			t.Errorf("the missing libraries are %q (%v)", missing, err)
		}
	})
}

// TestEachMajorReadsOurFiles starts nothing: a server reads the managed file, and
// the files for logging in, as it starts. What it reads of the first, it says.
func TestEachMajorReadsOurFiles(t *testing.T) {
	command, err := Command("/opt/it's here/zreconcile", "wal", "push", "--archive", `/srv/a "b" $c`, PathPlaceholder)
	if err != nil {
		t.Fatal(err)
	}
	settings := []Setting{
		{Name: "archive_command", Value: command, Why: "a standby archives what it receives"},
		{Name: "primary_conninfo", Value: Conninfo([]Setting{{Name: "host", Value: "a,b"}, {Name: "application_name", Value: `it's \ "x"`}})},
		{Name: "recovery_target_timeline", Value: "latest"}, {Name: "cluster_name", Value: "zreconcile-it''s"},
	}
	servers.Each(t, func(t *testing.T, _ int, binDir string) {
		s := asPostgres(t, Server{BinDir: binDir})
		dir := t.TempDir()
		writeConf(t, dir, "include '"+ManagedFile+"'\n")
		if err := os.WriteFile(filepath.Join(dir, ManagedFile), Render("of a test", settings), 0o600); err != nil {
			t.Fatal(err)
		}
		opened(t, s, dir)
		for _, want := range settings {
			if got, stderr, ok := serverReads(t, s, dir, want.Name); !ok || got != want.Value {
				t.Errorf("%s is read as %q, want %q: %s", want.Name, got, want.Value, stderr)
			}
		}
	})
}

// opened gives a folder, and those above it up to the system's own, to the server.
func opened(t *testing.T, s Server, dir string) {
	t.Helper()
	entries, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(entries, dir) {
		own(t, s, path)
	}
	for up := filepath.Dir(dir); up != filepath.Clean(os.TempDir()); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func sortedNames(m map[string]string) []string {
	names := []string{}
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
