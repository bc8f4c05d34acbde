package reconcile

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

// nameLayout is the moment in a snapshot's name, UTC.
const nameLayout = "20060102T150405Z"

func snapshotName(prefix string, at time.Time) string {
	return prefix + "-" + at.UTC().Format(nameLayout)
}

type dueSnapshot struct {
	due      bool
	at, next time.Time
}

// snapshotDue asks the cadence.
func (in *view) snapshotDue() (dueSnapshot, error) {
	s := in.site.Snapshots
	due, at, next, err := Due(s.Schedule, s.Every, in.site.Timezone, newest(ours(in.site, in.state)), in.now)
	return dueSnapshot{due: due, at: at, next: next}, err
}

// diffSnapshot takes one when it is due, and completes one whose earliest
// moment was not stamped, by a run that was killed.
func diffSnapshot(in *view) []Change {
	s := in.site.Snapshots
	if s == nil || in.state.failed(kindSnapshot, kindStandby) || in.promoted() {
		return nil
	}
	var changes []Change
	for _, have := range ours(in.site, in.state) {
		if !have.complete() && in.state.Cluster.Control != nil {
			changes = append(changes, Change{Name: have.Name, Action: Update, Why: "its earliest moment is not known yet",
				Attrs: []Attr{{Name: "earliest", After: "as computed"}}}.at(s.Pos))
		}
	}
	due, err := in.snapshotDue()
	if err != nil {
		return append(changes, Change{Name: s.Prefix}.at(s.Pos).block(err.Error(), "correct snapshots.schedule"))
	}
	if !due.due {
		return changes
	}
	c := Change{Name: snapshotName(s.Prefix, in.now), Action: Create}.at(s.Pos)
	c.Why = "there is none yet"
	if newest(ours(in.site, in.state)) != nil {
		c.Why = "due since " + FormatTime(due.at)
	}
	places := clusterDatasets(in.site, in.state)
	for _, p := range places {
		c.Attrs = append(c.Attrs, Attr{Name: "dataset", After: p.Dataset})
		if claim, blocked := claimBlock(in, p.Dataset); blocked {
			return append(changes, c.block(claim.Why, claim.Mend))
		}
	}
	if len(places) > 1 && !in.state.Tools.SnapshotMany {
		return append(changes, c.block(fmt.Sprintf("the cluster lies on %d datasets, and this zfs can't snapshot several in one atomic operation", len(places)),
			"put pg_wal and the tablespaces on the dataset of the data directory, or use OpenZFS"))
	}
	return append(changes, c)
}

func applySnapshot(ctx context.Context, h *Host, in *view, c Change) (name string, err error) {
	if c.Action == Update {
		for _, s := range ours(in.site, in.state) {
			if s.Name == c.Name {
				return c.Name, h.completeSnapshot(ctx, in, s.Data.Full(), s.ReplayedAt, false)
			}
		}
		return c.Name, nil
	}
	return h.takeSnapshot(ctx, in, SnapshotOptions{})
}

// SnapshotOptions are for a snapshot that a person asks for.
type SnapshotOptions struct {
	Label string
	Hold  bool // keeps it from retention until it is released
}

// takeSnapshot makes one of all datasets of the cluster, after a restartpoint,
// so that restores from it replay little. What is stamped is read before it is
// taken, and so is a lower bound of what it holds.
func (h *Host) takeSnapshot(ctx context.Context, in *view, o SnapshotOptions) (string, error) {
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	if in.state.Cluster.Process.Running {
		if err := cluster.Restartpoint(ctx); err != nil {
			h.Log.Warn("no restartpoint before the snapshot; restores from it replay more", "error", err)
		}
	}
	stamps, replayedAt, err := h.stampsBefore(ctx, in, cluster)
	if err != nil {
		return "", err
	}
	if o.Label != "" {
		stamps = append(stamps, zfs.Prop{Name: markLabel, Value: o.Label})
	}
	var datasets []string
	for _, p := range clusterDatasets(in.site, in.state) {
		datasets = append(datasets, p.Dataset)
	}
	at, err := h.freeSecond(ctx, in)
	if err != nil {
		return "", err
	}
	name := snapshotName(in.site.Snapshots.Prefix, at)
	stamps = append(stamps, zfs.Prop{Name: markTakenAt, Value: FormatTime(at)})
	if err := h.ZFS.Snapshot(ctx, datasets, name, stamps); err != nil {
		return "", err
	}
	if o.Hold {
		for _, d := range datasets {
			if err := h.ZFS.Hold(ctx, holdTag, d+"@"+name); err != nil {
				return name, err
			}
		}
	}
	return name, h.completeSnapshot(ctx, in, datasets[0]+"@"+name, replayedAt, true)
}

