package reconcile

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// layout is a pool's top-level vdevs.
type layout []vdev

// vdev is one: its class and type in words, and its places, sorted.
type vdev struct {
	label  string
	places []slot
}

// slot is a place of a vdev: the device that stands there, and beside it the one
// that replaces it or the spare in use for it.
type slot []string

func vdevLabel(kind, class string) string {
	switch {
	case class == "" && kind == "":
		return "stripe"
	case class == "":
		return kind
	case kind == "":
		return class
	}
	return class + " " + kind
}

// add puts a vdev in; the disks of a stripe are one vdev each to ZFS.
func (l *layout) add(kind, class string, places []slot) {
	if kind != "" {
		sorted := slices.SortedFunc(slices.Values(places), slices.Compare[slot])
		*l = append(*l, vdev{vdevLabel(kind, class), sorted})
		return
	}
	for _, p := range places {
		*l = append(*l, vdev{vdevLabel("", class), []slot{p}})
	}
}

func wantedLayout(pool spec.Pool) layout {
	var l layout
	for _, v := range pool.Vdevs {
		var places []slot
		for _, d := range v.Devices {
			places = append(places, slot{d})
		}
		l.add(v.Type, v.Class, places)
	}
	return l
}

func foundLayout(pool zfs.Pool) layout {
	var l layout
	for _, v := range pool.Vdevs {
		var places []slot
		for _, d := range v.Devices {
			if d.Beside && len(places) > 0 {
				places[len(places)-1] = append(places[len(places)-1], d.Path)
				continue
			}
			places = append(places, slot{d.Path})
		}
		l.add(v.Type, v.Class, places)
	}
	return l
}

// replacement is a device that stands where the file names another one.
type replacement struct{ wanted, found string }

// replacements compares layouts, whatever the order of vdevs and the names of
// their devices. They are the same but for replacements where a person seems to
// have replaced a disk of a mirror or raidz that failed: the vdev has others of the
// file's disks, the file's own is nowhere in the pool, and the new one nowhere in
// the file.
func replacements(wanted, found layout) (replaced []replacement, same bool) {
	if len(wanted) != len(found) {
		return nil, false
	}
	left := slices.Clone(found)
	for _, want := range wanted {
		best, most := -1, 0
		for i, have := range left {
			if n := len(want.places) - len(unpaired(want.places, have.places)); want.label == have.label && len(want.places) == len(have.places) && n > most {
				best, most = i, n
			}
		}
		if best < 0 {
			return nil, false
		}
		gone, came := unpaired(want.places, left[best].places), unpaired(left[best].places, want.places)
		for i := range gone {
			replaced = append(replaced, replacement{strings.Join(gone[i], " "), strings.Join(came[i], " ")})
			if found.has(gone[i]) || wanted.has(came[i]) {
				return nil, false
			}
		}
		left = slices.Delete(left, best, best+1)
	}
	return replaced, true
}

// unpaired are the places that have none of others to themselves.
func unpaired(places, others []slot) []slot {
	left := slices.Clone(others)
	var alone []slot
	for _, p := range places {
		i := slices.IndexFunc(left, p.meets)
		if i < 0 {
			alone = append(alone, p)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	return alone
}

// meets is true where two places have a device in common.
func (s slot) meets(other slot) bool {
	return slices.ContainsFunc(s, func(a string) bool {
		return slices.ContainsFunc(other, func(b string) bool { return sameDevice(a, b) || sameDevice(b, a) })
	})
}

// has is true where one of its places has a device of s.
func (l layout) has(s slot) bool {
	return slices.ContainsFunc(l, func(v vdev) bool { return slices.ContainsFunc(v.places, s.meets) })
}

// hasAny is true where one of its places has a device of another layout.
func (l layout) hasAny(other layout) bool {
	return slices.ContainsFunc(other, func(v vdev) bool { return slices.ContainsFunc(v.places, l.has) })
}

// deviceFolders are where a disk that zpool status shows by its last name alone
// may be found (zpool(8), ZPOOL_IMPORT_PATH).
var deviceFolders = []string{"/dev", "/dev/mapper", "/dev/disk/by-id", "/dev/disk/by-path", "/dev/disk/by-vdev",
	"/dev/disk/by-partuuid", "/dev/disk/by-partlabel", "/dev/disk/by-uuid", "/dev/disk/by-label"}

// sameDevice compares a device of the file with one that zpool status shows:
// OpenZFS shows files by their path, and disks by its last element.
func sameDevice(want, have string) bool {
	if filepath.IsAbs(have) {
		return zfs.SameDevice(want, have)
	}
	return filepath.Base(want) == have || slices.ContainsFunc(deviceFolders, func(dir string) bool {
		return zfs.SameDevice(want, filepath.Join(dir, have))
	})
}

func layoutText(l layout) string {
	var parts []string
	for _, v := range l {
		text := v.label
		for _, place := range v.places {
			text += " " + strings.Join(place, " with ")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
