package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

// eject makes the changes, and notes what became of each. The marks go last:
// while a server still calls this program, they are how the next run finds it.
func (h *Host) eject(ctx context.Context, e *ejection, changes []Change) {
	stuck := false
	for i := range changes {
		c := &changes[i]
		if c.Action == Block {
			stuck = stuck || c.Kind == kindRestore
			continue
		}
		if c.Kind == kindDataset && stuck {
			c.Result, c.Error = Skipped, "a server still calls zreconcile, and is found by the marks"
		}
		if c.Kind == kindStandby && failed(changes[:i], kindConf) {
			c.Result, c.Error = Skipped, "the standby still streams through it"
		}
		if c.Result == Skipped {
			h.OnChange(*c, 0)
			continue
		}
		began := h.Clock()
		c.Result = Done
		if err := h.ejectOne(ctx, e, *c); err != nil {
			c.Result, c.Error = Failed, err.Error()
			stuck = stuck || c.Kind != kindStandby
		}
		h.OnChange(*c, h.Clock().Sub(began))
	}
}

func failed(changes []Change, kind string) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == kind && c.Result == Failed })
}

func (h *Host) ejectOne(ctx context.Context, e *ejection, c Change) error {
	switch c.Kind {
	case kindRestore:
		return h.ejectClone(ctx, e, c)
	case kindConf:
		in := e.in
		cluster := h.cluster(in.site, in.state.Server.BinDir, in.adminRole(), in.state.Server.User)
		return writePlain(ctx, cluster, e.files[c.key()], in.state.Cluster.Process)
	case kindStandby:
		return h.dropSlot(ctx, e)
	}
	for _, m := range e.marks {
		if m.dataset == c.Name {
			return h.removeMarks(ctx, m)
		}
	}
	return nil
}

func (h *Host) ejectClone(ctx context.Context, e *ejection, c Change) error {
	for _, clone := range e.in.state.Clones {
		if clone.Restore != c.Name {
			continue
		}
		s, err := h.cloneServer(e.in, spec.Restore{Name: c.Name, Port: int(clone.Marks.int(markPort))}, clone.DataDir, 0)
		if err != nil {
			return err
		}
		return writePlain(ctx, s.cluster, e.files[c.key()], clone.Process)
	}
	return nil
}

// writePlain writes the files, and has a running server load it. Nothing
// is restarted: what a restart brings into force does no harm until then.
func writePlain(ctx context.Context, cluster *postgres.Cluster, files map[string][]byte, p postgres.Process) error {
	if err := cluster.WriteFiles(files); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", cluster.DataDir, err)
	}
	if !p.Running {
		return nil
	}
	cluster.Port, cluster.SocketDir = p.Port, p.SocketDir
	_, err := awaitReload(ctx, cluster)
	return err
}

// slotDropDeadline is how long the standby's receiver gets to begin anew without
// the slot, and to reach the primary.
const slotDropDeadline = 30 * time.Second

// dropSlot waits until the standby streams without the slot, which the primary
// removes only then.
func (h *Host) dropSlot(ctx context.Context, e *ejection) error {
	in := e.in
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.adminRole(), in.state.Server.User)
	primary := h.primary(in.site, in.state.Cluster.Password)
	ctx, cancel := context.WithTimeout(ctx, slotDropDeadline)
	defer cancel()
	for {
		status, err := cluster.Status(ctx)
		if err == nil && status.Connected() {
			if err = postgres.DropSlot(ctx, primary, e.slot.name); !errors.Is(err, postgres.ErrSlotActive) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the replication slot %s stays: the standby did not begin to stream without it within %s (before PostgreSQL 13 that takes a restart of it); then run eject again, or drop it on the primary: %s", e.slot.name, slotDropDeadline, dropSlotSQL(e.slot.name))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
