package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Status observes the host and reports it. What could not be observed is in
// Failures.
func (h *Host) Status(ctx context.Context, site *spec.Site, now time.Time) (Status, error) {
	state, err := h.observe(ctx, site, now, false)
	if isKind(err, zfs.ErrSuspended) { // to look further would hang
		return suspendedStatus(site, state.ZFS.Pool, now, err), nil
	}
	if err != nil {
		return Status{}, err
	}
	in := &view{site: site, state: &state, now: now}
	s := h.report(ctx, in)
	s.Standby.SlotRetainedBytes = h.slotRetained(ctx, in)
	s.Verdict = Judge(site, s, now)
	return s, nil
}

// report is a status of what was seen; it runs no program and asks no primary.
func (h *Host) report(ctx context.Context, in *view) Status {
	s := Status{Format: Format, Site: in.site.Name, Standby: in.standbyStatus(), Archive: in.archiveStatus(),
		Pool: in.poolStatus(), Snapshots: in.snapshotStatuses(), Windows: []Window{}, Restores: in.restoreStatuses(), LastDrill: in.lastDrill()}
	s.Failures = in.state.failureTexts()
	h.addWindows(ctx, in, &s)
	s.WindowsUnknown = len(s.Windows) == 0 && len(s.Failures) > 0
	return s
}

// poolStatus is nil where the pool is not imported.
func (in *view) poolStatus() *PoolStatus {
	p := in.state.ZFS.Pool
	if p == nil {
		return nil
	}
	s := poolStatus(*p)
	if root, ok := in.state.ZFS.Dataset(p.Name); ok {
		s.Available, s.Segment = &root.Available, in.segmentSize()
	}
	return s
}

func poolStatus(p zfs.Pool) *PoolStatus {
	s := &PoolStatus{Name: p.Name, Health: p.Health, Size: p.Size, Free: p.Free, Faults: p.Faults(), DataErrors: p.DataErrors()}
	if p.Health != poolOnline || s.Faults != nil { // else they are about features and the like
		s.Words = p.Status
	}
	return s
}

// suspendedStatus is all that can be said of a pool whose devices are gone.
func suspendedStatus(site *spec.Site, pool *zfs.Pool, now time.Time, err error) Status {
	s := BlankStatus(site.Name, err.Error())
	s.Pool = &PoolStatus{Name: site.Pool.Name}
	if pool != nil {
		s.Pool = poolStatus(*pool)
	}
	s.Pool.Health = zfs.Suspended
	if site.Standby != nil {
		s.Standby.State = StandbyUnknown
	}
	s.Verdict = Judge(site, s, now)
	return s
}

// BlankStatus is that of a host that could not be observed.
func BlankStatus(site, why string) Status {
	return Status{
		Format: Format, Site: site, Verdict: Judgement{Level: LevelUnknown, Headline: "nothing is known", Reasons: []string{why}},
		Standby:   StandbyStatus{PendingRestart: []string{}},
		Archive:   ArchiveStatus{Gaps: []ArchiveGap{}},
		Snapshots: []SnapshotStatus{}, Windows: []Window{}, Restores: []RestoreStatus{},
		Failures: []string{why}, WindowsUnknown: true,
	}
}

// standbyState tells what was looked at from what was not: a reading that failed
// is never taken for a server that is down (pitfall 51).
func (in *view) standbyState() StandbyState {
	c := in.state.Cluster
	switch {
	case in.site.Standby == nil:
		return ""
	case in.promoted():
		return StandbyPromoted
	case c.Process.Running && c.Status == nil:
		return StandbySilent
	case c.Status == nil && in.state.failed(kindStandby):
		return StandbyUnknown
	case c.Content != DirCluster:
		return StandbyMissing
	case !c.Process.Running:
		return StandbyStopped
	case !c.Status.Connected():
		return StandbyDisconnected
	default:
		return StandbyStreaming
	}
}

