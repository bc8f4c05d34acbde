package spec

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata" // the hosts of the tests may have none

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden reports anew")

// faults are the files of testdata, one fault each, with the reports beside
// them.
func faults(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in testdata: %v", err)
	}
	return files
}

func TestReports(t *testing.T) {
	for _, file := range faults(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			site, problems := Parse(map[string][]byte{"site.yaml": data}, "site.yaml")
			if len(problems) == 0 {
				t.Error("the fault is not found")
			}
			if (site == nil) != (len(problems.Errors()) > 0) {
				t.Errorf("site is %v with %d errors", site, len(problems.Errors()))
			}
			var report bytes.Buffer
			Report(&report, problems, false)
			if strings.Contains(report.String(), "hunter") {
				t.Errorf("the report shows the password:\n%s", &report)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, report.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), report.String()); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}
