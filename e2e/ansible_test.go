package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

const ansibleExamples = "../examples/ansible"

// playbook is a play of the role of examples/ansible on this host, for one site.
type playbook struct {
	site *site
	dir  string
}

// newPlaybook writes the play: its variables are what an operator would write, the
// site as a dictionary.
func newPlaybook(t *testing.T, s *site) *playbook {
	t.Helper()
	p := &playbook{site: s, dir: t.TempDir()}
	play := `- hosts: standbys
  become: false
  gather_facts: false
  roles: [zreconcile]
`
	must(t, os.WriteFile(filepath.Join(p.dir, "play.yml"), []byte(play), 0o644))
	return p
}

// path is where the role installs the program.
func (p *playbook) path() string { return filepath.Join(p.site.Dir, "zreconcile") }

// run plays it and wants the outcome, in the numbers of the recap.
func (p *playbook) run(t *testing.T, ok bool, args ...string) (changed int, said string) {
	t.Helper()
	site := strings.ReplaceAll(strings.TrimSpace(p.site.text(t)), "\n", "\n  ")
	vars := fmt.Sprintf("zreconcile_binary: %s\nzreconcile_path: %s\nzreconcile_file: %s\nzreconcile_password: %s\nzreconcile_password_file: %s\nzreconcile_site:\n  %s\n",
		program, p.path(), p.site.File(), yamlQuote(p.site.Password), filepath.Join(p.site.Dir, "password"), site)
	must(t, os.WriteFile(filepath.Join(p.dir, "vars.yml"), []byte(vars), 0o600))

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	roles, err := filepath.Abs(filepath.Join(ansibleExamples, "roles"))
	must(t, err)
	inventory, err := filepath.Abs(filepath.Join(ansibleExamples, "inventory.ini"))
	must(t, err)
	cmd := exec.CommandContext(ctx, "ansible-playbook", append([]string{"--inventory", inventory, "--extra-vars", "@vars.yml", "play.yml"}, args...)...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "ANSIBLE_ROLES_PATH="+roles, "ANSIBLE_PIPELINING=1", "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=0", "ANSIBLE_PYTHON_INTERPRETER=auto_silent", "LC_ALL=C.UTF-8")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	said = out.String()
	if (err == nil) != ok {
		t.Fatalf("ansible-playbook %v: %v\n%s", args, err, said)
	}
	if strings.Contains(said, p.site.Password) || strings.Contains(said, "WARNING") {
		t.Errorf("the password %q or a warning is in:\n%s", p.site.Password, said)
	}
	recap := regexp.MustCompile(`localhost +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=(\d+)`).FindStringSubmatch(said)
	if recap == nil || (recap[2] == "0") != ok {
		t.Fatalf("no such recap is wanted:\n%s", said)
	}
	changed, err = strconv.Atoi(recap[1])
	must(t, err)
	return changed, said
}

// isConverged asks the program that the role installed, which is what the standby's
// copy of it is held against.
func (p *playbook) isConverged(t *testing.T) {
	t.Helper()
	command(t, p.path(), "plan", "--detailed-exitcode", "-f", p.site.File())
}

// TestAnsible plays the role of examples/ansible: a look at a bare host, a standby
// made, nothing to do then, drift that --check shows and the next run mends, and a
// site that is refused or blocked, with the reasons.
func TestAnsible(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	must(t, os.Remove(s.File()))
	must(t, os.Remove(filepath.Join(s.Dir, "password")))
	p := newPlaybook(t, s)
	wants := func(said string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(said, text) {
				t.Errorf("%q is not in:\n%s", text, said)
			}
		}
	}

	before := listed(t, s.Dir)
	changed, said := p.run(t, true, "--check", "--diff")
	if changed == 0 || listed(t, s.Dir) != before {
		t.Errorf("--check on a bare host: changed=%d; before it there was\n%s\nnow there is\n%s", changed, before, listed(t, s.Dir))
	}
	if _, err := tryCommand("zpool", "list", s.Name); err == nil {
		t.Error("--check made a pool")
	}
	wants(said, "create pool "+s.Name, "create dataset "+s.Name+"/data", "start standby standby")

	if changed, said = p.run(t, true); changed < 4 { // program, password, site file, apply
		t.Errorf("on a bare host, changed=%d:\n%s", changed, said)
	}
	p.isConverged(t)
	info, err := os.Stat(filepath.Join(s.Dir, "password"))
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the password file has mode %s", info.Mode())
	}
	if changed, said = p.run(t, true); changed != 0 {
		t.Errorf("a second run changes %d:\n%s", changed, said)
	}

	command(t, "zfs", "set", "atime=on", s.Name+"/data")
	changed, said = p.run(t, true, "--check", "--diff")
	if changed != 1 {
		t.Errorf("with one property set otherwise, --check says changed=%d", changed)
	}
	wants(said, "update dataset "+s.Name+"/data", "atime: on -> off")
	if got := command(t, "zfs", "get", "-H", "-o", "value", "atime", s.Name+"/data"); got != "on\n" {
		t.Errorf("--check set atime to %s", got)
	}

	s.Restores = s.restoreTo("long-ago", "time: '2001-01-01 00:00:00+00'")
	changed, said = p.run(t, false, "--diff")
	if changed != 2 { // the site file and what of it can be applied
		t.Errorf("with a drift and a restore that is refused, changed=%d", changed)
	}
	wants(said, "update dataset "+s.Name+"/data", ": done", "zreconcile exited with status 4", "restore long-ago: ", "2001-01-01", "mend: ")
	if got := command(t, "zfs", "get", "-H", "-o", "value", "atime", s.Name+"/data"); got != "off\n" {
		t.Errorf("the apply left atime %s", got)
	}

	file, err := os.ReadFile(s.File())
	must(t, err)
	s.Restores, s.Retention = "", "{lost: 4}"
	for args, words := range map[string][]string{
		"--check": {"zreconcile exited with status 3", "lost"},
		"--diff":  {"failed to validate", "lost"},
	} {
		_, said = p.run(t, false, args)
		wants(said, words...)
	}
	if now, err := os.ReadFile(s.File()); err != nil || !bytes.Equal(now, file) {
		t.Errorf("an invalid site file took the place of the old one: %v", err)
	}
}

// listed are the files below a folder.
func listed(t *testing.T, dir string) string {
	t.Helper()
	return command(t, "find", dir, "-printf", "%p %s %T@\n")
}

func TestAnsibleExampleParses(t *testing.T) {
	cmd := exec.Command("ansible-playbook", "--inventory", "inventory.ini", "--syntax-check", "site.yml")
	cmd.Dir = ansibleExamples
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
