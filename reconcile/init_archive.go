package reconcile

import (
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// copiesTo finds where a command such as cp %p /archive/%f puts a file.
var copiesTo = regexp.MustCompile(`(/[^\s'"%;&|<>]+)/%f`)

// archiveOf is the folder that an archive_command archives to; "" is not known.
func archiveOf(command string) string {
	words := conf.ShellWords(command)
	for i, word := range words {
		if word == "--archive" && i > 1 && words[i-1] == "push" && i+1 < len(words) {
			return words[i+1]
		}
	}
	if m := copiesTo.FindStringSubmatch(command); m != nil {
		return path.Clean(m[1])
	}
	return ""
}

// archive is the folder that the standby archives to, or did until it was
// ejected: it goes on to read what is there.
func (c *foundCluster) archive() string {
	dir := archiveOf(c.settings["archive_command"])
	if dir == "" && c.ejected != "" {
		dir = archiveOf(c.settings["restore_command"])
	}
	return dir
}

// deduceArchive writes the archive that the standby archives to. WAL that the
// snapshots of somebody else may need stays where it is, in a folder that apply
// never removes anything from.
func (d *deduction) deduceArchive() {
	c := d.cluster
	if mode := c.settings["archive_mode"]; c.managedBy != "" && mode == "off" {
		return // the site has none
	}
	dir := c.archive()
	m, ok := zfs.Holding(d.mounts, dir)
	switch {
	case dir == "":
		d.note("the standby archives no WAL, so the file has no archive: without one, only the moments of snapshots can be restored; see archive.dir in examples/site.yaml")
		return
	case !ok || !m.IsZFS() || poolOf(m.Source) != d.site.Pool.Name:
		d.note("the archive %s lies on no dataset of pool %s, so the file has no archive: see archive.dir in examples/site.yaml", dir, d.site.Pool.Name)
		return
	}
	d.site.Archive = &spec.Archive{Dir: dir}
	switch theirs := d.strangersSnapshot(); {
	case dir == m.Target:
		d.site.Archive.Dir = path.Join(dir, "zreconcile")
		d.remark("archive.dir", "below %s, which is a mountpoint itself; what is there stays, and nothing is removed from it", dir)
	case c.managedBy == "" && theirs != "" && c.archived > 0:
		d.site.Archive.Dir = dir + "-zreconcile"
		d.remark("archive.dir", "not %s: apply would remove the WAL there that only snapshots such as %s may need", dir, theirs)
	}
}

// strangersSnapshot names one of the cluster's data that this site did not
// take; "" is none.
func (d *deduction) strangersSnapshot() string {
	for _, s := range d.pool.SnapshotsOf(d.cluster.dataset) {
		if localMarks(s.Properties)[markSite] != d.site.Name {
			return s.Full()
		}
	}
	return ""
}

// deduceSnapshots writes a cadence by the snapshots that are there, under which
// none is due now, and a retention that removes none. Neither stands on the host.
func (d *deduction) deduceSnapshots() {
	own := ours(&d.site, d.state())
	s := &spec.Snapshots{Prefix: "zr", Retention: spec.Retention{Last: -1}}
	d.site.Snapshots = s
	taken := momentsOf(own)
	if len(own) > 0 {
		if prefix, _, ok := cutLast(own[len(own)-1].Name, "-"); ok {
			s.Prefix = prefix
		}
	} else {
		for _, theirs := range d.pool.SnapshotsOf(d.cluster.dataset) {
			taken = append(taken, theirs.Creation)
		}
		slices.SortFunc(taken, time.Time.Compare)
	}
	var newest *time.Time
	if len(own) > 0 {
		newest = &taken[len(taken)-1]
	}
	s.Every = cadenceOf(taken, newest, d.now)
	d.remark("snapshots.every", "guessed by the snapshots that are there; or such as schedule: \"7 * * * *\"")
	d.remark("snapshots.retention", "guessed: keeps all, until the pool is full; better {within: 48h, daily: 35}")
	if age := d.site.Health.SnapshotAge; s.Every > age {
		d.site.Health.SnapshotAge = s.Every + max(s.Every/10, time.Hour).Truncate(time.Hour)
		d.remark("health", "raised, since the snapshots come farther apart than its default of %s", spec.FormatDuration(age))
	}
	if at := d.lastDrill(); at != "" {
		d.note("restore drills were made here, the last at %s; when they are due does not stand on the host: write verify, as in examples/site.yaml", at)
	}
}

// state is what was found, as the parts of a plan that read it want it.
func (d *deduction) state() *State {
	return &State{ZFS: d.pool, Mounts: d.mounts}
}

// momentsOf are when snapshots were taken on schedule, oldest first. A label
// says that a person asked for one.
func momentsOf(list []Snapshot) []time.Time {
	var taken, all []time.Time
	for _, s := range list {
		all = append(all, s.TakenAt)
		if s.Label == "" {
			taken = append(taken, s.TakenAt)
		}
	}
	if last := len(all) - 1; len(taken) > 0 && taken[len(taken)-1].Equal(all[last]) {
		return taken
	}
	return all
}

// cadences are those that people choose.
var cadences = []time.Duration{time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour}

const (
	usualCadence = 24 * time.Hour
	soon         = 10 * time.Minute // a person reads the file before the next one is due
)

// cadenceOf is the nearest to the time between the newest snapshots, which
// retention has not thinned out yet, and long enough for none to be due soon.
func cadenceOf(taken []time.Time, newest *time.Time, now time.Time) time.Duration {
	gap := usualCadence
	if n := len(taken); n >= 3 {
		// The middle one of the newest three gaps: one that was asked for, or
		// missed, does not count.
		var gaps []time.Duration
		for i := n - 1; i > 0 && len(gaps) < 3; i-- {
			gaps = append(gaps, taken[i].Sub(taken[i-1]))
		}
		slices.Sort(gaps)
		gap = gaps[len(gaps)/2]
	}
	best := cadences[len(cadences)-1]
	for i, c := range cadences {
		// Up to a tenth above, where a scheduled run came late.
		if gap <= c+c/10 || i == len(cadences)-1 {
			best = c
			break
		}
	}
	for _, c := range cadences {
		if c >= best && (newest == nil || newest.Add(c).After(now.Add(soon))) {
			return c
		}
	}
	return now.Sub(*newest).Truncate(24*time.Hour) + 365*24*time.Hour
}

// lastDrill is when the last restore drill was made; "" is never.
func (d *deduction) lastDrill() string {
	data, _ := d.pool.Dataset(d.cluster.dataset)
	when := localMarks(data.Properties)[markLastDrill]
	if len(when) < len(timeLayout) {
		return ""
	}
	return when[:len(timeLayout)]
}
