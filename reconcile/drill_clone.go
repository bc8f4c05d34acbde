package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// drillName is what the clone of a drill is called, where a restore has the name
// of its entry: no entry's name begins so.
const drillName = ":drill"

// stateKept marks the clone of a drill that failed and that a person wants to
// look at. The next drill destroys it; no apply does before.
const stateKept = "kept"

// drillSettings are the clone's, before those of restoreDefaults: what it holds
// is thrown away, and nothing but the checks should work on it.
var drillSettings = []spec.Setting{{Name: "autovacuum", Value: "off"}, {Name: "fsync", Value: "off"}}

// drillEntry is the restore that a drill of a snapshot makes. Its server listens
// on no port, but on its private socket, which the port only names; nobody but
// this program is let in.
func (in *view) drillEntry(snapshot string) spec.Restore {
	r := spec.Restore{
		Name:       drillName,
		Target:     spec.Target{Snapshot: snapshot},
		Dataset:    path.Join(in.site.Pool.Name, "zreconcile", in.site.Name, drillName),
		Port:       in.site.Standby.Port,
		HBA:        []string{},
		Conf:       slices.Clone(in.site.Drill.Conf),
		Properties: in.site.Drill.Properties,
		Action:     "promote",
	}
	for _, s := range drillSettings {
		if !slices.ContainsFunc(r.Conf, func(own spec.Setting) bool { return strings.EqualFold(own.Name, s.Name) }) {
			r.Conf = append(r.Conf, s)
		}
	}
	if above, ok := in.state.ZFS.Dataset(in.existing(parent(r.Dataset))); ok && !path.IsAbs(above.Mountpoint) {
		r.Mountpoint = in.cloneSocketDir(drillName) + "-data" // what it would inherit is no place
	}
	return r
}

// drillBlock says what forbids a drill here and now.
func (in *view) drillBlock(r spec.Restore) (why, mend string) {
	if why, mend := in.datasetBlock(r); why != "" {
		return why, mend
	}
	for _, c := range in.state.Drills {
		if what := in.dependents(c); what != "" {
			return "the clone of an earlier drill would be destroyed, and is not: " + what, "destroy or move what depends on it"
		}
	}
	if why, mend := in.spaceBlock(); why != "" {
		return why, mend
	}
	return in.restoreMountBlock(r)
}

// diffDrillRemoval takes away what a drill that was killed left behind.
func diffDrillRemoval(in *view) []Change {
	if in.state.failed(kindVerification) {
		return nil
	}
	var changes []Change
	for _, c := range in.state.Drills {
		if c.Marks[markState] == stateKept {
			continue
		}
		change := Change{Name: c.Dataset.Name, Action: Delete, Why: "a restore drill was ended before its end, and left its clone"}
		if what := in.dependents(c); what != "" {
			change = change.block("the clone of a drill should go, and is not destroyed: "+what, "destroy or move what depends on it")
		}
		changes = append(changes, change)
	}
	return changes
}

func applyDrillRemoval(ctx context.Context, h *Host, in *view, change Change) error {
	for _, c := range in.state.Drills {
		if c.Dataset.Name == change.Name {
			if err := h.destroyDrill(ctx, in, c); err != nil {
				return err
			}
			h.removeEmptyParents(ctx, in, c.Dataset)
		}
	}
	return nil
}

func (h *Host) destroyDrill(ctx context.Context, in *view, c Clone) error {
	if what := in.dependents(c); what != "" {
		return fmt.Errorf("the clone %s of a drill is not destroyed: %s", c.Dataset.Name, what)
	}
	return h.destroyClone(ctx, in, c)
}

// drillPatience bounds what is done for a drill once it is over, or interrupted.
const drillPatience = 5 * time.Minute

// cleanUp destroys the clones of drills, also where the drill was interrupted.
func (h *Host) cleanUp(ctx context.Context, in *view) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drillPatience)
	defer cancel()
	fresh, err := h.lookForDrills(ctx, in)
	if err != nil {
		return fmt.Errorf("looking for the clone of the drill, to destroy it: %w", err)
	}
	var errs []error
	for _, c := range fresh.state.Drills {
		err := h.destroyDrill(ctx, fresh, c)
		if err == nil {
			h.removeEmptyParents(ctx, fresh, c.Dataset)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lookForDrills sees again what of drills there is, and nothing else.
func (h *Host) lookForDrills(ctx context.Context, in *view) (*view, error) {
	inventory, err := h.ZFS.Inventory(ctx, in.site.Pool.Name, query(in.site))
	if err != nil {
		return nil, err
	}
	state := *in.state
	state.ZFS, state.Drills = inventory, nil
	if state.Mounts, err = zfs.Mounts(); err != nil {
		return nil, err
	}
	fresh := &view{site: in.site, state: &state, now: in.now, only: in.only}
	h.observeDrills(ctx, fresh)
	return fresh, nil
}

// observeDrills reads the clones of drills, by their marks.
func (h *Host) observeDrills(ctx context.Context, in *view) {
	for _, d := range in.state.ZFS.Datasets {
		m := localMarks(d.Properties)
		// A member of a clone carries the name, and no state.
		if m.ours(in.site.Name) && m[markRestore] == drillName && m[markState] != "" {
			in.state.Drills = append(in.state.Drills, h.observeClone(ctx, in, kindVerification, d, m))
		}
	}
}
