package version

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestFeatureIn(t *testing.T) {
	open, closed := Feature{Since: 14}, Feature{Since: 12, Until: 15}
	for _, test := range []struct {
		feature Feature
		major   int
		want    bool
	}{
		{open, 0, false}, {open, 13, false}, {open, 14, true}, {open, 15, true}, {open, Newest + 1, true},
		{closed, 0, false}, {closed, 11, false}, {closed, 12, true}, {closed, 15, true}, {closed, 16, false},
	} {
		if got := test.feature.In(test.major); got != test.want {
			t.Errorf("%+v in %d: %v", test.feature, test.major, got)
		}
	}
}

func TestOfWALPage(t *testing.T) {
	known := map[int]bool{}
	for magic := range walPageMagics {
		known[OfWALPage(magic)] = true
	}
	for major := Oldest; major <= Newest; major++ {
		if !known[major] {
			t.Errorf("the magic number of PostgreSQL %d is missing", major)
		}
	}
	if len(known) != Newest-Oldest+1 || OfWALPage(0xD0FF) != 0 {
		t.Errorf("%v, and an unknown number is of %d", known, OfWALPage(0xD0FF))
	}
}

// The table is read from its source, so that a line that is added is tested.
func TestTheTableIsCompleteAndInUse(t *testing.T) {
	table := featuresOf(t, "version.go")
	if len(table) < 10 {
		t.Fatalf("only %d features were found", len(table))
	}
	asked := map[string]bool{}
	eachSource(t, func(_ string, file *ast.File, _ *token.FileSet) {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "In" {
				if feature, ok := s.X.(*ast.SelectorExpr); ok {
					asked[feature.Sel.Name] = true
				}
			}
			return true
		})
	})
	for name, fields := range table {
		since, err := strconv.Atoi(fields["Since"])
		if err != nil || since < Oldest || since > Newest {
			t.Errorf("%s is since %q", name, fields["Since"])
		}
		if until, given := fields["Until"]; given {
			if n, err := strconv.Atoi(until); err != nil || n < since || n >= Newest {
				t.Errorf("%s is until %q", name, until)
			}
		} else if since == Oldest {
			t.Errorf("%s is in all versions: that is no difference", name)
		}
		if fields["What"] == "" || !regexp.MustCompile(`release notes \d\d|\.[chy]\b|^"\\"`).MatchString(fields["Source"]) {
			t.Errorf("%s has no source: %q", name, fields)
		}
		if !asked[name] {
			t.Errorf("nobody asks for %s", name)
		}
	}
}

// featuresOf reads the variables of type Feature: name -> field -> source text.
func featuresOf(t *testing.T, path string) map[string]map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		value, ok := spec.Values[0].(*ast.CompositeLit)
		if name, isName := typeName(value); !ok || !isName || name != "Feature" {
			return true
		}
		fields := map[string]string{}
		for _, e := range value.Elts {
			pair := e.(*ast.KeyValueExpr)
			fields[pair.Key.(*ast.Ident).Name] = pair.Value.(*ast.BasicLit).Value
		}
		table[spec.Names[0].Name] = fields
		return true
	})
	return table
}

func typeName(c *ast.CompositeLit) (string, bool) {
	if c == nil {
		return "", false
	}
	name, ok := c.Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return name.Name, true
}

// A comparison of a major version with a number stands in the table alone.
func TestNobodyElseComparesVersions(t *testing.T) {
	files := 0
	eachSource(t, func(path string, file *ast.File, set *token.FileSet) {
		files++
		for _, pos := range comparisons(file) {
			t.Errorf("%s:%d compares a version of PostgreSQL with a number: name the difference in postgres/version, and ask for it there", path, set.Position(pos).Line)
		}
	})
	if files < 100 {
		t.Errorf("only %d files were looked at", files)
	}
}

func TestComparisonsAreFound(t *testing.T) {
	for code, want := range map[string]int{
		"info.Major >= 15":                         1,
		"14 > major":                               1,
		"serverMajor(conn) == 12":                  1,
		"status.ServerVersionNum < 150002":         1,
		"c.PGVersion() != 17":                      1,
		"info.Major/1 > 12":                        1,
		"func() { switch major { case 12, 13: } }": 1,
		`"select 1 where current_setting('server_version_num')::int >= 150000"`: 1,
		"major != info.Major":              0,
		"major == 0":                       0,
		"file.Version != 1":                0,
		"version.ArchiveLibrary.In(major)": 0,
		`"select current_setting('server_version_num')::int"`: 0,
		"len(major) > 12": 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nvar _ = "+code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(comparisons(file)); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

var (
	speaksOfVersion = regexp.MustCompile(`(?i)major|version`)
	comparedInSQL   = regexp.MustCompile(`server_version(_num)?'?\)?(::\w+)?\s*([<>=]|!=|between)`)
)

// comparisons are the places where something that is called a version is held
// against a number that could be one.
func comparisons(file *ast.File) (found []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			switch n.Op {
			case token.LSS, token.LEQ, token.GTR, token.GEQ, token.EQL, token.NEQ:
				if versionNumber(n.X) && namesVersion(n.Y) || versionNumber(n.Y) && namesVersion(n.X) {
					found = append(found, n.Pos())
				}
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && namesVersion(n.Tag) && anyCase(n.Body, versionNumber) {
				found = append(found, n.Pos())
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && comparedInSQL.MatchString(n.Value) {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

// versionNumber is a number that could be a version of a server: 9 to 99, or
// such as 150002.
func versionNumber(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.INT {
		return false
	}
	n, err := strconv.Atoi(strings.ReplaceAll(lit.Value, "_", ""))
	return err == nil && (n >= 9 && n <= 99 || n >= 90000 && n <= 999999)
}

func namesVersion(e ast.Expr) bool {
	named := false
	ast.Inspect(e, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "len" {
				return false
			}
		}
		if id, ok := n.(*ast.Ident); ok && speaksOfVersion.MatchString(id.Name) {
			named = true
		}
		return true
	})
	return named
}

func anyCase(body *ast.BlockStmt, is func(ast.Expr) bool) bool {
	for _, s := range body.List {
		for _, e := range s.(*ast.CaseClause).List {
			if is(e) {
				return true
			}
		}
	}
	return false
}

// eachSource parses every Go file of the program, without the tests and the table.
func eachSource(t *testing.T, look func(path string, file *ast.File, set *token.FileSet)) {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") ||
			filepath.Base(filepath.Dir(path)) == "version" {
			return err
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err == nil {
			look(path, file, set)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
