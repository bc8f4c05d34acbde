package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
)

// watchedSite is the site file of a watch: read again and again, and followed
// to whatever else its content depends on.
type watchedSite struct {
	path string
	read func(path string) (*spec.Site, spec.Problems, error)
	show func(spec.Problems)
	log  *slog.Logger

	last    *spec.Site    // the last good one
	shown   spec.Problems // what was said about the file, which is not said again
	said    string        // the same of the error
	renewed bool          // other problems were shown since
}

// reload reads the file. What is wrong with it is reported here, once: it may
// stay broken for long, and be read often.
func (w *watchedSite) reload() (*spec.Site, error) {
	site, problems, err := w.read(w.path)
	if !slices.Equal(problems, w.shown) {
		w.show(problems)
		w.shown, w.renewed = problems, true // the count in the error may be the same
	}
	if err == nil {
		if w.said != "" {
			w.log.Info("the site file is good again, and in force", "file", w.path)
		}
		w.last, w.said, w.renewed = site, "", false
		return site, nil
	}
	if w.last != nil && (w.renewed || w.said != err.Error()) {
		w.said, w.renewed = err.Error(), false
		w.log.Error("the site file is broken; the last good one stays in force", "error", err)
	}
	return nil, err
}

// paths are the files and folders whose change may change the site: the file
// and the files that it names, every link on the way to them, the folders of
// all these, which see a rename or a swapped link, and site.d.
func (w *watchedSite) paths() []string {
	files := []string{w.path, w.fragments()}
	if w.last != nil {
		files = append(files, w.last.Files...)
		if s := w.last.Standby; s != nil {
			for _, path := range []string{s.Primary.PasswordFrom.File, s.Primary.PasswordFrom.Passfile} {
				if path != "" {
					files = append(files, path)
				}
			}
		}
	}
	var paths []string
	for _, file := range files {
		for _, path := range linksTo(file) {
			paths = append(paths, path, filepath.Dir(path))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// concerns is true of a path whose change may change the site. In the folders
// of paths there are files of others.
func (w *watchedSite) concerns(path string) bool {
	dir, name := filepath.Split(path)
	if ext := filepath.Ext(name); (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(name, ".") &&
		slices.Contains(linksTo(w.fragments()), filepath.Clean(dir)) {
		return true
	}
	return slices.Contains(w.paths(), path)
}

// fragments is the folder of more restores.
func (w *watchedSite) fragments() string { return filepath.Join(filepath.Dir(w.path), "site.d") }

// mostLinks is where the kernel gives up as well (path_resolution(7)).
const mostLinks = 40

// linksTo is a path, each link that it goes through, and where they all end.
func linksTo(path string) []string {
	found := []string{path}
	for range mostLinks {
		link, target := firstLink(path)
		if link == "" {
			return append(found, path)
		}
		found = append(found, link)
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		path = filepath.Join(target, strings.TrimPrefix(path, link))
	}
	return found
}

// firstLink is the shortest part of a path that is a symbolic link, and what
// it says; "" where there is none.
func firstLink(path string) (link, target string) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != filepath.Separator {
			continue
		}
		if target, err := os.Readlink(path[:i]); err == nil {
			return path[:i], target
		}
	}
	return "", ""
}
