package reconcile

import (
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// layout is a pool's top-level vdevs.
type layout []vdev

// vdev is one: its class and type in words, and its devices, sorted.
type vdev struct {
	label   string
	devices []string
}

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
func (l *layout) add(kind, class string, devices []string) {
	if kind != "" {
		sorted := append([]string{}, devices...)
		sort.Strings(sorted)
		*l = append(*l, vdev{vdevLabel(kind, class), sorted})
		return
	}
	for _, d := range devices {
		*l = append(*l, vdev{vdevLabel("", class), []string{d}})
	}
}

func wantedLayout(pool spec.Pool) layout {
	var l layout
	for _, v := range pool.Vdevs {
		l.add(v.Type, v.Class, v.Devices)
	}
	return l
}

func foundLayout(pool zfs.Pool) layout {
	var l layout
	for _, v := range pool.Vdevs {
		var devices []string
		for _, d := range v.Devices {
			devices = append(devices, d.Path)
		}
		l.add(v.Type, v.Class, devices)
	}
	return l
}

// sameLayout pairs vdevs whatever their order and the names of their devices.
func sameLayout(a, b layout) bool {
	return paired(a, b, func(want, have vdev) bool {
		return want.label == have.label && paired(want.devices, have.devices, sameDevice)
	})
}

// paired is true where each of wanted has one of found to itself.
func paired[T any](wanted, found []T, same func(want, have T) bool) bool {
	if len(wanted) != len(found) {
		return false
	}
	left := slices.Clone(found)
	for _, want := range wanted {
		i := slices.IndexFunc(left, func(have T) bool { return same(want, have) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
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
		parts = append(parts, v.label+" "+strings.Join(v.devices, " "))
	}
	return strings.Join(parts, ", ")
}
