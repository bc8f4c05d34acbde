package e2e

import (
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
