package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// damagedSuffix ends the name of an archived file that was set aside.
const damagedSuffix = ".damaged"

// SetAside renames a file of the archive that is not what its name says, so that
// a sound copy can take its place; the content stays, under a name that no
// server asks for, and so does its checksum. It returns the new path, "" where
// there is no such file. Earlier ones that were set aside are kept, too.
func SetAside(dir, name string) (aside string, err error) {
	if name != filepath.Base(name) || Classify(name) != KindSegment {
		return "", fmt.Errorf("%q is not the name of a segment", name)
	}
	from := filepath.Join(dir, name)
	// Only one run at a time sets files of a site aside. A directory, too, may lie
	// there, which can't have a second name as renameNew may need.
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s%s-%d", from, damagedSuffix, n)
		if _, err = os.Lstat(aside); err != nil {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(from, aside)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	err = os.Rename(from+checksumSuffix, aside+checksumSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return aside, err
	}
	return aside, syncDir(dir)
}
