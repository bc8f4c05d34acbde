package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// initialized is init to a new file, of which a plan must be empty.
func (s *site) initialized(t *testing.T, name string) (file, text string) {
	t.Helper()
	file = filepath.Join(s.Dir, name)
	r := zreconcile(t, "init", "--pool", s.Name, "-f", file).exits(t, exitDone)
	content, err := os.ReadFile(file)
	must(t, err)
	text = string(content)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%s: %v, %v", file, info.Mode(), err)
	}
	s.keepsTheSecret(t, r.Stdout+r.Stderr+text)
	zreconcile(t, "validate", "-f", file).exits(t, exitDone)
	p := zreconcile(t, "plan", "-f", file, "-o", "json", "--detailed-exitcode")
	if p.Code != exitDone || len(p.plan(t).Changes) != 0 {
		t.Fatalf("the plan of the file is not empty: %v\n%v\n%s", p, r, text)
	}
	return file, text
}

// keepsTheSecret proves that the password is not shown.
func (s *site) keepsTheSecret(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, strings.TrimSpace(s.Password)) {
		t.Errorf("the password is shown:\n%s", text)
	}
}

var writtenAt = regexp.MustCompile(`^# Written by zreconcile init at [-0-9: ]+Z`)

// TestInitOfAConvergedSite loses the site file and has it written anew, with all
// that the host remembers: nothing is left to do, and nothing was done.
func TestInitOfAConvergedSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Odd)) // a tablespace, another superuser, a password full of quotes
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot", "--label", "by hand").exits(t, exitDone)
	at := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	s.caughtUp(t)
	s.declare(t,
		entry{Name: "latest", Target: "latest: true", Port: s.RestorePort, More: []string{"mountpoint: " + s.Dir + "/latest", "expiresAfter: 24h", "grace: 30m"}},
		entry{Name: "open", Target: "time: '" + at + "'", Port: freePort(t), More: []string{"dataset: elsewhere/open", "action: promote",
			"listenAddresses: '*'", "hba: ['host all all 127.0.0.1/32 scram-sha-256']", "properties: {refquota: 512M}", "conf: {set: {work_mem: 3MB}}"}})
	s.converges(t)
	must(t, os.Remove(s.File()))
	before := s.traces(t)

	_, text := s.initialized(t, "again.yaml")
	for _, want := range []string{
		"\nsite: " + s.Name + "\n", "devices: [" + s.Vdev + "]", "rootProperties: {canmount: off}", "recordsize: 8K",
		"dataDir: " + s.DataDir(), "socketDir: " + s.Dir + "/s", "work_mem: 5MB",
		s.Primary.Tablespace + ": " + s.DataMount + "/ts", "dir: " + s.WALMount + "/archive",
		"name: latest", "mountpoint: " + s.Dir + "/latest", "grace: 30m", "dataset: elsewhere/open", "action: promote", "refquota: 512M", "work_mem: 3MB",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	_, again := s.initialized(t, "once-more.yaml")
	if diff := cmp.Diff(writtenAt.ReplaceAllString(text, ""), writtenAt.ReplaceAllString(again, "")); diff != "" {
		t.Errorf("the second file is another one:\n%s", diff)
	}
	for _, name := range []string{"again.yaml", "once-more.yaml"} {
		must(t, os.Remove(filepath.Join(s.Dir, name)))
	}
	sameTraces(t, before, s.traces(t))
}

