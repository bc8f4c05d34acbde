package reconcile

import (
	"context"
	"os"
	"strings"

	"github.com/zreconcile/zreconcile/zfs"
)

// removeEmptyParents takes away the datasets that were only made as a path to a
// clone, once the last clone below them is gone. One that remembers an expired
// entry stays.
func (h *Host) removeEmptyParents(ctx context.Context, in *view, clone zfs.Dataset) {
	gone := map[string]bool{clone.Name: true}
	for name := parent(clone.Name); strings.Contains(name, "/"); name = parent(name) {
		d, exists := in.state.ZFS.Dataset(name)
		if !exists || !in.onlyAPath(d) || in.hasOthers(name, gone) {
			return
		}
		if err := h.ZFS.DestroyDataset(ctx, d.Name, d.GUID); err != nil {
			h.Log.Info("an empty dataset above a restore stays", "dataset", d.Name, "error", err)
			return
		}
		gone[name] = true
		if strings.HasPrefix(d.Mountpoint, "/") {
			_ = os.Remove(d.Mountpoint) // the folder above the clone's mountpoint, if it is empty
		}
	}
}

// onlyAPath is true of a dataset that createParents made and nobody uses.
func (in *view) onlyAPath(d zfs.Dataset) bool {
	m := localMarks(d.Properties)
	if !m.ours(in.site.Name) || m[markRestore] != "" || d.Properties["canmount"].Value != "off" {
		return false
	}
	for name := range m {
		if strings.HasPrefix(name, markExpired) {
			return false
		}
	}
	for _, wanted := range in.site.Datasets {
		if wanted.Name == d.Name {
			return false
		}
	}
	return len(in.state.ZFS.SnapshotsOf(d.Name)) == 0
}

// hasOthers is true of a dataset with something below it that is not gone.
func (in *view) hasOthers(name string, gone map[string]bool) bool {
	for _, d := range in.state.ZFS.Children(name) {
		if !gone[d.Name] && !gone[parent(d.Name)] {
			return true
		}
	}
	return false
}