// stampsBefore reads what a snapshot taken from now on holds at least.
func (h *Host) stampsBefore(ctx context.Context, in *view, cluster *postgres.Cluster) (stamps []zfs.Prop, replayedAt time.Time, err error) {
	control, err := cluster.ControlData(ctx)
	if err != nil {
		return nil, replayedAt, err
	}
	if err := noBase(in.site.Standby.DataDir, control); err != nil {
		return nil, replayedAt, err
	}
	stamps = append(owner(in.site.Name),
		zfs.Prop{Name: markSystemID, Value: strconv.FormatUint(control.SystemID, 10)},
		timelineMark(control),
		zfs.Prop{Name: markRedo, Value: control.RedoLSN.String()})
	replayed := control.ConsistentLSN()
	if in.state.Cluster.Process.Running {
		status, err := cluster.Status(ctx)
		if err != nil {
			return nil, replayedAt, err
		}
		replayed = status.Replayed
		if status.ReplayedCommitAt != nil {
			replayedAt = *status.ReplayedCommitAt
			stamps = append(stamps, zfs.Prop{Name: markReplayedAt, Value: FormatTime(*status.ReplayedCommitAt)})
		}
	}
	return append(stamps, zfs.Prop{Name: markReplayed, Value: replayed.String()}), replayedAt, nil
}

// noBase refuses a snapshot of what could be no base for a restore (pitfall 14):
// since the plan somebody may have promoted the standby, or it never ran.
func noBase(dataDir string, control postgres.ControlData) error {
	if why := control.NoBase(); why != "" {
		return fmt.Errorf("%w: a snapshot of %s would be no base for a restore: %s", ErrRefused, dataDir, why)
	}
	if exists(filepath.Join(dataDir, "backup_label")) {
		return fmt.Errorf("%w: a snapshot of %s would be no base for a restore: its backup_label says that it is a copy that was not replayed yet; start the standby: zreconcile apply", ErrRefused, dataDir)
	}
	return nil
}

// freeSecond waits for a second that no snapshot is named after: names have
// whole seconds, and a second one in the same second waits.
func (h *Host) freeSecond(ctx context.Context, in *view) (time.Time, error) {
	taken := map[string]bool{}
	for _, s := range in.state.ZFS.Snapshots {
		taken[s.Name] = true
	}
	for {
		now := h.Clock()
		if !taken[snapshotName(in.site.Snapshots.Prefix, now)] {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(now.Truncate(time.Second).Add(time.Second).Sub(now)):
		}
	}
}

// timelineMark is the timeline of what a cluster has replayed.
func timelineMark(control postgres.ControlData) zfs.Prop {
	return zfs.Prop{Name: markTimeline, Value: strconv.FormatUint(uint64(control.ConsistentTimeline()), 10)}
}

// completeSnapshot stamps the earliest moment that a snapshot serves: the LSN
// where it is consistent, read afterwards and so an upper bound, and the newest
// commit or abort up to there, read from WAL (pitfalls 8, 9). The run that has
// just taken it stamps the timeline anew, which the primary may have left
// meanwhile; in a later one the data directory may be that of another copy.
func (h *Host) completeSnapshot(ctx context.Context, in *view, full string, replayedAt time.Time, justTaken bool) error {
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	control, err := cluster.ControlData(ctx)
	if err != nil {
		return err
	}
	earliest := h.earliestTime(ctx, in, control, replayedAt)
	stamps := []zfs.Prop{{Name: markConsistent, Value: control.ConsistentLSN().String()}, {Name: markWALFrom, Value: h.liveWALFrom(in, control.ConsistentLSN()).String()},
		{Name: markEarliestAt, Value: FormatTime(earliest)}}
	if justTaken {
		stamps = append(stamps, timelineMark(control))
	}
	return h.ZFS.SetProperties(ctx, full, stamps)
}
