package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/robfig/cron/v3"
	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/spec"
)

func example(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "examples", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	// callWithin is a call of the program in a line of a script.
	callWithin = regexp.MustCompile(`(?:^|[ (])(zreconcile [a-z][^)]*)`)
	// redirections go to no program.
	redirections = regexp.MustCompile(`[0-9]*>+(&[0-9]|\s*\S+)`)
)

// calls are the arguments of each call of the program in a script.
func calls(script string) [][]string {
	var found [][]string
	for line := range strings.Lines(script) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, call := range callWithin.FindAllStringSubmatch(strings.TrimSpace(line), -1) {
			if args, is := arguments(redirections.ReplaceAllString(call[1], "")); is {
				found = append(found, args)
			}
		}
	}
	return found
}

// allParse checks that the calls are of commands that exist, name the site file, and
// are these.
func allParse(t *testing.T, found [][]string, commands ...string) {
	t.Helper()
	var names []string
	for _, args := range found {
		names = append(names, args[0])
		if err := parses(args); err != nil {
			t.Errorf("zreconcile %s: %v", strings.Join(args, " "), err)
		}
		if at := slices.Index(args, "-f"); at < 0 || args[at+1] != "/etc/zreconcile/site.yaml" {
			t.Errorf("zreconcile %s: a site.yaml of the folder that it runs in would come first", strings.Join(args, " "))
		}
	}
	if !slices.Equal(names, commands) {
		t.Errorf("the commands are %q, want %q", names, commands)
	}
}

// validExample checks a site file within an example.
func validExample(t *testing.T, text string) {
	t.Helper()
	if _, problems := spec.Parse(map[string][]byte{"site.yaml": []byte(text)}, "site.yaml"); len(problems) > 0 {
		t.Errorf("%s\n%v", text, problems)
	}
}

// The crontab is one of cron.d: times, a user, a command; its PATH has zfs and
// zpool, and no % stands in it, which cron takes for a line break.
func TestCronExample(t *testing.T) {
	entry := regexp.MustCompile(`^#?((?:[-0-9*/,]+ ){5})root (.+)$`)
	path := ""
	var found [][]string
	for line := range strings.Lines(example(t, "cron/zreconcile")) {
		line = strings.TrimSuffix(line, "\n")
		if value, is := strings.CutPrefix(line, "PATH="); is {
			path = value
		}
		m := entry.FindStringSubmatch(line)
		if m == nil {
			if line != "" && !strings.HasPrefix(line, "# ") && line != "#" && !regexp.MustCompile(`^[A-Z]+=\S+$`).MatchString(line) {
				t.Errorf("cron can't read: %s", line)
			}
			continue
		}
		if _, err := cron.ParseStandard(strings.TrimSpace(m[1])); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if strings.Contains(m[2], "%") {
			t.Errorf("cron ends the command at its first %%: %s", line)
		}
		found = append(found, calls(m[2])...)
	}
	allParse(t, found, "watch", "status", "apply")
	for _, dir := range []string{"/usr/local/bin", "/usr/sbin", "/sbin"} {
		if !slices.Contains(strings.Split(path, ":"), dir) {
			t.Errorf("PATH=%s has no %s", path, dir)
		}
	}
}

// The user data has no key that we do not mean, its site file is valid, its calls
// parse, and no password stands in it.
func TestCloudInitExample(t *testing.T) {
	text := example(t, "cloud-init/user-data.yaml")
	if !strings.HasPrefix(text, "#cloud-config\n") {
		t.Error("cloud-init knows it by its first line")
	}
	var data struct {
		APT struct {
			Sources map[string]struct{ Source, KeyID string }
		}
		PackageUpdate bool `yaml:"package_update"`
		Packages      []string
		WriteFiles    []struct{ Path, Permissions, Content string } `yaml:"write_files"`
		RunCmd        [][]string
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&data); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range data.WriteFiles {
		files[f.Path] = f.Content
	}
	validExample(t, files["/etc/zreconcile/site.yaml"])
	if len(data.RunCmd) != 1 || len(data.RunCmd[0]) != 1 || files[data.RunCmd[0][0]] == "" {
		t.Fatalf("runcmd runs %q, which it does not write", data.RunCmd)
	}
	script := files[data.RunCmd[0][0]]
	allParse(t, calls(script), "validate", "doctor")
	if !strings.HasPrefix(script, "#!/bin/sh\nset -eu\n") {
		t.Error("the script goes on after a failure")
	}
	if _, written := files["/etc/zreconcile/primary.password"]; written || !strings.Contains(script, ">/etc/zreconcile/primary.password") {
		t.Error("the password is not fetched")
	}
}

// The play of the role's example has a valid site.
func TestAnsibleExampleSite(t *testing.T) {
	var plays []struct {
		Roles []struct {
			Role string
			Vars struct {
				Site yaml.Node `yaml:"zreconcile_site"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(example(t, "ansible/site.yml")), &plays); err != nil || len(plays) != 1 || len(plays[0].Roles) != 1 {
		t.Fatalf("%v: %v", err, plays)
	}
	site, err := yaml.Marshal(&plays[0].Roles[0].Vars.Site)
	if err != nil {
		t.Fatal(err)
	}
	validExample(t, string(site))
}

// The jq programs that the pages show are run on the JSON of the golden tests, and
// find something there.
func TestPipelinesFindSomething(t *testing.T) {
	pipeline := regexp.MustCompile(`^zreconcile (plan|apply|status) -o json \| jq (?:-(r|e) )?(?:'([^']+)'|(\S+))$`)
	ran := 0
	for path, page := range pages(t) {
		for _, line := range codeLines(page) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "sudo ")
			m := pipeline.FindStringSubmatch(line)
			if m == nil {
				if strings.HasPrefix(line, "zreconcile ") && strings.Contains(line, "| jq ") {
					t.Errorf("%s: this pipeline is not tried: %s", path, line)
				}
				continue
			}
			ran++
			out, err := exec.Command("jq", "-r", m[3]+m[4], filepath.Join("testdata", "golden", m[1]+".json")).CombinedOutput()
			if text := strings.TrimSpace(string(out)); err != nil || text == "" || text == "null" {
				t.Errorf("%s: %s\n%v (e2e/setup.sh tests installs jq): %s", path, line, err, text)
			}
		}
	}
	if ran == 0 {
		t.Error("no page has a pipeline")
	}
}
