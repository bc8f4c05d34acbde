package e2e

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// updateDocs writes into the pages what was printed, where they show something
// else. Look at each difference before it is committed.
var updateDocs = flag.Bool("docs.update", false, "write what was printed into the pages of docs")

// docsPages are those with commands, with the blocks that can't be run here. A
// page of the tutorial and of docs/howto that is not listed fails the test.
var docsPages = map[string]docsPage{
	"tutorial.md":                      {bare: true, ownPrimary: true, untested: []string{"$ sudo apt install postgresql zfsutils-linux"}},
	"howto/adopt-an-existing-host.md":  {bare: true},
	"howto/recover-a-dropped-table.md": {},
	"howto/primary-is-dead.md":         {untested: []string{"$ sudo systemctl disable --now zreconcile"}},
	"howto/a-disk-failed.md":           {untested: []string{"$ sudo zpool replace tank /dev/disk/by-id/nvme-B /dev/disk/by-id/nvme-C", "$ sudo zpool clear tank"}},
	"howto/rotate-the-password.md":     {},
	"howto/re-seed.md":                 {},
	"howto/remove-zreconcile.md":       {untested: []string{"$ sudo systemctl disable --now zreconcile"}},
	"howto/restore-drills.md":          {},
	"howto/monitor.md":                 {untested: []string{"$ sudo zreconcile watch --metrics :19187"}},
	"howto/copies-off-the-host.md":     {untested: []string{"$ sudo syncoid --no-sync-snap --no-rollback --sendoptions=p --recvoptions=u tank/pg root@backup.example.com:tank2/orders/pg", "jobs:"}},
	"howto/move-to-a-new-host.md":      {untested: []string{"$ sudo systemctl disable --now zreconcile zreconcile-orders-prod"}},
	"howto/config-management.md":       {elsewhere: "its role and playbook have tests of their own"},
}

type docsPage struct {
	bare       bool     // the page begins without a site
	ownPrimary bool     // it makes the primary, too
	untested   []string // first lines of the blocks that are not run
	elsewhere  string   // why the page as a whole is not run
}

// TestDocs runs what docs tell people to type, as they would, and compares what
// the pages show with what is printed.
func TestDocs(t *testing.T) {
	t.Parallel()
	for _, page := range docsWithCommands(t) {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			t.Parallel()
			p, known := docsPages[page]
			if !known {
				t.Fatalf("docsPages does not list docs/%s", page)
			}
			if p.elsewhere != "" {
				return
			}
			path := filepath.Join("../docs", page)
			lines := readLines(t, path)
			steps, untested := readPage(t, page, lines)
			if !slices.Equal(untested, p.untested) {
				t.Errorf("the blocks of docs/%s that are not tested are %q, and not %q", page, untested, p.untested)
			}
			if !slices.ContainsFunc(steps, func(s step) bool { return s.shown && len(s.want) > 0 }) {
				t.Fatalf("docs/%s shows no command with what it prints", page)
			}
			h := newDocsHost(t)
			if p.ownPrimary {
				h.primaryOfThePage()
			}
			if !p.bare {
				h.installExample(t)
			}
			printed := h.follow(t, page, steps)
			if *updateDocs {
				must(t, os.WriteFile(path, []byte(strings.Join(updated(lines, steps, printed), "\n")+"\n"), 0o644))
			}
		})
	}
}

func docsWithCommands(t testing.TB) []string {
	t.Helper()
	found, err := fs.Glob(os.DirFS("../docs"), "howto/*.md")
	must(t, err)
	if len(found) < 8 {
		t.Fatalf("docs/howto holds %q", found)
	}
	found = append(found, "tutorial.md")
	for page, p := range docsPages {
		if !slices.Contains(found, page) && p.elsewhere == "" {
			t.Errorf("docsPages lists docs/%s, which is not there", page)
		}
	}
	return found
}

