package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
	"github.com/zreconcile/zreconcile/spec"
)

// The files that the tests and the demo work with are good ones: a refusal
// that a test waits for must not come from a slip in its spec.
func TestSpecsAreValid(t *testing.T) {
	for _, kind := range primary.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p := &primary.Primary{Kind: kind, Port: 5432, User: "replicator", Password: `a "b" 'c'`}
			if kind == primary.Odd {
				p.Tablespace = "/tmp/zrp1/ts"
			}
			s := newSite(t, p)
			s.Restores = s.restoreTo("before-drop", `time: "2026-11-23 10:00:00.123456+00"`)
			s.Verify = drillWith("SELECT 1", "1")
			s.write(t)
			isValid(t, s.File())
		})
	}
	t.Run("demo", func(t *testing.T) {
		demo, err := os.ReadFile("../examples/demo/site.yaml.in")
		must(t, err)
		filled := strings.NewReplacer("@STATE@", "/var/tmp/d", "@STANDBY_PORT@", "25433", "@PRIMARY_PORT@", "25432").Replace(string(demo))
		path := filepath.Join(t.TempDir(), "site.yaml")
		must(t, os.WriteFile(path, []byte(filled), 0o600))
		isValid(t, path)
	})
}

func isValid(t *testing.T, path string) {
	t.Helper()
	_, problems, err := spec.Load(path)
	must(t, err)
	for _, p := range problems.Errors() {
		t.Errorf("%+v", p)
	}
}
