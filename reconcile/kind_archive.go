package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// diffArchive wants the archive's directory, the OS user's alone.
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
	if len(c.Attrs) == 0 {
		return nil
	}
	return []Change{c}
}

// diffHealing wants in the archive what the server's archiver never sees: the
// WAL that a base backup brought along (pitfall 19), and segments of the live
// pg_wal that went missing from the archive.
func diffHealing(in *view) []Change {
	a := in.site.Archive
	list := in.state.Archive.Unpushed
	if a == nil || in.state.failed(kindWAL) || len(list) == 0 || in.promoted() {
		return nil
	}
	size := in.segmentSize()
	return []Change{Change{Name: a.Dir, Action: Update, Why: "WAL that the archiver will not bring is missing from the archive",
		Attrs: []Attr{{Name: "segments", After: fmt.Sprintf("%d from the live pg_wal, %s to %s", len(list), list[0].Name(size), list[len(list)-1].Name(size))}},
	}.at(a.Pos)}
}

func applyHealing(ctx context.Context, h *Host, in *view, _ Change) error {
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

const archiveMode = 0o700

const pushDeadline = 5 * time.Minute

func applyArchive(ctx context.Context, h *Host, in *view, _ Change) error {
	dir := in.site.Archive.Dir
	if err := postgres.OwnFolder(dir, in.state.Server.User, archiveMode); err != nil {
		return fmt.Errorf("the archive directory: %w", err)
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
// and that the archiver will not bring: it was never told of them. The segment
// that is being received is not complete: it may be written anew.
func unpushed(archive, live wal.Inventory, done map[string]bool, from, before wal.LSN, size int64) []wal.Segment {
	there := map[wal.Segment]bool{}
	for _, s := range archive.Segments {
		there[s.Segment] = true
	}
	var list []wal.Segment
	for _, s := range live.Segments {
		if !there[s.Segment] && s.Size == size && done[s.Name(size)] && s.End(size) <= before && s.End(size) > from {
			list = append(list, s.Segment)
		}
	}
	return list
}
