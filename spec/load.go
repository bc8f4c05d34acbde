package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/schema"
)

// fragmentDir is the folder beside a site file whose files hold more restores.
const fragmentDir = "site.d"

// Load reads the site file at path and the files of site.d beside it. The Site
// is nil when one of the problems is an error; all of them are found at once.
// The error is for a file that cannot be read.
func Load(path string) (*Site, Problems, error) {
	files, err := readFiles(path)
	if err != nil {
		return nil, nil, err
	}
	site, problems := Parse(files, path)
	return site, problems, nil
}

// readFiles reads the site file and those of site.d beside it.
func readFiles(path string) (map[string][]byte, error) {
	paths, err := fragments(path)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(paths)+1)
	for _, p := range append(paths, path) {
		if files[p], err = readBounded(p); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// fragments lists the files of site.d beside the site file, sorted. Hidden
// files, such as an editor's, are none.
func fragments(path string) ([]string, error) {
	dir := filepath.Join(filepath.Dir(path), fragmentDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the folder of more restores: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		name := entry.Name()
		if ext := filepath.Ext(name); (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(name, ".") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// readBounded reads a file up to one byte over the limit, which is enough for
// Parse to refuse it: a wrong path must not fill the memory.
func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the site file: %w: name another one with -f", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the site file: %w: make it readable for this user, or name another one with -f", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		if filepath.Base(filepath.Dir(path)) == fragmentDir {
			return nil, fmt.Errorf("read the site file: %s is a folder: only files belong into %s", path, fragmentDir)
		}
		return nil, fmt.Errorf("read the site file: %s is a folder: name the file in it with -f", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the site file %s: %w", path, err)
	}
	return data, nil
}

// RestoresBeside are the restores of the files of site.d beside a site file,
// which need not be there: by name, the file that each stands in.
func RestoresBeside(path string) (map[string]string, error) {
	paths, err := fragments(path)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, p := range paths {
		data, err := readBounded(p)
		if err != nil {
			return nil, err
		}
		d := &draft{site: &Site{}}
		for _, n := range d.read(p, data, schema.ValidateFragment).get("restores").list() {
			if name := n.get("name").textOr(""); name != "" {
				found[name] = p
			}
		}
	}
	return found, nil
}

// ParseAt is Load for a site file that is not at its path yet; the files of
// site.d beside it are read.
func ParseAt(path string, data []byte) (*Site, Problems, error) {
	paths, err := fragments(path)
	if err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{path: data}
	for _, p := range paths {
		if files[p], err = readBounded(p); err != nil {
			return nil, nil, err
		}
	}
	site, problems := Parse(files, path)
	return site, problems, nil
}
