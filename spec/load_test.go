package spec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes files in a folder of the test and returns the first one's path.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

// The reference spec has one fault on purpose: 24 hourly ones of a daily
// schedule.
func TestReferenceSpec(t *testing.T) {
	site, problems, err := Load("../examples/site.yaml")
	if err != nil || site == nil {
		t.Fatalf("Load: %v\n%v", err, problems)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "hourly: 24") {
		t.Errorf("warnings:\n%v", problems)
	}
	if site.Name != "rds-prod" || len(site.Datasets) != 2 || len(site.Restores) != 1 {
		t.Errorf("site %+v", site)
	}
}

// What is recommended has no fault, and nothing to warn of.
func TestProductionSpec(t *testing.T) {
	site, problems, err := Load("../examples/production.yaml")
	if err != nil || site == nil || len(problems) > 0 {
		t.Fatalf("Load: %v\n%v", err, problems)
	}
	for name, given := range map[string]bool{
		"standby": site.Standby != nil, "archive": site.Archive != nil, "snapshots": site.Snapshots != nil, "verify": site.Verify != nil,
	} {
		if !given {
			t.Errorf("it recommends no %s", name)
		}
	}
}

func TestLoadReadsSiteD(t *testing.T) {
	path := write(t, "site.yaml", minimal+"restores: [{name: a, target: {latest: true}, port: 5434}]\n",
		"site.d/20.yml", "restores: [{name: c, target: {latest: true}, port: 5436}]\n",
		"site.d/10.yaml", "restores: [{name: b, target: {latest: true}, port: 5435}]\n",
		"site.d/.10.yaml.swp", "\x00", "site.d/.hidden.yaml", "broken: [", "site.d/notes.txt", "no restores")
	site, problems, err := Load(path)
	if err != nil || site == nil {
		t.Fatalf("Load: %v\n%v", err, problems)
	}
	var names, files []string
	for _, r := range site.Restores {
		names = append(names, r.Name)
		files = append(files, filepath.Base(r.Pos.File))
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" {
		t.Errorf("restores (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"site.yaml", "10.yaml", "20.yml"}, files); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if len(site.Files) != 3 {
		t.Errorf("files %v", site.Files)
	}
}

// Faults of all files come at once, and the checks see all restores.
func TestLoadChecksAcrossFiles(t *testing.T) {
	path := write(t, "site.yaml", minimal+"restores: [{name: a, target: {latest: true}, port: 5434}]\n",
		"site.d/1.yaml", "restores: [{name: a, target: {latest: true}, port: 5433}]\ndatasets: []\n",
		"site.d/2.yaml", "restores: [")
	site, problems, err := Load(path)
	if err != nil || site != nil {
		t.Fatalf("Load: %v, %v", site, err)
	}
	for _, want := range []string{
		"1.yaml:1:19: the restore name a is used twice: first by another restore (" + path + ", line 12)",
		"1.yaml:1:52: the port 5433 is used twice: first by the standby (" + path + ", line 9)",
		`1.yaml:2:1: "datasets" in the file is not a key of site.d, whose files hold restores only`,
		"2.yaml:1:1: this is not YAML",
	} {
		if !strings.Contains(problems.Error(), want) {
			t.Errorf("no problem says %q:\n%v", want, problems)
		}
	}
	for _, p := range problems {
		if p.Source == "" {
			t.Errorf("no source line: %v", p)
		}
	}
}

func TestLoadOfNoFile(t *testing.T) {
	_, _, err := Load(filepath.Join(t.TempDir(), "site.yaml"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "-f") {
		t.Errorf("error %v", err)
	}
	if _, _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("error of a folder: %v", err)
	}
	site := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.MkdirAll(filepath.Join(filepath.Dir(site), "site.d", "x.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(site); err == nil || !strings.Contains(err.Error(), "only files belong into site.d") {
		t.Errorf("error of a folder in site.d: %v", err)
	}
}

func TestFileOfTenMegabytes(t *testing.T) {
	path := write(t, "site.yaml", minimal+strings.Repeat("# padding\n", 1<<20))
	site, problems, err := Load(path)
	if err != nil || site != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "over the limit of 1048576 bytes") {
		t.Errorf("Load: %v, %v, %v", site, problems, err)
	}
}

func TestNotUTF8(t *testing.T) {
	_, problems := Parse(map[string][]byte{"site.yaml": []byte("version: 1\nsite: \xfcber\n")}, "site.yaml")
	if len(problems) != 1 || problems[0].Pos != (Pos{"site.yaml", 2, 7}) || !strings.Contains(problems[0].Message, "UTF-8") {
		t.Errorf("problems: %v", problems)
	}
}

func TestByteOrderMarkIsNoFault(t *testing.T) {
	parse(t, "\ufeff"+minimal)
	parse(t, strings.ReplaceAll(minimal, "\n", "\r\n"))
}

// An alias bomb of ten levels with ten aliases each has ten billion values.
func TestAliasBomb(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("version: 1\na0: &a0 [x]\n")
	for i := byte('1'); i <= '9'; i++ {
		bomb.WriteString("a" + string(i) + ": &a" + string(i) + " [" + strings.Repeat("*a"+string(i-1)+", ", 10) + "]\n")
	}
	_, problems := Parse(map[string][]byte{"site.yaml": []byte(bomb.String())}, "site.yaml")
	if !strings.Contains(problems.Error(), "with its aliases written out") {
		t.Errorf("problems:\n%.2000s", problems)
	}
}

func TestDeepNesting(t *testing.T) {
	_, problems := Parse(map[string][]byte{"site.yaml": []byte("version: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000))}, "site.yaml")
	if !strings.Contains(problems.Error(), "50 levels") {
		t.Errorf("problems:\n%.2000s", problems)
	}
}