// updated are the lines of a page with what was printed in place of what differs.
func updated(lines []string, steps []step, printed map[int][]string) []string {
	lines = slices.Clone(lines)
	for i := len(steps) - 1; i >= 0; i-- {
		if got, differs := printed[steps[i].line]; differs {
			lines = slices.Replace(lines, steps[i].from, steps[i].to, got...)
		}
	}
	return lines
}

// docsHost is the host that the pages speak of, under names that are free here.
type docsHost struct {
	*site    // its pool, file, folder and primary
	owner    string
	subst    []substitution
	shell    *shell
	learned  *learned
	standbys []string // conninfos of servers that may follow the primary
}

// substitution is a word of the pages, and what it is here.
type substitution struct{ page, real string }

func newDocsHost(t *testing.T) *docsHost {
	t.Helper()
	s := newSite(t, ownPrimary(t, primary.Plain))
	h := &docsHost{site: s, owner: "zrs" + strings.TrimPrefix(s.Name, "zrt"), learned: learning(nil)}
	etc := filepath.Join(s.Dir, "etc")
	must(t, os.MkdirAll(filepath.Join(etc, "site.d"), 0o755))
	port := freePort(t) // and those behind it
	h.subst = []substitution{
		{"/etc/zreconcile", etc}, {"/var/tmp/tutorial", filepath.Join(s.Dir, "tutorial")}, {"/dev/disk/by-id/nvme-A", s.Vdev}, {"/dev/disk/by-id/nvme-B", s.Vdev + "2"}, {"/dev/disk/by-id", s.Dir},
		{"supervisor: auto", "supervisor: process"}, // systemd, where it runs, is not this test's
		{"19187", text(freePort(t))}, {"db1.example.com", "127.0.0.1"}, {"db2.example.com", "127.0.0.2"}, {"10.0.0.0/8", "127.0.0.0/8"}, {"orders-prod", h.owner}, {"orders-new", h.owner + "n"}, {"tank2", s.Name + "2"}, {"tank", s.Name},
		{"5432", text(s.Primary.Port)}, {"5433", text(port)}, {"5434", text(port + 1)}, {"5435", text(port + 2)}, {"5436", text(port + 3)},
		{"/usr/lib/postgresql/15/bin", s.Primary.BinDir}, {"/var/log/postgresql/postgresql-15-main.log", filepath.Join(s.Primary.Dir, "log")},
		{"/var/lib/postgresql/15/main", s.Primary.DataDir},
	}
	must(t, os.WriteFile(filepath.Join(etc, "primary.password"), []byte(s.Password), 0o600))
	must(t, os.Remove(s.File()))
	newVdev(t, s.Vdev+"2", 1<<30)
	t.Cleanup(func() { h.removeMore(t) })
	h.standbys = []string{fmt.Sprintf("host=/run/zreconcile/%s port=%d", h.owner, port)}
	h.shell = newShell(t, h.environment(etc))
	return h
}

func (h *docsHost) environment(etc string) []string {
	return []string{"PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH"), "HOME=" + h.Dir, "NO_COLOR=1", "LC_ALL=C.UTF-8", "TZ=UTC",
		"ZRECONCILE_FILE=" + filepath.Join(etc, "site.yaml"), "PGPASSWORD=" + h.Password}
}

// removeMore is what site.remove does not know of.
func (h *docsHost) removeMore(t testing.TB) {
	for _, owner := range []string{h.owner, h.owner + "n"} {
		for _, dir := range []string{"/run/zreconcile/", "/var/lib/zreconcile/", "/var/log/zreconcile/"} {
			if t.Failed() {
				h.logs(t, dir+owner)
			}
		}
	}
	second := h.Name + "2"
	if _, err := tryCommand("zpool", "list", second); err == nil {
		out, _ := tryCommand("zfs", "list", "-H", "-r", "-t", "filesystem", "-o", "mountpoint", second)
		for _, dir := range strings.Fields(out) {
			killServersBelow(t, dir)
		}
		eventually(t, "zpool destroy "+second, func() bool {
			_, err := tryCommand("zpool", "destroy", second)
			return err == nil
		})
		must(t, os.RemoveAll("/"+second))
	}
	killServersBelow(t, filepath.Join(h.Dir, "tutorial"))
	for _, owner := range []string{h.owner, h.owner + "n"} {
		for _, path := range []string{"/run/zreconcile/" + owner, "/run/zreconcile/" + owner + ".lock", "/var/lib/zreconcile/" + owner, "/var/log/zreconcile/" + owner} {
			if err := os.RemoveAll(path); err != nil {
				t.Error(err)
			}
		}
	}
}

