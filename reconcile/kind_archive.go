package reconcile

import (
	"context"
	"fmt"

	"github.com/zreconcile/zreconcile/postgres"
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

const archiveMode = 0o700

func applyArchive(ctx context.Context, h *Host, in *view, _ Change) error {
	dir := in.site.Archive.Dir
	if err := postgres.OwnFolder(dir, in.state.Server.User, archiveMode); err != nil {
		return fmt.Errorf("the archive directory: %w", err)
	}
	return nil
}
