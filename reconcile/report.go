package reconcile

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// Status observes the host and reports it. What could not be observed is in
// Failures.
func (h *Host) Status(ctx context.Context, site *spec.Site, now time.Time) (Status, error) {
	state, err := h.observe(ctx, site, now, false)
	if err != nil {
		return Status{}, err
	}
	in := &view{site: site, state: &state, now: now}
	s := Status{Format: Format, Site: site.Name, Standby: in.standbyStatus(), Archive: in.archiveStatus(),
		Snapshots: in.snapshotStatuses(), Windows: []Window{}, Restores: in.restoreStatuses(), LastDrill: in.lastDrill()}
	if p := state.ZFS.Pool; p != nil {
		s.Pool = &PoolStatus{Name: p.Name, Health: p.Health, Size: p.Size, Free: p.Free}
	}
	s.Standby.SlotRetainedBytes = h.slotRetained(ctx, in)
	s.Failures = state.failureTexts()
	h.addWindows(ctx, in, &s)
	return s, nil
}

func (in *view) standbyStatus() StandbyStatus {
	s := StandbyStatus{PendingRestart: []string{}}
	c := in.state.Cluster
	if in.site.Standby != nil {
		s.Slot = in.site.Standby.Primary.Slot
	}
	if c.Control != nil {
		s.SystemIdentifier, s.Timeline = strconv.FormatUint(c.Control.SystemID, 10), c.Control.Timeline
	}
	s.Running = c.Process.Running
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
	for i, s := range inv.Segments {
		a.Bytes += s.Size
		if i == 0 {
			a.First = s.Name(size)
		}
		a.Last = s.Name(size)
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

// addWindows follows the WAL from each snapshot as far as it goes without a
// gap: Latest of the snapshot. Stretches that meet are one window.
func (h *Host) addWindows(ctx context.Context, in *view, s *Status) {
	r, err := reachOf(in)
	if err != nil {
		s.Failures = append(s.Failures, err.Error())
		return
	}
	ranges := archivedRanges(in)
	for i := len(s.Snapshots) - 1; i >= 0; i-- {
		snap := &s.Snapshots[i]
		if snap.Earliest == nil {
			continue
		}
		if i+1 < len(s.Snapshots) && s.Snapshots[i+1].Latest != nil && ranges.join(snap.Earliest.LSN, s.Snapshots[i+1].RedoLSN) {
			latest := *s.Snapshots[i+1].Latest
			snap.Latest = &latest
			continue
		}
		snap.Latest = latestFrom(ctx, r, ranges, *snap)
		if i == len(s.Snapshots)-1 {
			snap.Latest = quietUntil(in.state.Cluster.Status, *snap.Latest)
		}
	}
	s.Windows = windows(s.Snapshots)
}

// latestFrom is the last transaction that can be reached from a snapshot. Only
// the end of the stretch is read; that there is no gap before is told by names.
func latestFrom(ctx context.Context, r reach, ranges walRanges, snap SnapshotStatus) *Moment {
	latest := *snap.Earliest
	end := ranges.endFrom(snap.Earliest.LSN)
	if end == 0 {
		return &latest
	}
	from := snap.Earliest.LSN
	if tail := end - min(end, latestTail); tail > from {
		from = tail / wal.LSN(r.size) * wal.LSN(r.size)
	}
	_, _, _ = r.scan(ctx, from, func(rec wal.Record) bool {
		latest.LSN = rec.End
		if rec.IsXact() && (latest.Time == nil || rec.Time.After(latest.Time.Time)) {
			latest.Time = timePtr(rec.Time)
		}
		return false
	})
	return &latest
}

// quietUntil moves the latest moment on to the primary's last message: where
// the standby has replayed all that it tells of, nothing happened in between.
func quietUntil(status *postgres.Status, latest Moment) *Moment {
	if status == nil || !status.Connected() || status.PrimaryTime == nil || latest.LSN < status.ReceiverLatestEnd {
		return &latest
	}
	if latest.Time == nil || status.PrimaryTime.After(latest.Time.Time) {
		latest.Time = timePtr(*status.PrimaryTime)
	}
	return &latest
}

// latestTail is how much of the end of the WAL is read for its last commit.
const latestTail = 64 << 20

// windows joins what each snapshot serves where it meets or overlaps.
func windows(snapshots []SnapshotStatus) []Window {
	out := []Window{}
	for _, s := range snapshots {
		if s.Earliest == nil || s.Earliest.Time == nil || s.Latest == nil || s.Latest.Time == nil {
			continue
		}
		from, to := *s.Earliest.Time, *s.Latest.Time
		if n := len(out); n > 0 && !from.After(out[n-1].To.Time) {
			if to.After(out[n-1].To.Time) {
				out[n-1].To = to
			}
			continue
		}
		out = append(out, Window{From: from, To: to})
	}
	return out
}

// walRanges are the runs of WAL that can be had, by LSN.
type walRanges []struct{ from, to wal.LSN }

// archivedRanges joins archive and live pg_wal; the live one's last segment is
// the one that is being received.
func archivedRanges(in *view) walRanges {
	size := in.segmentSize()
	have := map[uint64]bool{}
	for _, s := range in.state.Archive.Inventory.Segments {
		have[s.Number] = true
	}
	live := in.state.Archive.Live
	for _, s := range live.Segments {
		if c := in.state.Cluster.Control; c != nil && in.state.Cluster.Status != nil &&
			s.Start(size) <= max(in.state.Cluster.Status.Received, in.state.Cluster.Status.Replayed) {
			have[s.Number] = true
		}
	}
	numbers := make([]uint64, 0, len(have))
	for n := range have {
		numbers = append(numbers, n)
	}
	sort.Slice(numbers, func(i, j int) bool { return numbers[i] < numbers[j] })
	var out walRanges
	for _, n := range numbers {
		from, to := wal.LSN(n)*wal.LSN(size), wal.LSN(n+1)*wal.LSN(size)
		if k := len(out); k > 0 && out[k-1].to == from {
			out[k-1].to = to
			continue
		}
		out = append(out, struct{ from, to wal.LSN }{from, to})
	}
	return out
}

// endFrom is how far WAL goes on from an LSN without a gap; 0 is not at all.
func (w walRanges) endFrom(lsn wal.LSN) wal.LSN {
	for _, r := range w {
		if r.from <= lsn && lsn < r.to {
			return r.to
		}
	}
	return 0
}

func (w walRanges) join(a, b wal.LSN) bool {
	end := w.endFrom(a)
	return end != 0 && end > b
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
	} else if resolved := in.state.Resolved[r.Name]; resolved.Refused != "" {
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
	if due, goes := in.cloneDue(c); goes {
		s.DestroyedAt = timePtr(due)
	}
}
