package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/spec"
)

// The folders and links must be watched as well: a rename over the file or a
// swapped link, of the file or of a folder above it, is seen there only.
func TestWatchedPaths(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	// As Kubernetes lays out a volume: site.yaml -> ..data/site.yaml, ..data -> v1.
	if err := os.MkdirAll(in("v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("v1", "site.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"..data": "v1", "site.yaml": "..data/site.yaml", "round": "round"} {
		if err := os.Symlink(target, in(link)); err != nil {
			t.Fatal(err)
		}
	}
	password := in("secret", "password")
	w := &watchedSite{path: in("site.yaml"), show: func(spec.Problems) {}, read: func(string) (*spec.Site, spec.Problems, error) {
		return &spec.Site{
			Files:   []string{in("site.yaml"), in("round")},
			Standby: &spec.Standby{Primary: spec.Primary{PasswordFrom: spec.PasswordFrom{File: password}}},
		}, nil, nil
	}}
	if _, err := w.reload(); err != nil {
		t.Fatal(err)
	}
	got := w.paths()
	for _, want := range []string{
		dir, in("site.yaml"), in("..data"), in("v1"), in("v1", "site.yaml"), in("site.d"),
		password, in("secret"), in("round"),
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not watched: %q", want, got)
		}
	}
}

// Others may work in the folders that are watched.
func TestConcerns(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	if err := os.Mkdir(in("more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("more", in("site.d")); err != nil {
		t.Fatal(err)
	}
	w := &watchedSite{path: in("site.yaml")}
	for path, want := range map[string]bool{
		in("site.yaml"): true, in("site.d"): true, dir: true, in("more"): true,
		in("site.d", "a.yaml"): true, in("more", "b.yml"): true, // by the link or by where it leads
		in("site.yaml~"): false, in(".site.yaml.swp"): false, in("other.yaml"): false, in("a.log"): false,
		in("site.d", ".a.yaml"): false, in("site.d", "a.yaml.new"): false, in("site.d", "below", "a.yaml"): false,
	} {
		if got := w.concerns(path); got != want {
			t.Errorf("%s: concerns us: %v", path, got)
		}
	}
}

// A file that stays broken is reported once, and what was watched stays so.
func TestBrokenFileIsReportedOnce(t *testing.T) {
	var log bytes.Buffer
	shown := 0
	broken := spec.Problems{{Message: "unknown key"}}
	w := &watchedSite{
		path: "site.yaml", show: func(spec.Problems) { shown++ }, log: slog.New(slog.NewTextHandler(&log, nil)),
		read: func(string) (*spec.Site, spec.Problems, error) { return &spec.Site{}, nil, nil },
	}
	if _, err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.read = func(path string) (*spec.Site, spec.Problems, error) { return nil, broken, &invalidError{path, broken} }
	for range 3 {
		if _, err := w.reload(); err == nil {
			t.Fatal("a broken file was taken")
		}
	}
	if shown != 1 || strings.Count(log.String(), "the last good one stays in force") != 1 || w.last == nil {
		t.Errorf("shown %d times, logged:\n%s", shown, &log)
	}
	w.read = func(string) (*spec.Site, spec.Problems, error) { return nil, nil, errors.New("no such file") }
	if _, err := w.reload(); err == nil || !strings.Contains(log.String(), "no such file") {
		t.Errorf("a missing file was not reported:\n%s", &log)
	}
	for range 2 {
		w.read = func(string) (*spec.Site, spec.Problems, error) { return &spec.Site{}, nil, nil }
		if _, err := w.reload(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(log.String(), "good again") != 1 {
		t.Errorf("not said once that the file is good again:\n%s", &log)
	}
}

// Another fault may leave the error's words as they were: 1 error.
func TestAnotherProblemIsSaidAnew(t *testing.T) {
	var log bytes.Buffer
	w := &watchedSite{path: "site.yaml", log: slog.New(slog.NewTextHandler(&log, nil)), show: func(spec.Problems) {}, last: &spec.Site{}}
	for _, message := range []string{"one", "one", "other"} {
		problems := spec.Problems{{Message: message}}
		w.read = func(path string) (*spec.Site, spec.Problems, error) {
			return nil, problems, &invalidError{path, problems}
		}
		if _, err := w.reload(); err == nil {
			t.Fatal("a broken file was taken")
		}
	}
	if n := strings.Count(log.String(), "stays in force"); n != 2 {
		t.Errorf("said %d times of two problems:\n%s", n, &log)
	}
}
