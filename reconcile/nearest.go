package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// nearest names the moments on either side of a target that can be had.
func (h *Host) nearest(ctx context.Context, in *view, t spec.Target) string {
	state := *in.state // which a look at the files' headers must not change
	look := &view{site: in.site, state: &state, now: in.now, only: in.only}
	status := Status{Snapshots: look.snapshotStatuses()}
	h.addWindows(ctx, look, &status)
	switch {
	case !t.Time.IsZero():
		return nearestTimes(status.Windows, t.Time)
	case t.LSN != "":
		if lsn, err := wal.ParseLSN(t.LSN); err == nil {
			return nearestLSNs(status.Snapshots, lsn)
		}
	case t.Snapshot != "":
		return nearestSnapshots(status.Snapshots, t.Snapshot)
	}
	return allWindows(status.Windows)
}

// nearestTimes names the end of the window before a time and the beginning of
// the one after it.
func nearestTimes(windows []Window, t time.Time) string {
	var before, after string
	for _, w := range windows {
		if w.To.Before(t) {
			before = w.To.String() + " before it"
		}
		if w.From.After(t) && after == "" {
			after = w.From.String() + " after it"
		}
	}
	return sides(before, after)
}

// nearestLSNs does the same with what each snapshot reaches.
func nearestLSNs(snapshots []SnapshotStatus, lsn wal.LSN) string {
	var before, after wal.LSN
	for _, s := range snapshots {
		if s.Earliest == nil || s.Latest == nil {
			continue
		}
		if at := s.Latest.LSN; at <= lsn && at > before {
			before = at
		}
		if at := s.Earliest.LSN; at > lsn && (after == 0 || at < after) {
			after = at
		}
	}
	var texts [2]string
	if before != 0 {
		texts[0] = fmt.Sprintf("{lsn: %s, stop: before} before it", before)
	}
	if after != 0 {
		texts[1] = fmt.Sprintf("{lsn: %s, stop: before} after it", after)
	}
	return sides(texts[0], texts[1])
}

// nearestSnapshots goes by their names, which hold when they were taken.
func nearestSnapshots(snapshots []SnapshotStatus, name string) string {
	var before, after string
	for _, s := range snapshots {
		switch {
		case s.Earliest == nil: // not known yet where it is consistent
		case s.Name < name:
			before = s.Name + " before it"
		case after == "":
			after = s.Name + " after it"
		}
	}
	return sides(before, after)
}

func sides(before, after string) string {
	switch {
	case before != "" && after != "":
		return "the nearest that can be had are " + before + " and " + after
	case before+after != "":
		return "the nearest that can be had is " + before + after
	}
	return ""
}

// mostWindows bounds what a refusal lists.
const mostWindows = 4

// allWindows lists what can be had, for targets that are no place on the clock.
func allWindows(windows []Window) string {
	if len(windows) == 0 {
		return ""
	}
	var list []string
	shown := windows[max(0, len(windows)-mostWindows):]
	for _, w := range shown {
		list = append(list, w.From.String()+" to "+w.To.String())
	}
	text := "what can be had is " + strings.Join(list, ", ")
	if len(shown) < len(windows) {
		text += fmt.Sprintf(" and %d earlier stretches of time (zreconcile status)", len(windows)-len(shown))
	}
	return text
}

// joinSentences puts hints in a row.
func joinSentences(hints ...string) string {
	var said []string
	for _, h := range hints {
		if h != "" {
			said = append(said, h)
		}
	}
	return strings.Join(said, "; ")
}
