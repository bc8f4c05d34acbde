package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/spec"
)

func newValidate(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the site file, all problems at once; touches nothing, needs no root",
		Long: `Checks the site file and site.d beside it against the schema and across keys,
and shows all problems at once, each with its place. Touches nothing.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runValidate(p) },
	}
}

func runValidate(p *program) error {
	path, err := p.siteFile()
	if err != nil {
		return p.fail(err, unreadable(path))
	}
	_, problems, err := spec.Load(path)
	if err != nil {
		return p.fail(err, unreadable(path))
	}
	status := exitDone
	if len(problems.Errors()) > 0 {
		status = exitInvalid
	}
	if p.json() {
		if err := writeJSON(p.stdout, newProblemsJSON(path, problems)); err != nil {
			return err
		}
		return report(status)
	}
	spec.Report(p.stdout, problems, p.stdout.colour)
	if status == exitDone {
		fmt.Fprintf(p.stdout, "%s: valid%s\n", printable(path), warnings(len(problems)))
	}
	return report(status)
}

// unreadable is the JSON about a file that could not be read.
func unreadable(path string) func(message string) any {
	return func(message string) any {
		out := newProblemsJSON(path, nil)
		out.Valid, out.Errors = false, []string{message}
		return out
	}
}

func warnings(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + plural(n, "warning")
}
