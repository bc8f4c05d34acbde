package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Level is how a host fares.
type Level string

// The levels, in the words of monitoring plugins.
const (
	LevelOK       Level = "ok"
	LevelWarning  Level = "warning"
	LevelUnknown  Level = "unknown"
	LevelCritical Level = "critical"
)

// severity orders the levels. Unknown is worse than a warning: behind what could
// not be looked at there may be anything. What is critical is so whatever else
// is not known.
var severity = map[Level]int{LevelOK: 0, LevelWarning: 1, LevelUnknown: 2, LevelCritical: 3}

// Judgement is the answer to "am I safe".
type Judgement struct {
	Level Level `json:"level"`
	// Headline says which moments can be had, and when that was proven.
	Headline string   `json:"headline"`
	Reasons  []string `json:"reasons"` // why it is not ok, the worst first
}

// muchRetained is how much WAL a slot may keep on the primary before it is worth
// a warning, in bytes: ten times what a primary keeps of itself by default
// (max_wal_size, chapter "WAL Configuration").
const muchRetained = 10 << 30

// silence is how long a connected standby may have heard nothing from an idle
// primary (wal_receiver_timeout, chapter "Replication"; asked again after half).
const silence = time.Minute

// Judge says how a host fares, by its status and the limits of the file.
//
// Critical is what a person should be woken for: moments that the file promises
// are lost, or each hour that passes loses more, and no apply mends it by itself
// for sure. A warning can wait for the morning: what is there can be restored,
// and it mends itself, or the promise gets weaker slowly.
//
//	the pool is not imported       critical  nothing can be had
//	the pool is not ONLINE         critical  DEGRADED: the next disk takes everything along
//	the pool has data errors       critical  what they are in can't be restored
//	a device had errors            warning   ZFS repaired what they hit
//	less than health.free is free  warning   a full pool stops archiving, later
//	room for few segments of WAL   warning   the same, by what others reserved
//	standby missing or stopped     critical  what the primary does now is recorded nowhere
//	standby promoted               critical  it follows nobody, and retention stands still
//	standby has lost its WAL       critical  it will never follow again by itself
//	standby answers nobody         unknown   it may be starting
//	standby not connected          warning   primaries are restarted; the archive goes on from where it was
//	lag over health.lag            warning   it is behind, and nothing is lost
//	settings wait for a restart    warning   they are not what the file says
//	slot retains 10 GiB            warning   the primary's disk fills
//	archiving fails                critical  pg_wal fills, and what is not archived is in one place alone
//	no archive, or not mounted     critical  the same, from the next segment on
//	no moment can be restored      critical  the whole purpose
//	only snapshots by their names  warning   nothing was committed since, or it can't be seen
//	WAL is missing                 critical  moments between kept snapshots are lost
//	newest moment far over it      warning   WAL arrives, and can't be read
//	snapshot over snapshotAge      warning   restores replay longer, and hang on older WAL
//	last drill failed              critical  what is kept may be of no use
//	last drill over drillAge       warning   the proof is old; only where the file wants drills
//	restore failed or refused      warning   somebody waits for it, and has been told
//	restore is down                warning   the next apply starts it
//	anything not observed          unknown   it may hide what is critical
//
// A limit of 0 is no limit.
func Judge(site *spec.Site, s Status, now time.Time) Judgement {
	e := examination{site: site, now: now}
	e.failures(s.Failures)
	if e.pool(s.Pool) {
		e.standby(s.Standby)
		if s.Archive.Missing != "" {
			e.find(LevelCritical, "there is no archive of WAL: %s", s.Archive.Missing)
		}
		e.snapshots(s)
		e.windows(s)
		e.drills(s.LastDrill)
		e.restores(s.Restores)
	}
	return e.verdict(headline(site, s, now))
}

// finding is one thing that is not as it should be.
type finding struct {
	level Level
	text  string
}

// examination collects what is not ok.
type examination struct {
	site     *spec.Site
	now      time.Time
	findings []finding
}

func (e *examination) find(level Level, format string, args ...any) {
	e.findings = append(e.findings, finding{level, fmt.Sprintf(format, args...)})
}

// verdict is the worst of the findings; those of one level stay in order.
func (e *examination) verdict(headline string) Judgement {
	v := Judgement{Level: LevelOK, Headline: headline, Reasons: []string{}}
	slices.SortStableFunc(e.findings, func(a, b finding) int { return cmp.Compare(severity[b.level], severity[a.level]) })
	for i, f := range e.findings {
		if i == 0 {
			v.Level = f.level
		}
		v.Reasons = append(v.Reasons, f.text)
	}
	return v
}

