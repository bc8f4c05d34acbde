package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/zfs"
)

// The marks: ZFS user properties that say what was made, when and for whom.
// They are the program's only memory. ZFS hands user properties down to
// children, clones and snapshots of strangers, so a mark counts only where its
// source is local (zfsprops(7), "User Properties").
const (
	markFormat  = "zreconcile:format" // version of these marks
	markSite    = "zreconcile:site"   // the owner
	marksFormat = "1"
	markPrefix  = "zreconcile:"
)

// The marks of a snapshot.
const (
	markSystemID   = "zreconcile:system-identifier"
	markTimeline   = "zreconcile:timeline"
	markRedo       = "zreconcile:redo"        // redo LSN, read before: a lower bound
	markReplayed   = "zreconcile:replayed"    // replayed LSN, read before: a lower bound
	markReplayedAt = "zreconcile:replayed-at" // commit time of the last replayed transaction, read before
	markTakenAt    = "zreconcile:taken-at"
	markWALFrom    = "zreconcile:wal-from"    // redo LSN, read after: its pg_wal goes back to there at least
	markConsistent = "zreconcile:consistent"  // earliest consistent LSN, read after: an upper bound
	markEarliestAt = "zreconcile:earliest-at" // newest commit or abort at or below the consistent LSN
	markLabel      = "zreconcile:label"
	holdTag        = "zreconcile" // zfs hold of `snapshot --hold`
)

// The marks of a clone, and on its parent that of an expired entry.
const (
	markRestore  = "zreconcile:restore" // name of the entry
	markTarget   = "zreconcile:target"
	markBase     = "zreconcile:base"      // dataset@snapshot it was cloned from
	markBaseRedo = "zreconcile:base-redo" // WAL is needed from here ...
	markMadeAt   = "zreconcile:made-at"
	markState    = "zreconcile:state" // making, until the target was reached; then ready, and the facts
	markPort     = "zreconcile:port"
	markGrace    = "zreconcile:grace"
	markKeep     = "zreconcile:keep"
	markLeftAt   = "zreconcile:left-at" // left the file or expired: grace counts from here
	markPromoted = "zreconcile:promoted"
	markDataDir  = "zreconcile:data-dir" // relative to the clone's mountpoint
	markOSUser   = "zreconcile:os-user"
	markExpired  = "zreconcile:expired-" // on the parent; a digest of the name follows
)

// The facts of a clone that stands at its target. They are part of its state, and
// so in the place of the making in one command, which is all or nothing; clones of
// earlier versions have them as properties.
const (
	markStop       = "zreconcile:stop" // the recovery target: timeline, LSN and side; WAL is needed up to it
	markReachedLSN = "zreconcile:reached"
	markReachedAt  = "zreconcile:reached-at"
	markLastIn     = "zreconcile:last-in"   // the last transaction in ...
	markFirstOut   = "zreconcile:first-out" // ... and the first one that is not: LSN, time, number
	markMajor      = "zreconcile:major"
)

const (
	stateMaking = "making"
	stateReady  = "ready"
)

// snapshotMarks and datasetMarks are what an inventory asks for.
var (
	snapshotMarks = []string{markFormat, markSite, markSystemID, markTimeline, markRedo, markReplayed,
		markReplayedAt, markTakenAt, markWALFrom, markConsistent, markEarliestAt, markLabel}
	datasetMarks = []string{markFormat, markSite, markRestore, markTarget, markBase, markBaseRedo,
		markMadeAt, markState, markStop, markReachedLSN, markReachedAt, markLastIn, markFirstOut, markMajor, markPort, markGrace, markKeep,
		markLeftAt, markPromoted, markDataDir, markOSUser}
)

// marks are the user properties of one dataset or snapshot that are local to it.
type marks map[string]string

// localMarks drops what ZFS handed down from elsewhere (pitfall 54).
func localMarks(properties map[string]zfs.Value) marks {
	m := marks{}
	for name, v := range properties {
		if len(name) > len(markPrefix) && name[:len(markPrefix)] == markPrefix && v.Local() {
			m[name] = v.Value
		}
	}
	m.unpack()
	return m
}

// packed is a state with facts as one mark: "ready; stop=1 0/6152088 after; major=17".
func packed(state string, facts []zfs.Prop) zfs.Prop {
	for _, f := range facts {
		state += factBreak + strings.TrimPrefix(f.Name, markPrefix) + "=" + f.Value
	}
	return zfs.Prop{Name: markState, Value: state}
}

const factBreak = "; "

// unpack lets facts be marks. A property of that name was set later, such as that
// the clone was promoted since.
func (m marks) unpack() {
	state, facts, _ := strings.Cut(m[markState], factBreak)
	for fact := range strings.SplitSeq(facts, factBreak) {
		name, value, is := strings.Cut(fact, "=")
		if _, later := m[markPrefix+name]; is && !later {
			m[markPrefix+name] = value
		}
	}
	if state != "" {
		m[markState] = state
	}
}

// ours is true where the marks name this site, in a format we know.
func (m marks) ours(site string) bool { return m[markSite] == site && m[markFormat] == marksFormat }

// foreignFormat is true of this site's marks that another version of this
// program wrote: that they are ours is all that can be told.
func (m marks) foreignFormat(site string) bool {
	return m[markSite] == site && m[markFormat] != marksFormat
}

func (m marks) lsn(name string) wal.LSN {
	l, err := wal.ParseLSN(m[name])
	if err != nil {
		return 0
	}
	return l
}

func (m marks) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, m[name])
	if err != nil {
		return time.Time{}
	}
	return t
}

func (m marks) int(name string) int64 {
	n, _ := strconv.ParseInt(m[name], 10, 64)
	return n
}

// owner are the two marks that everything of ours carries.
func owner(site string) []zfs.Prop {
	return []zfs.Prop{{Name: markFormat, Value: marksFormat}, {Name: markSite, Value: site}}
}

// expiredMark names the mark of an expired restore on its parent dataset:
// names of user properties are lower case, those of restores need not be.
func expiredMark(restore string) string { return markExpired + digest(restore)[:16] }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
