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

// mountLine is a mount with its place in the tree.
type mountLine struct {
	Mount
	id, parent string
}

// Mounts lists what can be seen: a mount that a later one hides, on the same target or on one above it, is
// left out.
func Mounts() ([]Mount, error) {
	all, err := mountsOf("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return visible(all), nil
}

// mountsOf lists all mounts of a namespace, hidden ones too: those are busy all the same.
func mountsOf(path string) ([]mountLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what is mounted: %w", err)
	}
	defer f.Close()
	return parseMounts(f)
}

func parseMounts(r io.Reader) ([]mountLine, error) {
	var mounts []mountLine
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// 36 35 98:0 /root /target options optional... - type source super-options
		head, tail, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(head), strings.Fields(tail)
		if !ok || len(before) < 6 || len(after) < 1 {
			return nil, fmt.Errorf("read what is mounted: line %q has not the form of proc(5)", lines.Text())
		}
		m := mountLine{Mount{Target: unescape(before[4]), FSType: after[0], Device: before[2]}, before[0], before[1]}
		if len(after) > 1 {
			m.Source = unescape(after[1])
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

// visible walks to each target as the kernel does, and keeps the mounts that are arrived at.
func visible(all []mountLine) []Mount {
	children := map[string][]mountLine{}
	known := map[string]bool{}
	for _, m := range all {
		children[m.parent] = append(children[m.parent], m)
		known[m.id] = true
	}
	var seen []Mount
	for _, m := range all {
		for _, root := range all {
			if !known[root.parent] && Below(m.Target, root.Target) && arrive(children, root, m.Target).id == m.id {
				seen = append(seen, m.Mount)
				break
			}
		}
	}
	return seen
}

// arrive follows path from one mount to the next: of those upon the current one, the first on the way.
func arrive(children map[string][]mountLine, at mountLine, path string) mountLine {
	for {
		var next *mountLine
		for i, m := range children[at.id] {
			if m.id != at.id && Below(path, m.Target) && (next == nil || len(m.Target) < len(next.Target)) {
				next = &children[at.id][i]
			}
		}
		if next == nil {
			return at
		}
		at = *next
	}
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

// MountedAt reports whether the dataset is what is seen at dir: mounted there, not above it.
func MountedAt(mounts []Mount, dataset, dir string) bool {
	m, ok := Holding(mounts, dir)
	return ok && m.Target == filepath.Clean(dir) && m.IsZFS() && m.Source == dataset
}

// Holding returns the mount that holds an absolute path, which need not exist: of the mounts that Mounts
// lists, the one with the longest target. Symbolic links are the caller's to resolve.
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
