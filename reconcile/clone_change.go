package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
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
	if err := h.updateMarks(ctx, in, r, c); err != nil {
		return err
	}
	wanted, err := in.cloneFiles(r, c)
	if err != nil {
		return err
	}
	s, err := h.cloneServer(in, r, c.DataDir, 0)
	if err != nil {
		return err
	}
	if len(cloneConfAttrs(c, wanted)) > 0 {
		if err := s.cluster.WriteFiles(wanted.files); err != nil {
			return err
		}
		if err := h.loadClone(ctx, in, s, c, r, wanted); err != nil {
			return err
		}
	}
	if r.Action == "promote" && !c.Promoted && c.Process.Running {
		return h.promoteClone(ctx, r, s)
	}
	return nil
}

func (h *Host) updateMarks(ctx context.Context, in *view, r spec.Restore, c Clone) error {
	var changed []zfs.Prop
	for _, m := range entryMarks(r) {
		if c.Marks[m.Name] != m.Value {
			changed = append(changed, m)
		}
	}
	if digest, _ := in.expiry(r); digest != "" && in.renewed(r, c) != expiresAt(c, r) {
		changed = append(changed, zfs.Prop{Name: markMadeAt, Value: FormatTime(in.now)})
	}
	if len(changed) > 0 {
		if err := h.ZFS.SetProperties(ctx, c.Dataset.Name, changed); err != nil {
			return err
		}
	}
	if err := h.clearExpiry(ctx, in, r); err != nil {
		return err
	}
	if c.Marks[markLeftAt] != "" {
		return h.ZFS.Inherit(ctx, c.Dataset.Name, markLeftAt)
	}
	return nil
}

// renewed is when an expired restore whose entry changed expires next: as the
// changed entry says, or where that is past too, counted from now.
func (in *view) renewed(r spec.Restore, c Clone) time.Time {
	at := expiresAt(c, r)
	if at.IsZero() || at.After(in.now) {
		return at
	}
	return in.now.Add(r.ExpiresAfter)
}

// clearExpiry takes the mark of an expired restore away, once it is there again.
func (h *Host) clearExpiry(ctx context.Context, in *view, r spec.Restore) error {
	if digest, _ := in.expiry(r); digest == "" {
		return nil
	}
	return h.ZFS.Inherit(ctx, in.existing(parent(r.Dataset)), expiredMark(r.Name))
}

// loadClone makes a clone that ran take its changed files. What a reload does
// not take up needs a restart, which brings a paused clone to its target again.
func (h *Host) loadClone(ctx context.Context, in *view, s cloneServer, c Clone, r spec.Restore, wanted confWanted) error {
	if !c.Process.Running {
		return nil
	}
	// Another restore that wants the port may have stopped it since.
	now, err := s.cluster.Process()
	if err != nil {
		return err
	}
	if now.Running && !restartNeeded(effective(c.Files[managedFile]), wanted.settings) {
		return s.cluster.Reload(ctx)
	}
	if err := s.service.Stop(ctx); err != nil {
		return err
	}
	return h.resumeClone(ctx, in, s, c, r)
}

// reloaded are the settings of a clone that do not ask for a restart: those
// that it has used already, when it stands at its target.
var reloaded = map[string]bool{"restore_command": true, "recovery_target_action": true}

// restartNeeded is true where any other setting changed; which of them could do
// with a reload is not worth a doubt.
func restartNeeded(have map[string]string, wanted []conf.Setting) bool {
	want := map[string]string{}
	for _, s := range wanted {
		want[s.Name] = s.Value
		if value, set := have[s.Name]; (!set || value != s.Value) && !reloaded[s.Name] {
			return true
		}
	}
	for name := range have {
		if _, stays := want[name]; !stays {
			return true
		}
	}
	return false
}

// promoteClone ends the recovery of a clone that stands at its target.
func (h *Host) promoteClone(ctx context.Context, r spec.Restore, s cloneServer) error {
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout(0))
	defer cancel()
	status, err := s.cluster.Status(ctx)
	if err != nil {
		return err
	}
	if status.InRecovery {
		if err := s.cluster.Promote(ctx); err != nil {
			return err
		}
	}
	return h.markPromotion(ctx, r)
}

func (h *Host) markPromotion(ctx context.Context, r spec.Restore) error {
	return h.ZFS.SetProperties(ctx, r.Dataset, []zfs.Prop{{Name: markPromoted, Value: "yes"}})
}

// startClone starts a finished clone that stopped, after a reboot or because
// its entry came back.
func (h *Host) startClone(ctx context.Context, in *view, r spec.Restore, c Clone) error {
	s, err := h.cloneServer(in, r, c.DataDir, 0)
	if err != nil {
		return err
	}
	return h.resumeClone(ctx, in, s, c, r)
}

// resumeClone starts it again. A paused one comes to its target again, and
// never back (pitfall 33): one that went further is stopped, and said.
func (h *Host) resumeClone(ctx context.Context, in *view, s cloneServer, c Clone, r spec.Restore) error {
	limit := cloneTimeout(0)
	if err := h.vacatePort(ctx, in, r); err != nil {
		return err
	}
	if err := h.startClonesServer(ctx, limit, in, s); err != nil {
		return err
	}
	if c.Promoted {
		return nil
	}
	promote := r.Action == "promote"
	if _, err := h.awaitTarget(ctx, limit, s, c.Marks.lsn(markReachedLSN), promote); err != nil {
		return errors.Join(err, h.haltFailed(ctx, s))
	}
	if promote {
		return h.markPromotion(ctx, r)
	}
	return nil
}

// stopClone stops the server of a clone; the programs are those that it was
// started with.
func (h *Host) stopClone(ctx context.Context, in *view, c Clone) error {
	if c.DataDir == "" || !c.Dataset.Mounted {
		return nil
	}
	r := spec.Restore{Name: c.Restore, Port: int(c.Marks.int(markPort))}
	s, err := h.cloneServer(in, r, c.DataDir, 0)
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
