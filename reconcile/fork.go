package reconcile

import (
	"fmt"
	"path/filepath"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// fork is a timeline that a server would have to leave its own WAL for.
type fork struct {
	timeline wal.Timeline
	at       wal.LSN // where it left the timeline of the data directory
	dir      string  // that its history file is in
	own      wal.Timeline
	held     wal.LSN // what the data directory holds of its own timeline, at least
}

// forkedOff finds a timeline that the standby can't start for: a server that is
// to follow the latest one looks for history files from its own on, one by one,
// and ends with a FATAL error when the newest forked off before what it holds
// (findNewestTimeLine of timeline.c, InitWalRecovery of xlogrecovery.c). So it
// is with a standby that had received more than the follower that was promoted.
// Of the archive's histories wal get shows it those that its pg_wal knows of.
func (in *view) forkedOff() (fork, bool) {
	c := in.state.Cluster.Control
	if c == nil || in.state.Cluster.BackupLabel {
		return fork{}, false
	}
	f := fork{own: c.ConsistentTimeline(), held: c.ConsistentLSN()}
	var newest wal.Path
	known := wal.Timeline(0)
	for _, name := range in.state.Archive.Live.Histories {
		timeline, _ := wal.ParseHistoryName(name)
		known = max(known, timeline)
	}
	for next := max(c.Timeline, c.MinRecoveryTimeline) + 1; next <= known; next++ {
		path, dir, ok := in.pathTo(next)
		if !ok {
			break
		}
		newest, f.timeline, f.dir = path, next, dir
	}
	for _, step := range newest {
		if step.Timeline == f.own {
			f.at = step.To
			return f, f.held > step.To
		}
	}
	return f, newest != nil
}

// cannotStart blocks a standby that would not start, or not start again.
func (in *view) cannotStart(c Change, f fork) Change {
	at := "has no part in its history"
	if f.at != 0 {
		at = fmt.Sprintf("forked off before, at %s", f.at)
	}
	file := filepath.Join(f.dir, wal.HistoryName(f.timeline))
	return c.block(fmt.Sprintf("the standby can't follow timeline %d, and would not start: it holds WAL up to %s of timeline %d, and timeline %d %s, says %s",
		f.timeline, f.held, f.own, f.timeline, at, file),
		fmt.Sprintf("if timeline %d is the primary's: %s; if it is not, move %s away", f.timeline, in.copyAnew(), file))
}

// pathTo reads the history of a timeline from where the server looks for it.
func (in *view) pathTo(timeline wal.Timeline) (path wal.Path, dir string, ok bool) {
	if path, ok = in.state.Archive.Live.PathTo(timeline); ok { // wal get hides another one of the archive
		return path, in.livePgWAL(), true
	}
	if in.site.Archive == nil {
		return nil, "", false
	}
	path, ok = in.state.Archive.Inventory.PathTo(timeline)
	return path, in.site.Archive.Dir, ok
}
