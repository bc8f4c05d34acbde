package reconcile

import (
	"context"
	"fmt"

	"github.com/docker/go-units"
	multierror "github.com/hashicorp/go-multierror"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// removal is what the archive holds that nothing needs any more, in order.
type removal struct {
	segments []wal.SegmentFile
	damaged  []wal.SegmentFile // of a wrong size
	aside    []wal.AsideFile
}

// unneeded goes through the archive. A damaged file and one that was set aside
// are past their time when a segment of that name were.
func unneeded(archive wal.Inventory, needs []need, size int64) removal {
	var gone removal
	for _, s := range archive.Segments {
		if !neededSegment(s.Segment, needs, size) {
			gone.segments = append(gone.segments, s)
		}
	}
	for _, s := range archive.Damaged {
		if !neededSegment(s.Segment, needs, size) {
			gone.damaged = append(gone.damaged, s)
		}
	}
	for _, s := range archive.Aside {
		if !neededSegment(s.Segment, needs, size) {
			gone.aside = append(gone.aside, s)
		}
	}
	return gone
}

// names are those of the files to remove; their checksums go with them.
func (r removal) names(size int64) []string {
	var names []string
	for _, s := range r.segments {
		names = append(names, s.Name(size))
	}
	for _, s := range r.damaged {
		names = append(names, s.Name(size))
	}
	for _, s := range r.aside {
		names = append(names, s.Name)
	}
	return names
}

// attrs tell what goes: each run of segments, and each damaged file.
func (r removal) attrs(size int64) []Attr {
	var attrs []Attr
	for _, run := range (wal.Inventory{Segments: r.segments}).Ranges() {
		n := run.To.Number - run.From.Number + 1
		attrs = append(attrs, Attr{Name: "segments", Before: fmt.Sprintf("%d (%s), %s to %s", n, units.BytesSize(float64(int64(n)*size)),
			run.From.Name(size), run.To.Name(size))})
	}
	for _, s := range r.damaged {
		attrs = append(attrs, Attr{Name: "damaged", Before: fmt.Sprintf("%s (%s)", s.Name(size), units.BytesSize(float64(s.Size)))})
	}
	for _, s := range r.aside {
		attrs = append(attrs, Attr{Name: "set aside", Before: fmt.Sprintf("%s (%s)", s.Name, units.BytesSize(float64(s.Size)))})
	}
	return attrs
}

// diffWALRemoval removes archived WAL when nothing may still need it, and never
// when what may need it was not observed. History files stay for ever.
func diffWALRemoval(in *view) []Change {
	if in.site.Archive == nil || in.site.Snapshots == nil || in.state.failed(kindWAL) || in.removalPaused() ||
		in.walUnknown() {
		return nil
	}
	needs, size := in.neededWAL(), in.segmentSize()
	gone := unneeded(in.state.Archive.Inventory, needs, size)
	attrs := gone.attrs(size)
	if len(attrs) == 0 {
		return nil
	}
	return []Change{Change{Name: in.site.Archive.Dir, Action: Delete,
		Why:   "no snapshot, restore or standby needs it; the oldest need is that of " + firstNeed(needs),
		Attrs: append(attrs, in.releasedBy(gone, needs)...),
	}.at(in.site.Archive.Pos)}
}

// releasedBy names who needed the segments until now: the snapshots that this
// plan destroys, and those that continuousFor makes single points.
func (in *view) releasedBy(gone removal, needs []need) []Attr {
	size := in.segmentSize()
	needed := func(s Snapshot) bool {
		n := need{from: s.Redo, lines: in.lineageFrom(s)}
		for _, segment := range gone.segments {
			if n.covers(segment.Segment, size) {
				return true
			}
		}
		return false
	}
	var attrs []Attr
	kept := map[string]bool{}
	for _, n := range needs {
		kept[n.own.Name] = true
		if n.to != 0 && n.own.Name != "" && needed(n.own) {
			attrs = append(attrs, Attr{Name: n.who, Before: "every moment from it on", After: "a single point, as archive.continuousFor says"})
		}
	}
	for _, s := range ours(in.site, in.state) {
		if !kept[s.Name] && needed(s) {
			attrs = append(attrs, Attr{Name: "snapshot " + s.Name, Before: "needs it until this plan destroys it"})
		}
	}
	return attrs
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
	size := in.segmentSize()
	for _, name := range unneeded(in.state.Archive.Inventory, in.neededWAL(), size).names(size) {
		if err := wal.Remove(in.site.Archive.Dir, name); err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	if errs != nil {
		errs.ErrorFormat = oneLine
	}
	return errs.ErrorOrNil()
}
