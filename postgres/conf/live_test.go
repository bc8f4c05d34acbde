package conf

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cluster is a real server in a folder of its own, with a socket there.
type cluster struct {
	Server
	dir, data, port string
}

// newCluster runs initdb; the bootstrap superuser has an awkward name.
func newCluster(t *testing.T, role string) cluster {
	t.Helper()
	s := asPostgres(t, localServer(t))
	dir, err := os.MkdirTemp("", "zrconf") // t.TempDir is closed to other users, and too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	own(t, s, dir)
	c := cluster{Server: s, dir: dir, data: filepath.Join(dir, "data"), port: freePort(t)}
	c.must(t, "initdb", "-D", c.data, "-N", "-U", role, "--auth=trust", "-E", "UTF8", "--locale=C")
	return c
}

// own gives a path to the user that the server runs as.
func own(t *testing.T, s Server, path string) {
	t.Helper()
	if s.Credential == nil {
		return
	}
	if err := os.Chown(path, int(s.Credential.Uid), int(s.Credential.Gid)); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (c cluster) must(t *testing.T, program string, args ...string) string {
	t.Helper()
	stdout, stderr, err := c.output(context.Background(), c.dir, program, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s%s", program, err, stdout, stderr, readLog(c.dir))
	}
	return stdout
}

func readLog(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return "\n" + string(b)
}

// put writes a file of the data directory.
func (c cluster) put(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join(c.data, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	own(t, c.Server, path)
}

// psql asks as the user of the test and returns the answer.
func (c cluster) psql(conninfo, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.BinDir, "psql"), "-XAtwqc", sql, conninfo)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestServerLivesWithTheManagedPrimarysFiles makes the copied files of a
// managed primary fit (pitfalls 36, 38 and 39), starts a real server on them,
// and logs in by the rules, the map and the password file that we wrote.
func TestServerLivesWithTheManagedPrimarysFiles(t *testing.T) {
	const role, password = "all, of them", ` it's a:\ "p" `
	extra := []string{"all", `say "hi"`}
	c := newCluster(t, role)
	ctx := context.Background()
	files := map[string][]byte{MainFile: readTestdata(t, "managed.conf"), AutoFile: readTestdata(t, "altersystem.auto.conf")}

	unsupported, err := c.Unsupported(ctx, files)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := c.MissingLibraries(ctx, PreloadLibraries(files))
	if err != nil {
		t.Fatal(err)
	}
	managed := []Setting{
		{Name: "port", Value: c.port}, {Name: "shared_buffers", Value: "16MB"}, {Name: "unix_socket_directories", Value: c.dir},
		{Name: "listen_addresses", Value: "localhost"}, {Name: "archive_mode", Value: "off"}, {Name: "log_destination", Value: "stderr"},
	}
	rules := Rules{Unsupported: unsupported, MissingLibraries: missing, Managed: map[string]bool{}}
	for _, s := range managed {
		rules.Managed[s.Name] = true
	}
	out, _ := Sanitize(files, rules)
	out[ManagedFile] = Render("settings of a test", managed)
	out["pg_hba.conf"] = HBA(nil, role, extra, nil)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	out["pg_ident.conf"] = Ident(nil, []string{me.Username}, append(extra, role))
	for name, b := range out {
		c.put(t, name, b)
	}

	c.must(t, "pg_ctl", "-D", c.data, "-l", filepath.Join(c.dir, "log"), "-w", "start")
	t.Cleanup(func() { c.must(t, "pg_ctl", "-D", c.data, "-m", "immediate", "-w", "stop") })

	socket := func(user string) string {
		return Conninfo([]Setting{{Name: "host", Value: c.dir}, {Name: "port", Value: c.port}, {Name: "user", Value: user}, {Name: "dbname", Value: "postgres"}})
	}
	ask := func(sql string) string {
		t.Helper()
		answer, err := c.psql(socket(role), sql)
		if err != nil {
			t.Fatalf("%s: %v: %s%s", sql, err, answer, readLog(c.dir))
		}
		return answer
	}
	if got := ask("select current_user"); got != role {
		t.Errorf("logged in as %q", got)
	}
	for name, want := range map[string]string{"port": c.port, "shared_buffers": "16MB", "max_connections": "300", "work_mem": "12MB",
		"archive_mode": "off", "shared_preload_libraries": "pg_stat_statements", "recovery_target_time": "", "pg_stat_statements.max": "5000"} {
		if got := ask("show " + name); !SameSetting(name, got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := ask("select count(*) from pg_hba_file_rules where error is not null"); got != "0" {
		t.Errorf("%s bad lines in pg_hba.conf", got)
	}
	if got := ask("select count(*) from pg_file_settings where error is not null"); got != "0" {
		t.Errorf("%s bad settings: %s", got, ask("select name, error from pg_file_settings where error is not null"))
	}
	for _, row := range strings.Fields(ask("select name || '=' || unit from pg_settings where unit is not null")) {
		if name, unit, _ := strings.Cut(row, "="); baseUnits[name] != unit && !strings.Contains(name, ".") {
			t.Errorf("the unit of %s is %q, not %q", name, unit, baseUnits[name])
		}
	}
	ask(`create role "all" login; create role "say ""hi""" login; create role bystander login`)
	for _, user := range extra {
		if got, err := c.psql(socket(user), "select current_user"); err != nil || got != user {
			t.Errorf("as %s: %v: %s", user, err, got)
		}
	}
	// all in quotes is one role, not everybody: root is not let in as another.
	if got, err := c.psql(socket("bystander"), "select 1"); err == nil {
		t.Errorf("our line lets in whom it does not name: %s", got)
	}
	ask("create role login_only login password $q$" + password + "$q$")
	c.checkPassfile(t, password)
}

// checkPassfile logs in over TCP, by a password with all that needs care.
func (c cluster) checkPassfile(t *testing.T, password string) {
	t.Helper()
	line, err := PassfileLine("127.0.0.1", c.port, "", "login_only", password)
	if err != nil {
		t.Fatal(err)
	}
	passfile := filepath.Join(c.dir, "passfile")
	if err := os.WriteFile(passfile, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	kv := []Setting{{Name: "host", Value: "127.0.0.1"}, {Name: "port", Value: c.port}, {Name: "user", Value: "login_only"}, {Name: "dbname", Value: "postgres"}, {Name: "connect_timeout", Value: strconv.Itoa(int(queryTimeout / time.Second))}}
	if got, err := c.psql(Conninfo(append(kv, Setting{Name: "passfile", Value: passfile})), "select current_user"); err != nil || got != "login_only" {
		t.Errorf("by the password file: %v: %s", err, got)
	}
	if got, err := c.psql(Conninfo(append(kv, Setting{Name: "password", Value: password})), "select current_user"); err != nil || got != "login_only" {
		t.Errorf("by the connection string: %v: %s", err, got)
	}
	if got, err := c.psql(Conninfo(append(kv, Setting{Name: "password", Value: "wrong"})), "select 1"); err == nil {
		t.Errorf("a wrong password passed: %s", got)
	}
}