// handmade makes the host of the procedure that people follow by hand: a pool,
// two datasets, a standby that archives by cp, a snapshot by cron.
// The options are pg_ctl's.
func (s *site) handmade(t *testing.T, options ...string) {
	t.Helper()
	command(t, "zpool", "create", "-f", "-o", "ashift=12", s.Name, s.Vdev)
	command(t, "zfs", "set", "canmount=off", s.Name)
	for name, mount := range map[string]string{"zpdata01": s.DataMount, "zpdata02": s.WALMount} {
		command(t, "zfs", "create", "-o", "mountpoint="+mount, "-o", "recordsize=8K", "-o", "atime=off", "-o", "primarycache=metadata", s.Name+"/"+name)
	}
	command(t, "zfs", "set", "compression=on", s.Name+"/zpdata02")
	command(t, "zfs", "create", "-o", "quota=64M", "-o", "com.example:note=a b", s.Name+"/zpdata01/child")
	archive := s.WALMount + "/pg_wal_archive"
	for _, dir := range []string{s.DataMount, archive, s.Dir + "/s"} {
		must(t, os.MkdirAll(dir, 0o700))
		command(t, "chown", "postgres:", dir)
	}
	// The password stands in the connection string, as pg_basebackup -R leaves it.
	s.asOSUser(t, "pg_basebackup", "-D", s.DataDir(), "-F", "p", "-R", "-c", "fast", "-X", "stream",
		"-d", "host=127.0.0.1 port="+text(s.Primary.Port)+" user="+s.User+" password="+s.Password+" application_name=hello_rds")
	auto, err := os.OpenFile(s.DataDir()+"/postgresql.auto.conf", os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = auto.WriteString("port=" + text(s.Port) + "\nunix_socket_directories='" + s.Dir + "/s'\nshared_buffers=16MB\nwork_mem='7MB'\narchive_mode=always\n" +
		"archive_command='test ! -f " + archive + "/%f && cp %p " + archive + "/%f'\n")
	must(t, errors.Join(err, auto.Close()))
	s.startsByHand(t, options...)
	s.stepTable(t)
	must(t, s.Primary.Exec("SELECT pg_switch_wal()"))
	eventually(t, "WAL to be archived", func() bool {
		names, err := filepath.Glob(archive + "/0*")
		return err == nil && len(names) > 0
	})
	command(t, "zfs", "snapshot", s.Name+"/zpdata01@2026-03-2117:06:47")
}

func (s *site) startsByHand(t *testing.T, options ...string) {
	t.Helper()
	s.asOSUser(t, "pg_ctl", append([]string{"start", "-w", "-D", s.DataDir(), "-l", s.DataDir() + "/by-hand.log"}, options...)...)
}

// TestInitOfAHandmadeHost: what was made by hand stays as it is while the file
// is as init wrote it; with the rest of the file, apply adopts the standby.
func TestInitOfAHandmadeHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.handmade(t)
	pid := s.postmaster(t)

	file, text := s.initialized(t, "init.yaml")
	for _, want := range []string{
		"\n  properties: {ashift: 12}\n", "mountpoint: " + s.DataMount + "\n", "quota: 64M", "'com.example:note': a b", "compression: on",
		"\n#: standby:\n", "\n#:     applicationName: hello_rds\n", "\n#:   dir: " + s.WALMount + "/pg_wal_archive-zreconcile",
		"\n#:     passwordFrom: {file: /etc/zreconcile/primary.password}",
		"archive_command: test ! -f", "restart nothing", "create snapshot zr-",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file does not say %q:\n%s", want, text)
		}
	}
	zreconcile(t, "apply", "-f", file).exits(t, exitDone).says(t, "nothing to change")
	if s.postmaster(t) != pid {
		t.Error("the standby was restarted")
	}

	// As the file says: the marks are taken away, and the password is put into a file.
	whole := strings.ReplaceAll(strings.ReplaceAll(text, "\n#: ", "\n"), "/etc/zreconcile/primary.password", s.Dir+"/password")
	must(t, os.WriteFile(s.File(), []byte(whole), 0o644))
	s.run(t, "validate").exits(t, exitDone)
	for _, c := range s.run(t, "apply", "-o", "json").exits(t, exitDone).plan(t).changes() {
		if strings.Contains(c, "basebackup") || strings.Contains(c, "dataset") || strings.Contains(c, "pool") {
			t.Errorf("to adopt the standby, apply had to %s", c)
		}
	}
	s.isConverged(t)
	s.caughtUp(t)
	if names, err := filepath.Glob(s.WALMount + "/pg_wal_archive/0*"); err != nil || len(names) == 0 {
		t.Errorf("the WAL that the snapshots by hand may need is gone: %v", err)
	}
	_, adopted := s.initialized(t, "adopted.yaml")
	if strings.Contains(adopted, "#: ") {
		t.Errorf("of the adopted host, a part is commented out:\n%s", adopted)
	}
}

