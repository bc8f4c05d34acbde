package main

import (
	"testing"

	"github.com/zreconcile/zreconcile/spec"
)

func TestInvalidErrorNamesTheFileAtFault(t *testing.T) {
	in := func(files ...string) (problems spec.Problems) {
		for _, file := range files {
			problems = append(problems, spec.Problem{Pos: spec.Pos{File: file}, Message: "wrong"})
		}
		return problems
	}
	for want, problems := range map[string]spec.Problems{
		"site.d/a.yaml is invalid: 2 errors, nothing was done": in("site.d/a.yaml", "site.d/a.yaml"),
		"site.yaml is invalid: 2 errors, nothing was done":     in("site.d/a.yaml", "site.d/b.yaml"),
		"site.yaml is invalid: 1 error, nothing was done":      in(""),
	} {
		if got := (&invalidError{"site.yaml", problems}).Error(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
