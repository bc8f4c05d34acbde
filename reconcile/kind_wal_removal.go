package reconcile

import (
	"context"
	"fmt"

	"github.com/docker/go-units"
	multierror "github.com/hashicorp/go-multierror"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// diffWALRemoval removes archived WAL when nothing may still need it, and never
// when what may need it was not observed. History files stay for ever.
func diffWALRemoval(in *view) []Change {
	if in.site.Archive == nil || in.site.Snapshots == nil || in.state.failed(kindWAL) || in.removalPaused() ||
		in.walUnknown() {
		return nil
	}
	needs := in.neededWAL()
	gone := unneeded(in.state.Archive.Inventory.Segments, needs, in.segmentSize())
	if len(gone) == 0 {
		return nil
	}
	size := in.segmentSize()
	return []Change{Change{Name: in.site.Archive.Dir, Action: Delete,
		Why: "no snapshot, restore or standby needs it; the oldest need is that of " + firstNeed(needs),
		Attrs: []Attr{{Name: "segments", Before: fmt.Sprintf("%d (%s), %s to %s", len(gone), units.BytesSize(float64(int64(len(gone))*size)),
			gone[0].Name(size), gone[len(gone)-1].Name(size))}},
	}.at(in.site.Archive.Pos)}
}

// walUnknown is true where what needs the archived WAL can't be told: the
// standby's own need was not read, the archive is another database's, whose
// positions mean nothing here, another site calls a dataset its own and may use
// the archive as well, or a mark is of a format that we can't read.
func (in *view) walUnknown() bool {
	control := in.state.Cluster.Control
	if control == nil {
		return true
	}
	if other, _ := foreignSystem(in, control.SystemID); other != "" {
		return true
	}
	for _, dir := range append(clusterDirs(in), in.site.Archive.Dir) {
		p, _ := placeOf(in.site, in.state, dir)
		if _, claimed := claimBlock(in, p.Dataset); claimed {
			return true
		}
	}
	for _, s := range in.state.ZFS.Snapshots {
		if localMarks(s.Properties).foreignFormat(in.site.Name) {
			return true
		}
	}
	for _, d := range in.state.ZFS.Datasets {
		if localMarks(d.Properties).foreignFormat(in.site.Name) {
			return true
		}
	}
	return false
}

func applyWALRemoval(_ context.Context, _ *Host, in *view, _ Change) error {
	var errs *multierror.Error
	for _, s := range unneeded(in.state.Archive.Inventory.Segments, in.neededWAL(), in.segmentSize()) {
		if err := wal.Remove(in.site.Archive.Dir, s.Name(in.segmentSize())); err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	if errs != nil {
		errs.ErrorFormat = oneLine
	}
	return errs.ErrorOrNil()
}
