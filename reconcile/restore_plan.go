package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// resolvedAttrs say what a restore would be made of: its base, the timelines it
// follows, the WAL that it needs and where each part comes from, the last
// transaction in and the first one out, and about how long the replay takes.
func (in *view) resolvedAttrs(resolved Resolution) []Attr {
	size := in.segmentSize()
	if resolved.Holder.Name != "" {
		return []Attr{{Name: "wal", Before: resolved.Hole.Name(size) + " is missing or damaged", After: "from the snapshot " + resolved.Holder.Name}}
	}
	if in.state.Absent != nil && !in.freshPool() {
		return []Attr{{Name: "snapshot", After: "(known when the pool is imported)"}}
	}
	if resolved.Base.Name == "" {
		return []Attr{{Name: "snapshot", After: "(the one that this apply takes)"}}
	}
	attrs := []Attr{{Name: "snapshot", After: resolved.Base.Name}}
	if len(resolved.Path) > 0 {
		attrs = append(attrs, Attr{Name: "timeline", After: pathText(resolved.Path)})
	}
	attrs = append(attrs, in.supplyAttrs(resolved)...)
	if resolved.End != 0 {
		bytes := resolved.replay()
		attrs = append(attrs, Attr{Name: "replay", After: fmt.Sprintf("%s from %s, about %s", units.BytesSize(float64(bytes)), resolved.Base.Redo, replayTime(bytes))})
	}
	if resolved.Stop.LSN != 0 {
		attrs = append(attrs, Attr{Name: "stop", After: resolved.Stop.mark()})
	}
	return append(attrs, Attr{Name: "last transaction in", After: lastInText(resolved)}, Attr{Name: "first transaction out", After: firstOutText(resolved)})
}

// pathText lists timelines with where each begins.
func pathText(path wal.Path) string {
	var parts []string
	for i, step := range path {
		part := fmt.Sprint(step.Timeline)
		if i > 0 {
			part += " from " + step.From.String()
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// supplyAttrs list the runs of WAL by the place that they come from.
func (in *view) supplyAttrs(resolved Resolution) []Attr {
	size := in.segmentSize()
	var attrs []Attr
	for _, s := range resolved.Damaged {
		attrs = append(attrs, Attr{Name: "wal", Before: s.Name(size) + " is damaged in the archive", After: "set aside, for a sound copy"})
	}
	at := resolved.Base.Redo
	for _, s := range resolved.Supplies {
		count := "1 segment, "
		if n := s.segments(); n > 1 {
			count = fmt.Sprintf("%d segments, %s to ", n, s.first.Name(size))
		}
		attrs = append(attrs, Attr{Name: "wal", After: count + s.last.Name(size) + ", " + s.origin(resolved.Base)})
		at = s.to
	}
	if need := max(resolved.End, resolved.Base.Consistent); at < need {
		attrs = append(attrs, Attr{Name: "wal", After: fmt.Sprintf("%s to %s, from the snapshot's own pg_wal", at, need)})
	}
	return attrs
}

func (s supply) origin(base Snapshot) string {
	switch {
	case s.place == inArchive:
		return "from the archive"
	case s.place == inLive:
		return "from the live pg_wal"
	case s.snapshot.Name == base.Name:
		return "from the snapshot's own pg_wal"
	}
	return "from the pg_wal of the snapshot " + s.snapshot.Name
}

// replaySpeed is what replay does of WAL that the page cache has, in bytes a
// second, with a call of restore_command for each segment: a guess on the safe
// side, for people to know whether to wait or to have lunch.
const replaySpeed = 40 << 20

// replayTime is about how long it takes until a clone stands at its target.
func replayTime(bytes wal.LSN) time.Duration {
	return (time.Second + time.Duration(float64(bytes)/replaySpeed*float64(time.Second))).Round(time.Second)
}

func lastInText(r Resolution) string {
	switch {
	case r.LastIn.Start != 0:
		return xactText(r.LastIn)
	case r.Reached.Time != nil:
		return "that of " + r.Reached.Time.String() + ", which the snapshot holds"
	}
	return "the last one that the snapshot holds"
}

func firstOutText(r Resolution) string {
	if r.FirstOut.Start != 0 {
		return xactText(r.FirstOut)
	}
	return "none is known yet"
}

// xactText is the end of a transaction for a person.
func xactText(r wal.Record) string {
	return fmt.Sprintf("%s of %s, transaction %d, at %s", r.Kind, FormatTime(r.Time), endedXID(r), r.Start)
}
