package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// diffArchive wants the archive's directory, and in it the WAL that a base
// backup brought along, which the server's archiver never sees (pitfall 19).
func diffArchive(in *view) []Change {
	a := in.site.Archive
	if a == nil || in.state.failed(kindWAL) {
		return nil
	}
	c := Change{Name: a.Dir}.at(a.Pos)
	if why, mend := mountBlock(in, a.Dir); why != "" {
		return []Change{c.block(why, mend)}
	}
	have := in.state.Archive
	if !have.Exists {
		c.Action, c.Why = Create, "there is no archive directory"
		c.Attrs = []Attr{{Name: "owner", After: in.site.Standby.OSUser}, {Name: "mode", After: "0700"}}
		return []Change{c}
	}
	c.Action = Update
	if have.OwnedBy != in.state.Server.User.UID {
		c.Attrs = append(c.Attrs, Attr{Name: "owner", Before: fmt.Sprintf("uid %d", have.OwnedBy), After: in.site.Standby.OSUser})
	}
	if have.Mode != archiveMode {
		c.Attrs = append(c.Attrs, Attr{Name: "mode", Before: fmt.Sprintf("%04o", have.Mode), After: fmt.Sprintf("%04o", archiveMode)})
	}
	if len(c.Attrs) > 0 {
		c.Why = "the archive directory is not the OS user's alone"
	}
	if n := len(have.Unpushed); n > 0 {
		c.Why = "WAL that the archiver will not bring is missing from the archive"
		c.Attrs = append(c.Attrs, Attr{Name: "segments", After: fmt.Sprintf("%d from the live pg_wal, %s to %s", n,
			have.Unpushed[0].Name(in.segmentSize()), have.Unpushed[n-1].Name(in.segmentSize()))})
	}
	if len(c.Attrs) == 0 {
		return nil
	}
	return []Change{c}
}

const archiveMode = 0o700

const pushDeadline = 5 * time.Minute

func applyArchive(ctx context.Context, h *Host, in *view, _ Change) error {
	dir := in.site.Archive.Dir
	if err := postgres.OwnFolder(dir, in.state.Server.User, archiveMode); err != nil {
		return fmt.Errorf("the archive directory: %w", err)
	}
	if len(in.state.Archive.Unpushed) == 0 {
		return nil
	}
	if err := h.copyProgram(in.state.Paths.Helper); err != nil {
		return err
	}
	for _, segment := range in.state.Archive.Unpushed {
		if err := h.push(ctx, in, segment); err != nil {
			return err
		}
	}
	return nil
}

// push archives one segment of the live pg_wal as the server would.
func (h *Host) push(ctx context.Context, in *view, segment wal.Segment) error {
	ctx, cancel := context.WithTimeout(ctx, pushDeadline)
	defer cancel()
	args := pushArgs(in, in.state.Paths.Helper)
	args[len(args)-1] = filepath.Join("pg_wal", segment.Name(in.segmentSize()))
	return postgres.RunAs(ctx, h.Run, in.state.Server.User, in.site.Standby.DataDir, args...)
}

// unpushed are the complete segments of the live pg_wal that the archive lacks
// and that the archiver will not bring: it was never told of them.
func unpushed(archive, live wal.Inventory, waiting map[string]bool, from, before wal.LSN, size int64) []wal.Segment {
	there := map[wal.Segment]bool{}
	for _, s := range archive.Segments {
		there[s.Segment] = true
	}
	var list []wal.Segment
	for _, s := range live.Segments {
		if !there[s.Segment] && s.Size == size && !waiting[s.Name(size)] && s.End(size) <= before && s.End(size) > from {
			list = append(list, s.Segment)
		}
	}
	return list
}