func (h *docsHost) logs(t testing.TB, dir string) {
	found, _ := filepath.Glob(dir + "/*.log")
	for _, path := range found {
		if words, err := os.ReadFile(path); err == nil {
			t.Logf("%s:\n%s", path, words[max(0, len(words)-4000):])
		}
	}
}

// installExample makes the host of the site file that docs/README.md shows, with
// a database to work on.
func (h *docsHost) installExample(t *testing.T) {
	t.Helper()
	m := regexp.MustCompile("(?s)```yaml\n(version: 1\n.*?)```").FindStringSubmatch(strings.Join(readLines(t, "../docs/README.md"), "\n"))
	if m == nil {
		t.Fatal("docs/README.md shows no site file")
	}
	must(t, os.WriteFile(filepath.Join(h.Dir, "etc", "site.yaml"), []byte(h.here(m[1])), 0o644))
	must(t, h.Primary.Exec("CREATE TABLE orders (id int PRIMARY KEY, item text)", "CREATE INDEX ON orders (item)",
		"ALTER SYSTEM SET log_statement = 'ddl'", "SELECT pg_reload_conf()",
		"INSERT INTO orders SELECT n, 'item ' || n FROM generate_series(1, 1500) n"))
	if code, out := h.shell.run(t, "zreconcile apply"); code != exitDone {
		t.Fatalf("apply of the example: exit %d\n%s", code, out)
	}
}

// primaryOfThePage is for a page that makes a primary of its own, at 5432.
func (h *docsHost) primaryOfThePage() {
	h.subst = slices.DeleteFunc(h.subst, func(s substitution) bool { return s.page == "5432" })
	for i, s := range h.subst {
		if s.page == "5436" {
			h.subst[i].page = "5432"
			port, _ := strconv.Atoi(s.real)
			h.Primary = &primary.Primary{BinDir: h.Primary.BinDir, Port: port, Superuser: "postgres", Password: "tutorial-secret"}
		}
	}
}

// here is a text of the pages with the names of this host.
func (h *docsHost) here(text string) string {
	for _, s := range h.subst {
		text = wordOf(s.page).ReplaceAllLiteralString(text, s.real)
	}
	return h.learned.inCommand(text)
}

// onPage is what was printed, with the names of the pages.
func (h *docsHost) onPage(text string) string {
	for _, s := range h.subst {
		text = wordOf(s.real).ReplaceAllLiteralString(text, s.page)
	}
	return text
}

// wordOf finds a text where it does not stand within a longer word.
func wordOf(text string) *regexp.Regexp {
	before, after := "", ""
	if regexp.MustCompile(`^\w`).MatchString(text) {
		before = `\b`
	}
	if regexp.MustCompile(`\w$`).MatchString(text) {
		after = `\b`
	}
	return regexp.MustCompile(before + regexp.QuoteMeta(text) + after)
}

