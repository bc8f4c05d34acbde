package reconcile

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// targetText is a target as a mark: two entries with the same one want the
// same moment.
func targetText(t spec.Target) string {
	var s string
	switch {
	case !t.Time.IsZero():
		s = "time " + FormatTime(t.Time)
	case t.LSN != "":
		s = "lsn " + t.LSN
	case t.XID != "":
		s = "xid " + t.XID
	case t.RestorePoint != "":
		s = "restorePoint " + t.RestorePoint
	case t.Snapshot != "":
		s = "snapshot " + t.Snapshot
	case t.Latest:
		s = "latest"
	}
	if t.Stop != "" {
		s += " " + t.Stop
	}
	return s
}

// entryDigest changes when anything of an entry does; an expired restore stays
// expired until then. It is written out by field, so that a later version of
// this program comes to the same.
func entryDigest(r spec.Restore) string {
	fields := []string{targetText(r.Target), r.Dataset, r.Mountpoint, strconv.Itoa(r.Port), r.ListenAddresses,
		r.Action, r.ExpiresAfter.String(), r.Grace.String(), strconv.FormatBool(r.Keep)}
	for _, line := range r.HBA {
		fields = append(fields, "hba "+line)
	}
	for _, s := range r.Conf {
		fields = append(fields, "set "+s.Name+"="+s.Value)
	}
	for _, p := range r.Properties {
		fields = append(fields, "property "+p.Name+"="+text(p.Value))
	}
	return digest(strings.Join(fields, "\n"))[:16]
}

// mark is a StopPoint as a mark.
func (s StopPoint) mark() string {
	side := "before"
	if s.Inclusive {
		side = "after"
	}
	return fmt.Sprintf("%d %s %s", s.Timeline, s.LSN, side)
}

func parseStop(m marks) (StopPoint, bool) {
	fields := strings.Fields(m[markStop])
	if len(fields) != 3 {
		return StopPoint{}, false
	}
	tli, err := strconv.ParseUint(fields[0], 10, 32)
	lsn := marks{markStop: fields[1]}.lsn(markStop)
	return StopPoint{LSN: lsn, Timeline: walTimeline(tli), Inclusive: fields[2] == "after"}, err == nil && lsn != 0
}

// entry finds the restore of the file that a clone was made for.
func (in *view) entry(name string) (spec.Restore, bool) {
	for _, r := range in.site.Restores {
		if r.Name == name {
			return r, true
		}
	}
	return spec.Restore{}, false
}

// cloneOf finds the clone of a restore, on the dataset of its entry first.
func (in *view) cloneOf(r spec.Restore) (Clone, bool) {
	var found *Clone
	for i, c := range in.state.Clones {
		if c.Restore == r.Name && (found == nil || c.Dataset.Name == r.Dataset) {
			found = &in.state.Clones[i]
		}
	}
	if found == nil {
		return Clone{}, false
	}
	return *found, true
}

// expiresAt is when a clone's time is up; zero is never.
func expiresAt(c Clone, r spec.Restore) time.Time {
	made := c.Marks.time(markMadeAt)
	if r.ExpiresAfter == 0 || made.IsZero() {
		return time.Time{}
	}
	return made.Add(r.ExpiresAfter)
}

func expiryText(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return FormatTime(at)
}

// expired is true of a clone whose time is up, unless its entry changed since:
// that begins its time anew.
func (in *view) expired(c Clone, r spec.Restore) bool {
	at := expiresAt(c, r)
	digest, _ := in.expiry(r)
	return !at.IsZero() && !at.After(in.now) && (digest == "" || digest == entryDigest(r))
}

// expiredBefore is true of an entry that expired, is gone, and has not changed.
func (in *view) expiredBefore(r spec.Restore) (since string, expired bool) {
	digest, since := in.expiry(r)
	return since, digest == entryDigest(r)
}

// expiry reads the mark that an expired restore left on its parent: the digest
// of its entry at that time, and when its time was up; "" is none.
func (in *view) expiry(r spec.Restore) (digest, since string) {
	d, _ := in.state.ZFS.Dataset(in.existing(parent(r.Dataset)))
	digest, since, _ = strings.Cut(localMarks(d.Properties)[expiredMark(r.Name)], " ")
	return digest, since
}

// existing is the nearest dataset at or above a name that is there.
func (in *view) existing(name string) string {
	for strings.Contains(name, "/") {
		if _, ok := in.state.ZFS.Dataset(name); ok {
			return name
		}
		name = parent(name)
	}
	return name
}

// leaving says why a clone is to go, and how long it stays after it stopped.
func (in *view) leaving(c Clone) (why string, grace time.Duration, keep bool) {
	r, wanted := in.entry(c.Restore)
	switch {
	case !wanted:
		return "it is not in the file any more", time.Duration(c.Marks.int(markGrace)) * time.Second, c.Marks[markKeep] == "on"
	case in.expired(c, r):
		return "it expired at " + FormatTime(expiresAt(c, r)), r.Grace, r.Keep
	}
	return "", 0, false
}

// cloneDue is when a clone changes by itself: it expires, or its grace ends.
func (in *view) cloneDue(c Clone) (time.Time, bool) {
	if why, grace, keep := in.leaving(c); why != "" {
		left := c.Marks.time(markLeftAt)
		return left.Add(grace), !left.IsZero() && !keep
	}
	r, _ := in.entry(c.Restore)
	at := expiresAt(c, r)
	return at, !at.IsZero()
}