func (e *examination) failures(failures []string) {
	for _, f := range failures {
		first, _, _ := strings.Cut(f, "\n")
		e.find(LevelUnknown, "could not be observed: %s", first)
	}
}

// pool is false where nothing more can be said without it.
func (e *examination) pool(p *PoolStatus) bool {
	if p == nil {
		e.find(LevelCritical, "the pool %s is not imported", e.site.Pool.Name)
		return false
	}
	switch faults := strings.Join(p.Faults, ", "); {
	case p.Health != poolOnline:
		e.find(LevelCritical, "%s", strings.TrimSuffix(fmt.Sprintf("the pool %s is %s: %s", p.Name, p.Health, faults), ": "))
	case p.DataErrors:
		e.find(LevelCritical, "the pool %s has lost data: %s", p.Name, faults)
	case faults != "":
		e.find(LevelWarning, "the pool %s is ONLINE, but %s", p.Name, faults)
	}
	if limit := e.site.Health.Free; limit > 0 && p.Size > 0 && float64(p.Free) < limit*float64(p.Size) {
		e.find(LevelWarning, "%.0f%% of the pool %s is free, less than %.0f%%", 100*float64(p.Free)/float64(p.Size), p.Name, 100*limit)
	}
	if p.Available != nil && *p.Available < nearlyFull*cmp.Or(p.Segment, defaultSegmentSize) {
		e.find(LevelWarning, "only %s can still be written to the pool %s: it is full, or something is reserved", size(*p.Available), p.Name)
	}
	return p.Health != zfs.Suspended
}

func (e *examination) standby(s StandbyStatus) {
	switch s.State {
	case StandbyUnknown:
		e.find(LevelUnknown, "whether the standby runs is not known")
	case StandbyMissing:
		e.find(LevelCritical, "there is no standby: it was not copied, or its dataset is not mounted")
	case StandbyStopped:
		e.find(LevelCritical, "the standby does not run")
	case StandbySilent:
		e.find(LevelUnknown, "the standby runs and answers nobody")
	case StandbyPromoted:
		e.find(LevelCritical, "the standby was promoted, and follows the primary no more")
	case StandbyDisconnected:
		e.find(LevelWarning, "the standby is not connected to its primary")
	}
	if s.LostWAL != "" {
		e.find(LevelCritical, "the standby can't follow any more: %s", s.LostWAL)
	}
	if s.ArchiverFailing != "" {
		e.find(LevelCritical, "archiving fails at %s", s.ArchiverFailing)
	}
	if s.LagSeconds != nil {
		e.older(LevelWarning, "the standby is %s behind, more than %s", time.Duration(*s.LagSeconds*float64(time.Second)), e.site.Health.Lag)
	}
	if len(s.PendingRestart) > 0 {
		e.find(LevelWarning, "a restart is needed for %s", join(s.PendingRestart))
	}
	if s.SlotRetainedBytes != nil && *s.SlotRetainedBytes >= muchRetained {
		e.find(LevelWarning, "the slot %s retains %d GiB of WAL on the primary", s.Slot, *s.SlotRetainedBytes>>30)
	}
}

// older finds an age that is over its limit, and says both.
func (e *examination) older(level Level, format string, age, limit time.Duration) {
	if limit > 0 && age > limit {
		e.find(level, format, FormatSpan(age), FormatSpan(limit))
	}
}

func (e *examination) snapshots(s Status) {
	if newest := s.NewestSnapshot(); newest != nil {
		e.older(LevelWarning, "the newest snapshot is %s old, more than %s", e.now.Sub(newest.Time), e.site.Health.SnapshotAge)
	}
	for _, snap := range s.Snapshots {
		if snap.Lost && snap.Latest == nil { // one that goes on to a hole is of a window
			e.find(LevelCritical, "the snapshot %s can't be restored: %s", snap.Name, snap.LatestWhy)
		}
	}
}

// NewestSnapshot is when the newest snapshot was taken; nil is none.
func (s Status) NewestSnapshot() *Time {
	var newest *Time
	for _, snap := range s.Snapshots {
		if snap.TakenAt != nil && (newest == nil || snap.TakenAt.After(newest.Time)) {
			newest = snap.TakenAt
		}
	}
	return newest
}

