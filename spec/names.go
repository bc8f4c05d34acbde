package spec

import (
	"fmt"
	"regexp"
	"strings"
)

// maxDatasetName is the longest name that ZFS takes for a dataset or a
// snapshot, in bytes (zfs(8); ZFS_MAX_DATASET_NAME_LEN without its NUL).
const maxDatasetName = 255

var componentForm = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// checkComponent tells whether ZFS takes a name between two slashes. ZFS would
// take spaces as well; nobody who ever typed such a name wants one.
func checkComponent(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a part of the name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("%q is no name for ZFS", name)
	case !componentForm.MatchString(name):
		return fmt.Errorf("%q holds a character that is none of letters, digits and _ - . :", name)
	}
	return nil
}

// checkDatasetName tells whether a name relative to a pool is one for ZFS.
func checkDatasetName(pool, name string) (hint string, err error) {
	switch {
	case pool != "" && (name == pool || strings.HasPrefix(name, pool+"/")):
		return fmt.Sprintf("leave out %q", pool+"/"),
			fmt.Errorf("dataset names are relative to the pool, and %q begins with the pool's own name", name)
	case strings.HasPrefix(name, "/"):
		return "leave out the leading /", fmt.Errorf("the dataset name %q is a path: names begin with no /", name)
	case strings.Contains(name, "@"):
		return "name the part before @", fmt.Errorf("the dataset name %q is a snapshot's", name)
	case len(pool)+len("/")+len(name) > maxDatasetName:
		return "", fmt.Errorf("the dataset name is longer than the %d bytes that ZFS takes", maxDatasetName)
	}
	for _, component := range strings.Split(name, "/") {
		if err := checkComponent(component); err != nil {
			return "", fmt.Errorf("the dataset name %q is not valid: %w", name, err)
		}
	}
	return "", nil
}

var poolForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*$`)

// checkPoolName tells whether ZFS takes a name for a pool (zpool-create(8)).
func checkPoolName(name string) error {
	if !poolForm.MatchString(name) {
		return fmt.Errorf("the pool name %q is not valid: it begins with a letter and holds letters, digits and _ - . : only", name)
	}
	if name == "log" {
		return fmt.Errorf("the pool name %q is reserved by ZFS", name)
	}
	for _, reserved := range []string{"mirror", "raidz", "draid", "spare"} {
		if strings.HasPrefix(name, reserved) {
			return fmt.Errorf("the pool name %q is reserved by ZFS: it begins with %s", name, reserved)
		}
	}
	return nil
}

// within tells whether path is dir or below it; both are clean.
func within(path, dir string) bool {
	return path == dir || below(path, dir)
}

// below tells whether path is inside dir, of files or of datasets.
func below(path, dir string) bool {
	return path != dir && strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
