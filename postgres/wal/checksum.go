package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// checksumSuffix names the small file that Push keeps beside each archived
// file. A file of its own survives a copy of the archive by any tool, which an
// extended attribute does not, and PostgreSQL never asks for the name. It holds
// CRC-32C and length, in decimal text: "e3069283 16777216\n".
const checksumSuffix = ".crc32c"

// checksum is what is kept of a pushed file.
type checksum struct {
	sum  uint32
	size int64
}

func (c checksum) String() string { return fmt.Sprintf("%08x %d\n", c.sum, c.size) }

// readChecksum reads the checksum kept for an archived file. None, and one that
// a crash cut off, is no checksum and no error: the file then has to prove
// itself in other ways.
func readChecksum(dir, name string) (c checksum, known bool, err error) {
	b, err := readRegular(filepath.Join(dir, name+checksumSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	sum, size, _ := strings.Cut(strings.TrimSuffix(string(b), "\n"), " ")
	n, err1 := strconv.ParseUint(sum, 16, 32)
	c.size, err = strconv.ParseInt(size, 10, 64)
	c.sum = uint32(n)
	return c, err == nil && err1 == nil && c.String() == string(b), nil
}

// checkSum compares a copy with what Push kept of the file.
func (p place) checkSum(sum checksum) error {
	kept, known, err := readChecksum(p.dir, p.name)
	if err == nil && known && kept != sum {
		err = fmt.Errorf("%s is damaged: it has %d bytes with the CRC-32C %08x, and was archived with %d and %08x",
			p.path(), sum.size, sum.sum, kept.size, kept.sum)
	}
	return err
}

// writeChecksum keeps the checksum of an archived file, durable once the
// directory is synced.
func writeChecksum(dir, name string, c checksum) error {
	if old, known, err := readChecksum(dir, name); err == nil && known && old == c {
		return nil
	}
	tmp, err := createTemp(dir, name+checksumSuffix)
	if err != nil {
		return err
	}
	defer tmp.discard()
	if _, err := tmp.WriteString(c.String()); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return tmp.become(os.Rename, filepath.Join(dir, name+checksumSuffix))
}

// Remove removes a file of the archive and the checksum kept of it. History
// files are never removed (pitfall 22).
func Remove(dir, name string) error {
	if name != filepath.Base(name) || Classify(name) == KindHistory {
		return fmt.Errorf("%q is not a file of the archive that may be removed", name)
	}
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(filepath.Join(dir, name+checksumSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