func (in *view) standbyStatus() StandbyStatus {
	s := StandbyStatus{State: in.standbyState(), PendingRestart: []string{}}
	c := in.state.Cluster
	if in.site.Standby != nil {
		s.Slot = in.site.Standby.Primary.Slot
	}
	if c.Control != nil {
		s.SystemIdentifier, s.Timeline = strconv.FormatUint(c.Control.SystemID, 10), c.Control.Timeline
	}
	s.Running, s.LostWAL = c.Process.Running, c.LostWAL
	if c.Status == nil {
		return s
	}
	st := c.Status
	s.Connected, s.InRecovery, s.Timeline = st.Connected(), st.InRecovery, st.Timeline
	s.ReceivedLSN, s.ReplayedLSN = max(st.Received, st.Replayed), st.Replayed
	if st.ReplayedCommitAt != nil {
		s.ReplayedCommitAt = timePtr(*st.ReplayedCommitAt)
	}
	if st.PendingRestart != nil {
		s.PendingRestart = append([]string{}, st.PendingRestart...)
	}
	s.LagBytes, s.LagSeconds = lag(*st, in.now)
	s.Connect, s.Role = fmt.Sprintf("host=%s port=%d", c.Process.SocketDir, c.Process.Port), in.adminRole()
	s.ArchiveFailures = &st.FailedCount
	if st.LastArchivedAt != nil {
		s.LastArchivedAt = timePtr(*st.LastArchivedAt)
	}
	if st.LastFailedAt != nil && (st.LastArchivedAt == nil || st.LastFailedAt.After(*st.LastArchivedAt)) {
		s.ArchiverFailing = st.LastFailedWAL
	}
	return s
}

// leastLag is shown of a standby that is behind while the clocks say that it is
// not, in seconds: 0 is only for one that has replayed all.
const leastLag = 0.001

// lag is how far the standby is behind its primary, as far as it has heard of
// it: 0 only while it is connected and has replayed all that the primary has.
// While it is not connected the bytes are unknown, and the time counts from the
// last commit that it has. nil is unknown.
func lag(s postgres.Status, now time.Time) (bytes *int64, seconds *float64) {
	if !s.InRecovery {
		return nil, nil
	}
	if s.ReplayedCommitAt != nil {
		late := max(leastLag, primaryClock(s, now).Sub(*s.ReplayedCommitAt).Seconds())
		seconds = &late
	}
	if !s.Connected() {
		return nil, seconds
	}
	end := max(s.ReceiverLatestEnd, s.Received)
	behind := int64(end - min(end, s.Replayed))
	if behind == 0 {
		seconds = new(float64)
	}
	return &behind, seconds
}

// primaryClock is the time there, by its last message: commit times are the
// primary's (pitfall 11).
func primaryClock(s postgres.Status, now time.Time) time.Time {
	if s.PrimaryTime == nil || s.LastMsgReceiptAt == nil {
		return now
	}
	return s.PrimaryTime.Add(now.Sub(*s.LastMsgReceiptAt))
}

func (in *view) archiveStatus() ArchiveStatus {
	inv, size := in.state.Archive.Inventory, in.segmentSize()
	a := ArchiveStatus{Segments: len(inv.Segments), Gaps: []ArchiveGap{}}
	switch have := in.state.Archive; {
	case in.site.Archive == nil || in.state.failed(kindWAL):
	case !have.Mounted:
		a.Missing = "its dataset is not mounted"
	case !have.Exists:
		a.Missing = "its directory is missing"
	}
	for i, s := range inv.Segments {
		a.Bytes += s.Size
		if i == 0 {
			a.First = s.Name(size)
		}
		a.Last = s.Name(size)
	}
	for _, s := range inv.Damaged {
		a.Damaged = append(a.Damaged, s.Name(size))
	}
	if needs := in.neededWAL(); a.First != "" && len(needs) > 0 {
		a.NeededBy, a.Keeps = firstNeed(needs), keepsOf(inv.Segments, needs, size)
	}
	for _, g := range inv.Gaps() {
		a.Gaps = append(a.Gaps, ArchiveGap{Timeline: g.Timeline, From: g.From.Name(size), To: g.To.Name(size)})
	}
	return a
}