// TestInitOfAServerWithItsFilesElsewhere adopts a standby that reads its
// configuration as Debian's do, from outside of its data directory: what it read
// there holds on, and it streams on.
func TestInitOfAServerWithItsFilesElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	outside := s.Dir + "/postgresql.conf"
	must(t, os.WriteFile(outside, []byte("data_directory = '"+s.DataDir()+"'\nhba_file = '"+s.DataDir()+"/pg_hba.conf'\nmaintenance_work_mem = '9MB'\nwork_mem = '8MB'\n"), 0o644))
	s.handmade(t, "-o", "-c config_file="+outside)
	pid := s.postmaster(t)
	_, text := s.initialized(t, "init.yaml")
	if !strings.Contains(text, "#:     set: {maintenance_work_mem: 9MB}") || !strings.Contains(text, "#     restart: reads "+outside+" -> reads "+s.DataDir()+"/postgresql.conf") {
		t.Errorf("the file is\n%s", text)
	}
	must(t, os.WriteFile(s.File(), []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\n#: ", "\n"), "/etc/zreconcile/primary.password", s.Dir+"/password")), 0o644))
	p := s.apply(t).exits(t, exitDone).plan(t)
	if !p.has("update", "standby") || p.has("create", "basebackup") || s.postmaster(t) == pid {
		t.Errorf("apply did %q", p.changes())
	}
	s.isConverged(t)
	s.caughtUp(t)
	for setting, want := range map[string]string{"config_file": s.DataDir() + "/postgresql.conf", "maintenance_work_mem": "9MB", "work_mem": "7MB", "archive_mode": "always"} {
		if got := s.standbyText(t, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
}

// draftJSON is `init -o json`.
type draftJSON struct {
	Format    int
	Site      string
	File      string
	YAML      string
	Converged bool
	Notes     []string
	Pending   []changeJSON
	Plan      planJSON
}

// draft is init to stdout, as JSON.
func (s *site) draft(t *testing.T) draftJSON {
	t.Helper()
	r := zreconcile(t, "init", "--pool", s.Name, "-o", "json").exits(t, exitDone)
	s.keepsTheSecret(t, r.Stdout+r.Stderr)
	var d draftJSON
	r.decode(t, &d)
	if d.Format != 1 || d.Site != s.Name || d.File != "" || !d.Converged || len(d.Plan.Changes) != 0 {
		t.Errorf("the draft is %v", r)
	}
	return d
}

// active and commented are the lines of a section as it is written.
func (d draftJSON) active(section string) bool {
	return strings.Contains(d.YAML, "\n"+section+":\n")
}

func (d draftJSON) commented(section string) bool {
	return strings.Contains(d.YAML, "\n#: "+section+":\n")
}

// TestInitOfASiteThatIsNotConverged writes what an apply would change something
// for commented out, and no more than that.
func TestInitOfASiteThatIsNotConverged(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Managed))
	s.converges(t)
	s.caughtUp(t)
	d := s.draft(t)
	if !d.active("standby") || !d.active("snapshots") || len(d.Pending) != 0 || !strings.Contains(d.YAML, `"rds*"`) && !strings.Contains(d.YAML, "rds*") {
		t.Errorf("of the converged site it writes:\n%s", d.YAML)
	}

	// Without a snapshot one is due, whatever the schedule.
	for _, name := range s.snapshotNames(t) {
		command(t, "zfs", "destroy", s.Name+"/data@"+name)
	}
	d = s.draft(t)
	if !d.active("standby") || !d.active("archive") || !d.commented("snapshots") || len(d.Pending) != 1 || d.Pending[0].Kind != "snapshot" || !strings.Contains(d.YAML, "#   create snapshot zr-") {
		t.Errorf("without snapshots it writes:\n%s", d.YAML)
	}

	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	d = s.draft(t)
	if d.active("standby") || !d.commented("standby") || !d.commented("archive") || !strings.Contains(d.YAML, "#   start standby standby: the standby does not run") ||
		!strings.Contains(strings.Join(d.Notes, "\n"), "the standby, with all that belongs to it, is written commented out") {
		t.Errorf("of a standby that does not run it writes:\n%s", d.YAML)
	}

	// A second standby on the pool is a choice that a person makes.
	other := s.DataMount + "/other"
	must(t, os.MkdirAll(other+"/global", 0o700))
	for _, name := range []string{"PG_VERSION", "global/pg_control", "standby.signal"} {
		command(t, "cp", s.DataDir()+"/"+name, other+"/"+name)
	}
	zreconcile(t, "init", "--pool", s.Name).exits(t, exitRefused).says(t, other, s.DataDir(), "--data-dir")
	zreconcile(t, "init", "--data-dir", s.DataDir()).exits(t, exitDone).says(t, "dataDir: "+s.DataDir())
	zreconcile(t, "init", "--pool", s.Name, "--data-dir", s.Dir).exits(t, exitFailed).says(t, "is no data directory of PostgreSQL")
	must(t, os.RemoveAll(other))

	// What was ejected is still known by its name and its archive.
	s.run(t, "eject").exits(t, exitDone)
	d = s.draft(t)
	if !d.commented("standby") || !strings.Contains(d.YAML, "\n#:   dir: "+s.WALMount+"/archive\n") || strings.Contains(d.YAML, "guessed: the pool's name") {
		t.Errorf("of an ejected host it writes:\n%s", d.YAML)
	}
}
