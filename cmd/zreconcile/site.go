package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// fileVariable names the site file where -f does not.
const fileVariable = "ZRECONCILE_FILE"

// defaultFiles are tried in order where nothing names the site file.
var defaultFiles = []string{"site.yaml", "/etc/zreconcile/site.yaml"}

// errNoSite is that of a run that names no site file, where there is none at the
// usual places either.
var errNoSite = errors.New("no site file")

// siteFile is the path of the site file: -f, the environment, or the first
// default file that is there.
func (p *program) siteFile() (string, error) {
	if p.file != "" {
		return p.file, nil
	}
	if path := p.getenv(fileVariable); path != "" {
		return path, nil
	}
	for _, path := range defaultFiles {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: neither -f nor $%s names one, and there is none at %s",
		errNoSite, fileVariable, strings.Join(defaultFiles, " or "))
}

// invalidError ends a run whose site file does not hold; its problems have
// been shown.
type invalidError struct {
	path     string
	problems spec.Problems
}

func (e *invalidError) Error() string {
	found := e.problems.Errors()
	path := e.path
	if len(found) > 0 && found[0].Pos.File != "" && !slices.ContainsFunc(found, func(p spec.Problem) bool { return p.Pos.File != found[0].Pos.File }) {
		path = found[0].Pos.File // perhaps one of site.d
	}
	return path + " is invalid: " + plural(len(found), "error") + ", nothing was done"
}

// readSite reads the site file; the error is an *invalidError where it does not
// hold. The problems, warnings included, are for the caller to show.
func readSite(path string) (*spec.Site, spec.Problems, error) {
	site, problems, err := spec.Load(path)
	if err == nil && len(problems.Errors()) > 0 {
		err = &invalidError{path, problems}
	}
	if err != nil {
		return nil, problems, err
	}
	return site, problems, nil
}

// openSite finds the site file and reads it. Its problems go to stderr.
func (p *program) openSite() (*spec.Site, error) {
	path, err := p.siteFile()
	if err != nil {
		return nil, err
	}
	site, problems, err := readSite(path)
	p.showProblems(problems)
	return site, err
}

func (p *program) showProblems(problems spec.Problems) {
	if p.logFormat != "json" && !p.stderr.journal {
		spec.Report(p.stderr, problems, p.stderr.colour)
		return
	}
	for _, problem := range problems {
		level := slog.LevelError
		if problem.Warning {
			level = slog.LevelWarn
		}
		p.log.Log(context.Background(), level, problem.Message,
			"file", problem.Pos.File, "line", problem.Pos.Line, "column", problem.Pos.Col, "hint", problem.Hint)
	}
}

// problemsJSON is what -o json shows of a site file.
type problemsJSON struct {
	Format   int           `json:"format"`
	File     string        `json:"file,omitempty"`
	Valid    bool          `json:"valid"`
	Problems []problemJSON `json:"problems"`
	Errors   []string      `json:"errors,omitempty"` // why the file could not be read
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning"`
}

func newProblemsJSON(path string, problems spec.Problems) problemsJSON {
	out := problemsJSON{Format: reconcile.Format, File: path, Valid: len(problems.Errors()) == 0, Problems: []problemJSON{}}
	for _, p := range problems {
		out.Problems = append(out.Problems, problemJSON{
			File: p.Pos.File, Line: p.Pos.Line, Column: p.Pos.Col,
			Message: p.Message, Hint: p.Hint, Warning: p.Warning,
		})
	}
	return out
}
