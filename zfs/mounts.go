package zfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mount is one line of /proc/self/mountinfo (proc(5)).
type Mount struct {
	Source string // the dataset, for ZFS
	Target string
	FSType string // "zfs", or "fuse.zfs" for zfs-fuse
	Device string // major:minor
}

// Mounts lists what is mounted, in the order of mounting: a later one hides an earlier one of the same target.
func Mounts() ([]Mount, error) {
	return mountsOf("/proc/self/mountinfo")
}

func mountsOf(path string) ([]Mount, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what is mounted: %w", err)
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /target options optional... - type source super-options
		head, tail, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(head), strings.Fields(tail)
		if !ok || len(before) < 6 || len(after) < 1 {
			return nil, fmt.Errorf("read what is mounted: line %q has not the form of proc(5)", lines.Text())
		}
		m := Mount{Target: unescape(before[4]), FSType: after[0], Device: before[2]}
		if len(after) > 1 {
			m.Source = unescape(after[1])
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

// unescape undoes the octal escapes of blanks, tabs, newlines and backslashes.
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

// IsZFS reports whether the mount is one of a ZFS dataset.
func (m Mount) IsZFS() bool { return m.FSType == "zfs" || m.FSType == "fuse.zfs" }

// MountedAt reports whether the dataset is what is seen at dir: mounted there, and not hidden by a later
// mount at the same place.
func MountedAt(mounts []Mount, dataset, dir string) bool {
	dir = filepath.Clean(dir)
	seen := false
	for _, m := range mounts {
		if m.Target == dir {
			seen = m.IsZFS() && m.Source == dataset
		}
	}
	return seen
}

// Holding returns the mount that holds an absolute path, which need not exist: the last one among those
// with the longest target. Symbolic links are the caller's to resolve.
func Holding(mounts []Mount, path string) (Mount, bool) {
	path = filepath.Clean(path)
	best, found := Mount{}, false
	for _, m := range mounts {
		if Below(path, m.Target) && len(m.Target) >= len(best.Target) {
			best, found = m, true
		}
	}
	return best, found
}

// Below reports whether path is dir or lies in it.
func Below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