// follow does what a page says. It returns what was printed where the page
// shows something else, by the line of the command.
func (h *docsHost) follow(t *testing.T, page string, steps []step) map[int][]string {
	t.Helper()
	printed := map[int][]string{}
	h.learned = learning(steps)
	for i, s := range steps {
		if s.file != "" {
			h.write(t, s)
			continue
		}
		h.settle()
		code, out := h.shell.run(t, h.here(s.command))
		asks := i+1 < len(steps) && steps[i+1].command == "echo $?"
		if code != 0 && !asks {
			t.Errorf("docs/%s:%d: %s\nexit %d: %s", page, s.line, h.here(s.command), code, out)
			if !*updateDocs {
				t.FailNow()
			}
		}
		if !s.shown {
			continue
		}
		got := withoutLog(h.onPage(out))
		if err := h.learned.matches(s.want, got); err != nil {
			if !*updateDocs {
				t.Fatalf("docs/%s:%d: %s\n%v", page, s.line, h.here(s.command), err)
			}
			printed[s.line] = slices.Clone(got)
			for j, line := range got {
				printed[s.line][j] = h.learned.inPage(line)
			}
		}
	}
	return printed
}

// logged are lines of the log beside a result, which differ from host to host.
var logged = regexp.MustCompile(`^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} INF `)

// withoutLog are the lines of an output that the pages show.
func withoutLog(out string) []string {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if out == "" {
		return nil
	}
	return slices.DeleteFunc(lines, logged.MatchString)
}

func (h *docsHost) write(t testing.TB, s step) {
	t.Helper()
	path, text := h.here(s.file), h.here(s.text)
	if s.more {
		before, err := os.ReadFile(path)
		must(t, err)
		text = string(before) + text
	}
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// settle waits until a standby that streams has what the primary has: a person
// types slower than that.
func (h *docsHost) settle() {
	var lsn string
	if h.Primary.QueryRow("SELECT pg_current_wal_flush_lsn()::text", &lsn) != nil {
		return
	}
	for _, connect := range h.standbys {
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			behind, err := trySocketText(connect, h.Primary.Superuser, "SELECT (pg_last_wal_replay_lsn() < '"+lsn+"')::text FROM pg_stat_wal_receiver WHERE status = 'streaming'")
			if err != nil || behind != "true" {
				break
			}
		}
	}
}

// shell is the one that a person has open while reading a page.
type shell struct {
	dir    string
	stdin  *os.File
	status *bufio.Reader
	cmd    *exec.Cmd
	n, rc  int
}

// newShell starts a shell of root's, where sudo asks for no password, psql finds
// one, and each other host is this one.
func newShell(t testing.TB, environment []string) *shell {
	t.Helper()
	in, stdin, err := os.Pipe()
	must(t, err)
	status, out, err := os.Pipe()
	must(t, err)
	s := &shell{dir: t.TempDir(), stdin: stdin, status: bufio.NewReader(status)}
	s.cmd = exec.CommandContext(context.Background(), "bash", "--noprofile", "--norc")
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdin, s.cmd.ExtraFiles = "/", environment, in, []*os.File{out}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, s.cmd.Start())
	must(t, in.Close())
	must(t, out.Close())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		_ = status.Close()
	})
	if code, out := s.run(t, `sudo() { if [[ $1 == -u ]]; then shift; runuser -u "$1" -- "${@:2}"; else "$@"; fi; }; export -f sudo; ssh() { shift; bash -c "$*"; }`); code != 0 {
		t.Fatal(out)
	}
	return s
}

// run runs a command and returns how it ended, and all that it printed.
func (s *shell) run(t testing.TB, command string) (code int, output string) {
	t.Helper()
	s.n++
	file := filepath.Join(s.dir, strconv.Itoa(s.n))
	must(t, os.WriteFile(file, []byte(command+"\n"), 0o644))
	_, err := fmt.Fprintf(s.stdin, "(exit %d); . %s </dev/null >%s.out 2>&1 3>&-; echo $? >&3\n", s.rc, file, file)
	must(t, err)
	ended := make(chan error, 1)
	go func() {
		line, err := s.status.ReadString('\n')
		if err == nil {
			s.rc, err = strconv.Atoi(strings.TrimSpace(line))
		}
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-time.After(patience):
		err = fmt.Errorf("it hangs")
	}
	out, _ := os.ReadFile(file + ".out")
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return s.rc, string(out)
}
