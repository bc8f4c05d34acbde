package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// updateClone changes a clone in place: its settings, its rules, its marks, and
// from paused to promoted.
func (h *Host) updateClone(ctx context.Context, in *view, r spec.Restore, c Clone) error {
	for _, p := range r.Properties {
		if _, differs := differing(c.Dataset.Properties, p); differs {
			if err := setProperty(ctx, h, c.Dataset.Name, r.Properties, p.Name); err != nil {
				return err
			}
		}
	}
	if err := h.updateMarks(ctx, r, c); err != nil {
		return err
	}
	wanted, err := in.cloneFiles(r, c)
	if err != nil {
		return err
	}
	s, err := h.cloneServer(in, r, c.DataDir)
	if err != nil {
		return err
	}
	if len(cloneConfAttrs(c, wanted)) > 0 {
		if err := s.cluster.WriteFiles(wanted.files); err != nil {
			return err
		}
		if err := h.loadClone(ctx, s, c, r); err != nil {
			return err
		}
	}
	if r.Action == "promote" && !c.Promoted && c.Process.Running {
		return h.promoteClone(ctx, r, s)
	}
	return nil
}

func (h *Host) updateMarks(ctx context.Context, r spec.Restore, c Clone) error {
	var changed []zfs.Prop
	for _, m := range entryMarks(r) {
		if c.Marks[m.Name] != m.Value {
			changed = append(changed, m)
		}
	}
	if len(changed) > 0 {
		if err := h.ZFS.SetProperties(ctx, c.Dataset.Name, changed); err != nil {
			return err
		}
	}
	if c.Marks[markLeftAt] != "" {
		return h.ZFS.Inherit(ctx, c.Dataset.Name, markLeftAt)
	}
	return nil
}

// loadClone makes a running clone take its changed files; a port or an address
// needs a restart, which brings a paused clone to the same target again.
func (h *Host) loadClone(ctx context.Context, s cloneServer, c Clone, r spec.Restore) error {
	if !c.Process.Running {
		return nil
	}
	running := *s.cluster
	running.Port = c.Process.Port
	if err := running.Reload(ctx); err != nil {
		return err
	}
	if restartNeeded(effective(c.Files[managedFile]), r) {
		if err := s.service.Stop(ctx); err != nil {
			return err
		}
		return h.resumeClone(ctx, s, c.Promoted)
	}
	return nil
}

// restartNeeded compares what only a start of the server takes up.
func restartNeeded(have map[string]string, r spec.Restore) bool {
	if have["port"] != strconv.Itoa(r.Port) || have["listen_addresses"] != r.ListenAddresses {
		return true
	}
	own := map[string]string{}
	for _, s := range r.Conf {
		own[s.Name] = s.Value
	}
	for name, value := range own {
		if have[name] != value {
			return true // which of them could do with a reload is not worth a doubt
		}
	}
	return false
}

func (h *Host) promoteClone(ctx context.Context, r spec.Restore, s cloneServer) error {
	if err := s.cluster.ResumeReplay(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout(0))
	defer cancel()
	if _, _, err := s.cluster.WaitTarget(ctx, postgres.WaitOptions{Promote: true}); err != nil {
		return err
	}
	return h.ZFS.SetProperties(ctx, r.Dataset, []zfs.Prop{{Name: markPromoted, Value: "yes"}})
}

// startClone starts a finished clone that stopped, after a reboot or because
// its entry came back.
func (h *Host) startClone(ctx context.Context, in *view, r spec.Restore, c Clone) error {
	s, err := h.cloneServer(in, r, c.DataDir)
	if err != nil {
		return err
	}
	if err := h.socketParent(in); err != nil {
		return err
	}
	return h.resumeClone(ctx, s, c.Promoted)
}

// resumeClone starts it again; a paused one comes to its target again, and
// never back (pitfall 33).
func (h *Host) resumeClone(ctx context.Context, s cloneServer, promoted bool) error {
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout(0))
	defer cancel()
	if err := h.startServer(ctx, s.server); err != nil {
		return err
	}
	_, _, err := s.cluster.WaitTarget(ctx, postgres.WaitOptions{Promote: promoted})
	return err
}

// stopClone stops the server of a clone; the programs are those that it was
// started with.
func (h *Host) stopClone(ctx context.Context, in *view, c Clone) error {
	if c.DataDir == "" || !c.Dataset.Mounted {
		return nil
	}
	r := spec.Restore{Name: c.Restore, Port: int(c.Marks.int(markPort))}
	s, err := h.cloneServer(in, r, c.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing in it that could run
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout(0))
	defer cancel()
	if err := s.service.Stop(ctx); err != nil && !errors.Is(err, postgres.ErrForeignPID) {
		return fmt.Errorf("restore %s: %w", c.Restore, err)
	}
	return s.service.Remove(ctx)
}

// removeTraces takes away what a destroyed clone had outside of the pool.
func (h *Host) removeTraces(in *view, c Clone) error {
	if err := os.RemoveAll(in.cloneSocketDir(c.Restore)); err != nil {
		return err
	}
	err := os.Remove(h.logFile(in.site, "restore-"+c.Restore))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
