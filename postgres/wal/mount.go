package wal

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mount is where the archive's dataset must be mounted: an unmounted one looks
// like an empty directory of the root disk (pitfall 56). The zero Mount is not
// checked.
type Mount struct {
	Dataset    string // as /proc/self/mountinfo names the source, such as zp1/zpdata02
	Mountpoint string

	Kstat string // where the kernel tells of its pools; "" is where OpenZFS on Linux does
}

// kstat is where the kernel module of OpenZFS on Linux tells of its pools.
const kstat = "/proc/spl/kstat/zfs"

// served refuses where the pool is suspended: its devices are gone, and who only
// looks for a file of it waits in the kernel until somebody brings them back and
// runs zpool clear (zpoolprops(7), failmode). It must come before anything else.
// What the kernel does not tell of, as with zfs-fuse, is taken for sound.
func (m Mount) served() error {
	if m == (Mount{}) {
		return nil
	}
	pool, _, _ := strings.Cut(m.Dataset, "/")
	state, err := os.ReadFile(filepath.Join(cmp.Or(m.Kstat, kstat), pool, "state"))
	if err == nil && strings.TrimSpace(string(state)) == "SUSPENDED" {
		return fmt.Errorf("the pool %s is SUSPENDED: bring its devices back, then run: zpool clear %s", pool, pool)
	}
	return nil
}

// check refuses unless exactly this dataset is mounted there and dir is in it.
func (m Mount) check(dir string) error {
	if m == (Mount{}) {
		return nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer f.Close()
	source, err := mountedAt(f, filepath.Clean(m.Mountpoint))
	switch {
	case err != nil:
		return err
	case source == "":
		return fmt.Errorf("the dataset %s is not mounted at %s: zfs mount %s", m.Dataset, m.Mountpoint, m.Dataset)
	case source != m.Dataset:
		return fmt.Errorf("%s is mounted at %s, not the dataset %s", source, m.Mountpoint, m.Dataset)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if below, err := filepath.Rel(m.Mountpoint, real); err != nil || !filepath.IsLocal(below) {
		return fmt.Errorf("the archive %s is not on the dataset %s, which is mounted at %s", dir, m.Dataset, m.Mountpoint)
	}
	return nil
}

// mountedAt is the source of the topmost mount at a mountpoint, "" for none.
// The format is that of proc_pid_mountinfo(5): the mountpoint is the fifth
// field, the source the second after the dash, each with octal escapes.
func mountedAt(mountinfo io.Reader, mountpoint string) (string, error) {
	source := ""
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		mount, fs, ok := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Split(mount, " "), strings.Split(fs, " ")
		if ok && len(fields) > 4 && len(rest) > 1 && unescape(fields[4]) == mountpoint {
			source = unescape(rest[1])
		}
	}
	return source, lines.Err()
}

// unescape undoes the octal escapes of blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
