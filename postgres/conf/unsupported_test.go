package conf

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPitfall38_UnsupportedAsksUntilTheServerIsContent(t *testing.T) {
	files := map[string][]byte{
		MainFile: []byte("rds_one = 1\nPORT = abc\nwal_level = bogus\nfsync = maybe\nmax_connections = -5\nno such line\n" +
			"lc_messages = 'xx_XX.UTF-8'\nlog_line_prefix = '\\n%p '\nlog_destination = 'syslog'\nlog_min_messages = panic\nlog_error_verbosity = verbose\n" +
			"data_directory = '/nonexistent'\ninclude 'missing.conf'\nssl = on\nrds.dotted = 1\nwork_mem = 4MB\npassword_encryption = rot13\nserver_version = 9\n"),
		AutoFile: []byte("other_unknown = 'x'\nshared_buffers = 1\n"),
	}
	for name, s := range map[string]Server{"as caller": localServer(t), "as the OS user": asPostgres(t, localServer(t))} {
		runs := 0
		s.Run = func(c *exec.Cmd) error { runs++; return c.Run() }
		before, _ := filepath.Glob(filepath.Join(os.TempDir(), "zreconcile-conf-*"))
		got, err := s.Unsupported(context.Background(), files)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := map[string]string{
			"rds_one":             `unrecognized configuration parameter "rds_one"`,
			"other_unknown":       `unrecognized configuration parameter "other_unknown"`,
			"port":                `invalid value for parameter "PORT": "abc"`,
			"wal_level":           `invalid value for parameter "wal_level": "bogus"; Available values: minimal, replica, logical.`,
			"server_version":      `parameter "server_version" cannot be changed`,
			"fsync":               `parameter "fsync" requires a Boolean value`,
			"max_connections":     `-5 is outside the valid range for parameter "max_connections" (1 .. 262143)`,
			"shared_buffers":      `1 8kB is outside the valid range for parameter "shared_buffers" (16 .. 1073741823)`,
			"lc_messages":         `invalid value for parameter "lc_messages": "xx_XX.UTF-8"`,
			"password_encryption": `invalid value for parameter "password_encryption": "rot13"; Available values: md5, scram-sha-256.`,
		}
		got["shared_buffers"] = strings.ReplaceAll(got["shared_buffers"], "16 8kB .. 1073741823 8kB", "16 .. 1073741823") // from 17 on with the unit
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if runs != 3 {
			t.Errorf("%s: %d runs of postgres -C, want one each for unknown names, bad values and the all-clear", name, runs)
		}
		if after, _ := filepath.Glob(filepath.Join(os.TempDir(), "zreconcile-conf-*")); len(after) > len(before) {
			t.Errorf("%s: folders left behind: %v", name, after)
		}
	}
}

func TestUnsupportedReportsAServerThatCannotBeAsked(t *testing.T) {
	_, err := Server{BinDir: "/nonexistent/bin"}.Unsupported(context.Background(), nil)
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/bin/postgres") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := localServer(t).Unsupported(ctx, nil); err == nil {
		t.Error("a cancelled question must fail, not answer that all is well")
	}
}

// A failure that names no parameter, or the same one for ever, must end.
func TestUnsupportedGivesUpWithTheServersWords(t *testing.T) {
	for _, words := range []string{"FATAL:  out of memory\n", "LOG:  invalid value for parameter \"x\": \"1\"\nFATAL:  out of memory\n"} {
		s := Server{BinDir: "/bin", Run: func(c *exec.Cmd) error {
			if _, err := io.WriteString(c.Stderr, words); err != nil {
				return err
			}
			return errors.New("exit status 1")
		}}
		got, err := s.Unsupported(context.Background(), nil)
		if err == nil || !strings.Contains(err.Error(), "exit status 1: ") || !strings.Contains(err.Error(), "FATAL:  out of memory") {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

func TestMissingLibraries(t *testing.T) {
	s := localServer(t)
	dir, err := s.pkglibdir(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(dir, "auto_explain.so")
	got, err := s.MissingLibraries(context.Background(), []string{"auto_explain", "auto_explain.so", "$libdir/auto_explain", there, "zhparser", "/no/such/lib", "$libdir/plugins/zz"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"zhparser":           "no file " + filepath.Join(dir, "zhparser.so"),
		"/no/such/lib":       "no file /no/such/lib.so",
		"$libdir/plugins/zz": "no file " + filepath.Join(dir, "plugins/zz.so"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A folder of PATH may link to the server alone, beside a lib of its own.
func TestMissingLibrariesFollowsALinkedServer(t *testing.T) {
	root, s := t.TempDir(), localServer(t)
	for _, dir := range []string{"bin", "lib"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(s.BinDir, "postgres"), filepath.Join(root, "bin", "postgres")); err != nil {
		t.Fatal(err)
	}
	got, err := Server{BinDir: filepath.Join(root, "bin")}.MissingLibraries(context.Background(), []string{"auto_explain"})
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMissingLibrariesWithoutPgConfig(t *testing.T) {
	root := t.TempDir()
	s := Server{BinDir: filepath.Join(root, "bin")}
	if _, err := s.MissingLibraries(context.Background(), []string{"x"}); err == nil {
		t.Error("no library directory: nothing is known, so nothing may be called missing")
	}
	for _, dir := range []string{"bin", "lib", "lib64"} { // lib is somebody else's
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, lib := range []string{"x.so", walReceiver} {
		if err := os.WriteFile(filepath.Join(root, "lib64", lib), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.MissingLibraries(context.Background(), []string{"x", "y"})
	if err != nil || len(got) != 1 || got["y"] == "" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestLibraryLists(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil, " a , b ": {"a", "b"}, `"a, b",c`: {"a, b", "c"}, `"x""y" , z`: {`x"y`, "z"}, "A b,,c": {"A b", "c"}, `"open`: {"open"},
	} {
		if diff := cmp.Diff(want, SplitLibraries(in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
		if diff := cmp.Diff(want, SplitLibraries(joinLibraries(want))); diff != "" {
			t.Errorf("%q joined and split again (-want +got):\n%s", in, diff)
		}
	}
	got := PreloadLibraries(map[string][]byte{MainFile: []byte("shared_preload_libraries='b,a'\nlocal_preload_libraries=a\nport=1\n"), AutoFile: []byte("session_preload_libraries='c'")})
	if diff := cmp.Diff([]string{"$libdir/plugins/a", "a", "b", "c"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
