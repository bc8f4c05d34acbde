package e2e

import (
	"bufio"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// command runs a program of the host and returns its stdout.
func command(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := tryCommand(name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryCommand(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// asOSUser runs a program of the server as the OS user.
func (s *site) asOSUser(t testing.TB, program string, args ...string) string {
	t.Helper()
	return command(t, "runuser", append([]string{"-u", "postgres", "--", filepath.Join(s.Primary.BinDir, program)}, args...)...)
}

// remove leaves nothing of the site: servers, pool, files.
func (s *site) remove(t testing.TB) {
	t.Helper()
	if t.Failed() {
		s.explain(t)
	}
	if _, err := tryCommand("zpool", "list", s.Name); err == nil {
		for _, dir := range s.mountpoints(t) {
			killServersBelow(t, dir)
		}
		s.killOrphans(t)
		eventually(t, "zpool destroy "+s.Name, func() bool {
			_, err := tryCommand("zpool", "destroy", s.Name) // without -f, by which zfs-fuse loses what is open
			return err == nil
		})
	}
	killServersBelow(t, s.DataMount) // one on the root disk, if a mount was missing
	for _, path := range append(s.folders(), s.Dir, "/"+s.Name, "/run/zreconcile/"+s.Name+".lock") {
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	}
}

// folders are those that a site has outside of its pool.
func (s *site) folders() []string {
	return []string{"/run/zreconcile/" + s.Name, "/var/lib/zreconcile/" + s.Name, "/var/log/zreconcile/" + s.Name}
}

// helper is the program that PostgreSQL calls.
func (s *site) helper() string { return "/var/lib/zreconcile/" + s.Name + "/zreconcile" }

// explain logs the last words of the servers of a test that failed.
func (s *site) explain(t testing.TB) {
	var logs []string
	for _, pattern := range []string{s.DataDir() + "/*.log", s.DataDir() + "/log/*", "/var/log/zreconcile/" + s.Name + "/*.log"} {
		found, _ := filepath.Glob(pattern)
		logs = append(logs, found...)
	}
	for _, path := range logs {
		words, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if len(words) > 4000 {
			words = words[len(words)-4000:]
		}
		t.Logf("%s:\n%s", path, words)
	}
}

// killOrphans ends what still works for a run that was killed.
func (s *site) killOrphans(t testing.TB) {
	t.Helper()
	for pid, arguments := range s.programs(t) {
		t.Logf("still running: %s", arguments)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// programs are those whose arguments name the site's folder, which no other
// site has, by process number.
func (s *site) programs(t testing.TB) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	found := map[int]string{}
	for _, file := range files {
		arguments, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(arguments), s.Dir+"/") {
			continue // it has ended, or is somebody else's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		must(t, err)
		found[pid] = strings.ReplaceAll(string(arguments), "\x00", " ")
	}
	return found
}

func (s *site) mountpoints(t testing.TB) []string {
	t.Helper()
	out, err := tryCommand("zfs", "list", "-H", "-r", "-t", "filesystem", "-o", "mountpoint", s.Name)
	if err != nil {
		return nil
	}
	return strings.Fields(out)
}

// killServersBelow ends the servers whose data directory is below dir. The
// second line of a pid file says whose it is: in a clone it may be another's.
func killServersBelow(t testing.TB, dir string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*", "postmaster.pid"))
	for _, file := range files {
		if pid, owner := readPidFile(file); owner == filepath.Dir(file) {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
			eventually(t, "end of the server in "+owner, func() bool { return syscall.Kill(pid, 0) != nil })
		}
	}
}

func readPidFile(file string) (pid int, dataDir string) {
	content, err := os.ReadFile(file)
	lines := strings.Split(string(content), "\n")
	if err != nil || len(lines) < 2 {
		return 0, ""
	}
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return 0, ""
	}
	return pid, lines[1]
}

// postmaster is the standby's process.
func (s *site) postmaster(t testing.TB) int {
	t.Helper()
	pid, owner := readPidFile(filepath.Join(s.DataDir(), "postmaster.pid"))
	if owner != s.DataDir() {
		t.Fatalf("no server runs in %s", s.DataDir())
	}
	return pid
}

// eventually waits for what comes by itself.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for: %s", what)
		}
	}
}

// standbyText runs a query of one text on the standby, as root over the socket.
func (s *site) standbyText(t testing.TB, query string) string {
	t.Helper()
	return socketText(t, "host="+s.Dir+"/s port="+strconv.Itoa(s.Port), s.Primary.Superuser, query)
}

func socketText(t testing.TB, connect, role, query string) string {
	t.Helper()
	text, err := trySocketText(connect, role, query)
	if err != nil {
		t.Fatalf("%s over %q: %v", query, connect, err)
	}
	return text
}

// trySocketText connects by what status calls connect: a conninfo without user and database.
func trySocketText(connect, role, query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, connect+" user="+role+" dbname=postgres")
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var text *string
	if _, err := conn.Exec(ctx, "SET statement_timeout = '60s'; SET lock_timeout = '20s'"); err != nil {
		return "", err
	}
	if err := conn.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		return "", err
	}
	if text == nil {
		return "", nil
	}
	return *text, nil
}