// snapshotStatuses are this site's snapshots, oldest first, with the rules that
// keep each.
func (in *view) snapshotStatuses() []SnapshotStatus {
	list := []SnapshotStatus{}
	for _, k := range in.retention() {
		s := SnapshotStatus{Name: k.Name, GUID: k.Data.GUID, TakenAt: timePtr(k.TakenAt), RedoLSN: k.Redo,
			KeptBy: append([]string{}, k.reasons...), Label: k.Label, Used: k.Data.Used, Verified: k.verification()}
		if k.complete() {
			s.Earliest = &Moment{LSN: k.Consistent, Time: timePtr(k.EarliestAt)}
		}
		list = append(list, s)
	}
	return list
}

// restoreStatuses are the restores of the file, in its order, then those that
// left it.
func (in *view) restoreStatuses() []RestoreStatus {
	list := []RestoreStatus{}
	for _, r := range in.site.Restores {
		c, exists := in.cloneOf(r)
		if !exists {
			list = append(list, in.missingRestore(r))
			continue
		}
		s := in.cloneStatus(c)
		s.ExpiresAt = timePtr(expiresAt(c, r))
		list = append(list, s)
	}
	for _, c := range in.state.Clones {
		if _, wanted := in.entry(c.Restore); !wanted {
			list = append(list, in.cloneStatus(c))
		}
	}
	for i := range list {
		if list[i].Connect != "" {
			list[i].Role = in.adminRole()
		}
	}
	return list
}

func (in *view) missingRestore(r spec.Restore) RestoreStatus {
	s := RestoreStatus{Name: r.Name, State: "stopped", Port: r.Port, Dataset: r.Dataset, Why: "not made yet"}
	if since, expired := in.expiredBefore(r); expired {
		s.Why = "expired at " + since + "; change its entry to have it again"
	} else if resolved := in.state.Resolved[r.Name]; resolved.Unknown {
		s.Why = resolved.Refused
	} else if resolved.refused() {
		s.State, s.Why = "refused", resolved.Refused
	} else if why, _ := in.restoreBlock(r); why != "" {
		s.State, s.Why = "refused", why
	}
	return s
}

func (in *view) cloneStatus(c Clone) RestoreStatus {
	s := RestoreStatus{Name: c.Restore, State: "stopped", Port: int(c.Marks.int(markPort)), Promoted: c.Promoted, Dataset: c.Dataset.Name}
	if base := c.Marks[markBase]; base != "" {
		_, s.Snapshot, _ = cutLast(base, "@")
	}
	ready := c.Marks[markState] == stateReady
	switch {
	case c.Process.Running && ready:
		s.State = "running"
		s.Connect = fmt.Sprintf("host=%s port=%d", c.SocketDir, c.Process.Port)
	case c.Process.Running:
		s.State = "recovering"
	case !ready:
		s.State, s.Why = "failed", "it was left unfinished; the next apply makes it again"
	}
	if lsn := c.Marks.lsn(markReachedLSN); lsn != 0 {
		s.Reached = &Moment{LSN: lsn, Time: timePtr(c.Marks.time(markReachedAt))}
		s.LastIn, s.FirstOut = xactOf(c.Marks[markLastIn]), xactOf(c.Marks[markFirstOut])
	}
	in.tellLeaving(c, &s)
	return s
}

// tellLeaving says of a clone that is to go why, and when it will be destroyed.
func (in *view) tellLeaving(c Clone, s *RestoreStatus) {
	why, _, keep := in.leaving(c)
	if why == "" {
		return
	}
	s.Why, s.Kept = strings.TrimPrefix(strings.TrimPrefix(why, "it "), "is "), keep
	if keep {
		s.Why += "; it is kept, and only stopped"
	}
	if due, goes := in.cloneDue(c); goes {
		s.DestroyedAt = timePtr(due)
	}
}
