package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/spec"
)

// What the README tells people to write must hold: its blocks of YAML make up
// one site file.
func TestReadmeSiteIsValid(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var site strings.Builder
	for i, block := range strings.Split(string(readme), "```yaml\n") {
		if i == 0 {
			continue
		}
		text, _, ended := strings.Cut(block, "```\n")
		if !ended {
			t.Fatal("a block of YAML has no end")
		}
		site.WriteString(text)
	}
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte(site.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	_, problems, err := spec.Load(path)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v\n%v\n%s", err, problems, site.String())
	}
	if !strings.Contains(site.String(), "restores:") {
		t.Error("the README shows no restore")
	}
}

// Each command of the README is one of the program, and the other way round.
func TestReadmeNamesAllCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range newRoot(&program{}).Commands() {
		if !strings.Contains(string(readme), "`"+cmd.Name()+"`") && !strings.Contains(string(readme), "`"+cmd.Name()+" ") {
			t.Errorf("the README says nothing about %s", cmd.Name())
		}
	}
}
