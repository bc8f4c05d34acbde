package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/schema"
	"github.com/zreconcile/zreconcile/spec"
)

const top = "../.."

// pages are the README and all of docs, by their paths from the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	add := func(path string) {
		text, err := os.ReadFile(filepath.Join(top, path))
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	add("README.md")
	err := fs.WalkDir(os.DirFS(top), "docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// fenced are the blocks of a page: their languages and texts.
var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// spans are the pieces of code within a line of prose.
var spans = regexp.MustCompile("`([^`\n]+)`")

// codeLines are the lines of a page that people may type.
func codeLines(page string) []string {
	var lines []string
	for _, block := range fenced.FindAllStringSubmatch(page, -1) {
		lines = append(lines, strings.Split(block[2], "\n")...)
	}
	prose := fenced.ReplaceAllString(page, "")
	for _, line := range strings.Split(prose, "\n") {
		if indented, found := strings.CutPrefix(line, "    "); found {
			lines = append(lines, indented)
		}
	}
	for _, span := range spans.FindAllStringSubmatch(prose, -1) {
		lines = append(lines, span[1])
	}
	return lines
}

// callOf is the beginning of a line that calls the program.
var callOf = regexp.MustCompile(`^(?:[$#] )?(?:sudo )?zreconcile (.*)$`)

// shellWords are the words of a call, to its first comment, pipe, file or list.
var shellWords = regexp.MustCompile(`'[^']*'|"[^"]*"|[;|&#>].*|[^\s'";|&#>]+`)

// arguments of a call of the program; false where a line is none.
func arguments(line string) ([]string, bool) {
	m := callOf.FindStringSubmatch(line)
	if m == nil {
		return nil, false
	}
	var words []string
	for _, w := range shellWords.FindAllString(m[1], -1) {
		if strings.ContainsAny(w[:1], ";|&#>") {
			break
		}
		words = append(words, strings.Trim(w, `'"`))
	}
	return words, true
}

// What the pages tell people to type is a command of the program, with flags
// and as many arguments as it has.
func TestDocsCallWhatExists(t *testing.T) {
	for path, page := range pages(t) {
		calls := 0
		for _, line := range codeLines(page) {
			args, found := arguments(strings.TrimSpace(line))
			if !found || slices.Contains(args, "COMMAND") || strings.HasSuffix(line, "[flags]") {
				continue
			}
			calls++
			if err := parses(args); err != nil {
				t.Errorf("%s: %s\n%v", path, line, err)
			}
		}
		if calls == 0 && strings.HasPrefix(path, "docs/howto/") {
			t.Errorf("%s calls the program nowhere", path)
		}
	}
}

func parses(args []string) error {
	root := newRoot(&program{})
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd == root {
		return cobra.NoArgs(cmd, cmd.Flags().Args())
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

func TestArgumentsOfALine(t *testing.T) {
	for line, want := range map[string]string{
		"sudo zreconcile restore a --time '2026-01-02 03:04:05+00' # at night": "restore|a|--time|2026-01-02 03:04:05+00",
		"$ zreconcile status --check; echo $?":                                 "status|--check",
		"zreconcile status -o html > a.html":                                   "status|-o|html",
		"zreconcile plan -o json | jq .":                                       "plan|-o|json",
	} {
		if got, _ := arguments(line); strings.Join(got, "|") != want {
			t.Errorf("%s: %q", line, got)
		}
	}
	for _, args := range [][]string{{"aply"}, {"apply", "--force"}, {"restore"}, {"restore", "a", "b"}, {"apply", "x"}} {
		if parses(args) == nil {
			t.Errorf("%q passes", args)
		}
	}
}

// The blocks of YAML are what a site file may hold: whole files as they stand,
// pieces of one in place of the same keys of a whole one.
func TestDocsShowValidYAML(t *testing.T) {
	for path, page := range pages(t) {
		if path == "README.md" { // its blocks make up one file: TestReadmeSiteIsValid
			continue
		}
		for _, block := range fenced.FindAllStringSubmatch(page, -1) {
			if block[1] != "yaml" {
				continue
			}
			if strings.HasPrefix(block[2], "version:") {
				if _, problems := spec.Parse(map[string][]byte{"site.yaml": []byte(block[2])}, "site.yaml"); len(problems) > 0 {
					t.Errorf("%s:\n%s\n%v", path, block[2], problems)
				}
				continue
			}
			var piece map[string]any
			if err := yaml.Unmarshal([]byte(block[2]), &piece); err != nil {
				t.Errorf("%s: %v\n%s", path, err, block[2])
				continue
			}
			whole := map[string]any{"version": int64(1), "site": "s", "pool": map[string]any{"name": "tank"},
				"standby": map[string]any{"dataDir": "/tank/pg/data", "port": int64(5432), "primary": map[string]any{"host": "db", "user": "r"}}}
			overlay(whole, piece)
			for _, p := range schema.Validate(whole) {
				t.Errorf("%s: %s: %s\n%s", path, p.Pointer, p.Message, block[2])
			}
		}
	}
}

// overlay puts a piece of a document over a whole one; the schema wants int64.
func overlay(whole, piece map[string]any) {
	for key, value := range piece {
		below, isMap := whole[key].(map[string]any)
		over, areMaps := value.(map[string]any)
		if isMap && areMaps {
			overlay(below, over)
			continue
		}
		whole[key] = wide(value)
	}
}

func wide(value any) any {
	switch v := value.(type) {
	case int:
		return int64(v)
	case map[string]any:
		for key := range v {
			v[key] = wide(v[key])
		}
	case []any:
		for i := range v {
			v[i] = wide(v[i])
		}
	}
	return value
}

// link is one to a place of the repository or of the page.
var link = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)

// Links lead somewhere, and each page of docs can be come to.
func TestDocsLinks(t *testing.T) {
	texts, linked := pages(t), map[string]bool{"README.md": true}
	for path, page := range texts {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(path), m[1])
			linked[target] = true
			if _, err := os.Stat(filepath.Join(top, target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
	for path := range texts {
		if !linked[path] {
			t.Errorf("no page links to %s", path)
		}
	}
}