func (e *examination) windows(s Status) {
	if e.site.Standby == nil || e.site.Snapshots == nil {
		return // nothing was promised
	}
	if len(s.Windows) == 0 {
		switch _, base := s.newestBase(); {
		case s.WindowsUnknown:
			e.find(LevelUnknown, "which moments can be restored is not known")
		case base:
			e.find(LevelWarning, "no time can be restored: no commit is known since the snapshots")
		default:
			e.find(LevelCritical, "no moment can be restored")
		}
		return
	}
	for i, w := range s.Windows {
		switch {
		case !w.Lost:
		case i+1 < len(s.Windows):
			e.find(LevelCritical, "moments from %s to %s are lost: %s", inZone(e.site, w.To), inZone(e.site, wholeSecond(s.Windows[i+1].From)), w.Why)
		default:
			e.find(LevelCritical, "moments from %s on can't be restored: %s", inZone(e.site, w.To), w.Why)
		}
	}
	if last, limit := s.Windows[len(s.Windows)-1], e.site.Health.Lag; limit > 0 && s.Standby.State == StandbyStreaming && !last.Lost {
		e.older(LevelWarning, "the newest moment that can be restored is %s old, more than %s", e.now.Sub(last.To.Time), limit+silence)
	}
}

// newestBase names the newest snapshot that recovery can start from.
func (s Status) newestBase() (name string, found bool) {
	for _, snap := range s.Snapshots {
		if snap.Latest != nil {
			name, found = snap.Name, true
		}
	}
	return name, found
}

func (e *examination) drills(last *LastDrill) {
	switch {
	case last != nil && !last.OK:
		e.find(LevelCritical, "the last restore drill failed, that of %s", last.Snapshot)
	case e.site.Verify == nil:
	case last != nil:
		e.older(LevelWarning, "the last restore drill was %s ago, more than %s", e.now.Sub(last.At.Time), e.site.Health.DrillAge)
	case e.site.Health.DrillAge > 0:
		e.find(LevelWarning, "no restore drill was made yet")
	}
}

func (e *examination) restores(restores []RestoreStatus) {
	for _, r := range restores {
		why, _, _ := strings.Cut(r.Why, "\n")
		switch {
		case r.State == "failed" || r.State == "refused":
			e.find(LevelWarning, "the restore %s: %s", r.Name, strings.TrimSuffix(r.State+", "+why, ", "))
		case r.State == "stopped" && why == "":
			e.find(LevelWarning, "the restore %s does not run", r.Name)
		}
	}
}

// headline says which moments can be had, and when that was proven.
func headline(site *spec.Site, s Status, now time.Time) string {
	return moments(site, s, now) + "; " + proof(s.LastDrill, now)
}

func moments(site *spec.Site, s Status, now time.Time) string {
	n := len(s.Windows)
	base, found := s.newestBase()
	switch {
	case n == 0 && s.WindowsUnknown:
		return "how far back it goes is not known"
	case n == 0 && found:
		return "only what the snapshot " + base + " holds, by its name"
	case n == 0:
		return "nothing to go back to"
	}
	last := s.Windows[n-1]
	from := wholeSecond(last.From)
	text := fmt.Sprintf("any moment from %s to %s", inZone(site, from), since(now, last.To))
	if from.After(last.To.Time) { // within one second
		text = fmt.Sprintf("the moment %s, %s", last.From, since(now, last.To))
	}
	if n > 1 {
		text += fmt.Sprintf(", and parts of what was before, back to %s", inZone(site, wholeSecond(s.Windows[0].From)))
	}
	return text
}

// wholeSecond is the first one that is not before t: what is shown can be had.
func wholeSecond(t Time) Time {
	return Time{t.Add(time.Second - time.Nanosecond).Truncate(time.Second)}
}

func proof(last *LastDrill, now time.Time) string {
	switch {
	case last == nil:
		return "never proven"
	case last.OK:
		return "proven " + since(now, last.At)
	default:
		return "the last drill failed " + since(now, last.At)
	}
}

// since says how long ago something was; a clock that was set wrong makes it now.
func since(now time.Time, t Time) string {
	if d := now.Sub(t.Time); d >= time.Second {
		return FormatSpan(d) + " ago"
	}
	return "now"
}

// inZone writes a moment as the file's people read it, to the second, and in a
// form that a restore's target takes.
func inZone(site *spec.Site, t Time) string {
	return t.In(site.Timezone).Format("2006-01-02 15:04:05Z07:00")
}
