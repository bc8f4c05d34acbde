package vm

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// elsewhere are tests of what is the same on every machine, and of programs that
// the virtual one has not.
var elsewhere = map[string]string{
	"TestPackage":              "builds packages, which needs Go; TestSystemd installs one for real",
	"TestAnsible":              "needs Ansible",
	"TestAnsibleExampleParses": "needs Ansible",
	"TestOtherMajors":          "needs the servers of other versions",
	"TestWatchServesMetrics":   "needs promtool",
}

// TestElsewhereExists: a name that no test has any more would leave out nothing,
// and the reason beside it would mislead.
func TestElsewhereExists(t *testing.T) {
	exists := map[string]bool{}
	for _, dir := range []string{"..", "../../zfs"} { // where the shares are from
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s holds no tests (%v)", dir, err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					exists[f.Name.Name] = true
				}
			}
		}
	}
	for name := range elsewhere {
		if !exists[name] {
			t.Errorf("%s is to be left out in the machine, and there is no such test", name)
		}
	}
}
