package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// TakeSnapshot takes one now, whatever the cadence says. The lock of the site
// must be held.
func (h *Host) TakeSnapshot(ctx context.Context, site *spec.Site, o SnapshotOptions) (SnapshotStatus, error) {
	in, err := h.look(ctx, site)
	if err != nil {
		return SnapshotStatus{}, err
	}
	if err := in.snapshotRefusal(); err != nil {
		return SnapshotStatus{}, err
	}
	name, err := h.takeSnapshot(ctx, in, o)
	if err != nil {
		return SnapshotStatus{}, err
	}
	if in, err = h.look(ctx, site); err != nil {
		return SnapshotStatus{}, err
	}
	for _, s := range in.snapshotStatuses() {
		if s.Name == name {
			return s, nil
		}
	}
	return SnapshotStatus{}, fmt.Errorf("the snapshot %s was taken and is not there", name)
}

// look observes the host as of now.
func (h *Host) look(ctx context.Context, site *spec.Site) (*view, error) {
	now := h.Clock()
	state, err := h.Observe(ctx, site, now)
	return &view{site: site, state: &state, now: now}, err
}

// ErrRefused says that something must not be done without a person's decision.
var ErrRefused = errors.New("refused")

func (in *view) snapshotRefusal() error {
	switch {
	case in.site.Standby == nil || in.site.Snapshots == nil:
		return fmt.Errorf("%w: the file has no snapshots section, so that neither their names nor their retention are known", ErrRefused)
	case in.state.Cluster.Content != DirCluster:
		return fmt.Errorf("%w: there is no cluster in %s yet; run zreconcile apply", ErrRefused, in.site.Standby.DataDir)
	case in.promoted():
		return fmt.Errorf("%w: the standby was promoted, and a snapshot of it is no base for a restore", ErrRefused)
	case len(in.state.Failures) > 0:
		return errors.New(in.state.Failures[0].Text)
	case len(clusterDatasets(in.site, in.state)) > 1 && !in.state.Tools.SnapshotMany:
		return fmt.Errorf("%w: the cluster lies on several datasets, and this zfs can't snapshot them in one atomic operation", ErrRefused)
	}
	return nil
}

// ReleaseSnapshot takes the hold of `snapshot --hold` off; retention then
// decides about the snapshot. One that has no such hold is left as it is, and
// is no error: held is false.
func (h *Host) ReleaseSnapshot(ctx context.Context, site *spec.Site, name string) (held bool, err error) {
	in, err := h.look(ctx, site)
	if err != nil {
		return false, err
	}
	name = name[strings.LastIndex(name, "@")+1:]
	for _, s := range ours(site, in.state) {
		if s.Name != name {
			continue
		}
		for _, m := range s.Members {
			err := h.ZFS.Release(ctx, holdTag, m.Full())
			if err != nil && !errors.Is(err, zfs.ErrNotFound) {
				return held, err
			}
			held = held || err == nil
		}
		return held, nil
	}
	return false, fmt.Errorf("there is no snapshot %s of site %s%s; zreconcile status lists them", name, site.Name, labelled(ours(site, in.state), name))
}

// labelled says which snapshot bears as its label what was given as a name; ""
// where none does.
func labelled(list []Snapshot, name string) string {
	for _, s := range slices.Backward(list) {
		if s.Label == name && name != "" {
			return ", but that is the label of " + s.Name
		}
	}
	return ""
}