// caughtUp waits until the standby has replayed all that the primary has.
func (s *site) caughtUp(t testing.TB) {
	t.Helper()
	var lsn string
	must(t, s.Primary.QueryRow("SELECT pg_current_wal_insert_lsn()::text", &lsn))
	eventually(t, "the standby to replay up to "+lsn, func() bool {
		text, err := trySocketText("host="+s.Dir+"/s port="+strconv.Itoa(s.Port), s.Primary.Superuser,
			"SELECT coalesce(pg_last_wal_replay_lsn() >= '"+lsn+"', false)::text")
		return err == nil && text == "true"
	})
}

// traces is what a run that changes nothing must leave as it was: the bytes
// and the times of each file, the history of the pool, the standby's start.
func (s *site) traces(t testing.TB) map[string]string {
	t.Helper()
	traces := map[string]string{
		"zpool history": strconv.Itoa(strings.Count(command(t, "zpool", "history", s.Name), "\n")),
		"zfs list":      command(t, "zfs", "list", "-H", "-r", "-t", "all", "-o", "name", s.Name),
		"postmaster":    strconv.Itoa(s.postmaster(t)),
		"started":       s.standbyText(t, "SELECT pg_postmaster_start_time()::text"),
		"conf loaded":   s.standbyText(t, "SELECT pg_conf_load_time()::text"),
	}
	fileTraces(t, traces, s.DataDir(), false)
	fileTraces(t, traces, s.Dir, true)
	for _, dir := range s.folders() {
		fileTraces(t, traces, dir, true)
	}
	units, err := filepath.Glob("/etc/systemd/system/*" + s.Name + "*")
	must(t, err)
	for _, u := range units {
		fileTraces(t, traces, u, false)
	}
	return traces
}

// fileTraces notes the files of dir that configuration is kept in; it does not
// go below mountpoints, into what the running server itself writes.
func fileTraces(t testing.TB, traces map[string]string, dir string, deep bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && os.IsNotExist(err):
			return nil
		case err != nil:
			return err
		case e.IsDir() && path != dir && (!deep || slices.Contains([]string{"data", "wal", "pgwal", "ts"}, filepath.Base(path))):
			return fs.SkipDir
		case !e.Type().IsRegular(), e.Name() == "disk", e.Name() == "postmaster.pid", strings.Contains(e.Name(), "log"), strings.HasSuffix(e.Name(), ".lock"):
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		traces[path] = info.ModTime().Format(time.RFC3339Nano) + " " + info.Mode().String() + "\n" + string(content)
		return nil
	})
	must(t, err)
}

// confLines returns the lines of a file that hold a setting.
func confLines(t testing.TB, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	var lines []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if line := strings.TrimSpace(scan.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
