package reconcile

import (
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// Status is what `status` shows: the host as it is, for people and monitors.
// The fields that are promised are always there: a moment, a number or a thing
// that is not known is null, a text or an LSN is empty.
type Status struct {
	Format    int              `json:"format"`
	Site      string           `json:"site"`
	Verdict   Judgement        `json:"verdict"`
	Pool      *PoolStatus      `json:"pool,omitempty"`
	Standby   StandbyStatus    `json:"standby"`
	Archive   ArchiveStatus    `json:"archive"`
	Snapshots []SnapshotStatus `json:"snapshots"` // oldest first
	Windows   []Window         `json:"windows"`
	Restores  []RestoreStatus  `json:"restores"`
	LastDrill *LastDrill       `json:"lastDrill"`
	Failures  []string         `json:"errors,omitempty"` // what could not be observed

	// WindowsUnknown is true where none were found, and not all that they are
	// found from could be observed.
	WindowsUnknown bool `json:"-"`
}

// PoolStatus is the pool's health, in the words of zpool, and its space, in bytes.
type PoolStatus struct {
	Name   string `json:"name"`
	Health string `json:"health"`
	Size   int64  `json:"size"`
	Free   int64  `json:"free"`
	// Available is what can still be written, in bytes: less than what is free where
	// something is reserved; absent where it is not known.
	Available *int64 `json:"available,omitempty"`
	// Segment is the size of a WAL segment of the cluster, in bytes, by which what is
	// available is judged; 0 is not known.
	Segment int64 `json:"-"`
	// Faults are the devices that are not as they should be, and what that has
	// cost, each in words. A pool that is ONLINE may have some.
	Faults     []string `json:"faults,omitempty"`
	DataErrors bool     `json:"dataErrors,omitempty"` // ZFS knows of data that it can't repair
	Words      string   `json:"status,omitempty"`     // what zpool status says, and to do, of a pool with faults
}

// StandbyState is the standby in a word.
type StandbyState string

// The states of a standby.
const (
	StandbyUnknown      StandbyState = "unknown"      // it could not be looked at
	StandbyMissing      StandbyState = "missing"      // there is no finished data directory, or its dataset is not mounted
	StandbyStopped      StandbyState = "stopped"      // its server does not run
	StandbySilent       StandbyState = "silent"       // its server runs, and answers nobody
	StandbyPromoted     StandbyState = "promoted"     // it is no standby any more
	StandbyDisconnected StandbyState = "disconnected" // it runs without its primary
	StandbyStreaming    StandbyState = "streaming"
)

// StandbyStatus is the standby at a glance. Lag is 0 only while it is
// connected and has replayed all that the primary has.
type StandbyStatus struct {
	State            StandbyState `json:"state,omitempty"` // "": the file names none
	Running          bool         `json:"running"`
	Connected        bool         `json:"connected"`
	InRecovery       bool         `json:"inRecovery"`
	SystemIdentifier string       `json:"systemIdentifier"`
	Timeline         wal.Timeline `json:"timeline"`
	ReceivedLSN      wal.LSN      `json:"receivedLSN"`
	ReplayedLSN      wal.LSN      `json:"replayedLSN"`
	ReplayedCommitAt *Time        `json:"replayedCommitAt"`
	LagBytes         *int64       `json:"lagBytes"`   // null: unknown
	LagSeconds       *float64     `json:"lagSeconds"` // null: unknown
	PendingRestart   []string     `json:"pendingRestart"`
	LostWAL          string       `json:"lostWAL,omitempty"` // the server's words where the primary no longer has what it needs next
	Connect          string       `json:"connect,omitempty"`
	Role             string       `json:"role,omitempty"`            // to connect as: the admin role
	ArchiverFailing  string       `json:"archiverFailing,omitempty"` // the WAL file that archive_command fails on
	ArchiveFailures  *int64       `json:"archiveFailures,omitempty"` // calls of archive_command that failed (pg_stat_archiver)
	LastArchivedAt   *Time        `json:"lastArchivedAt,omitempty"`

	Slot              string `json:"slot,omitempty"`    // the replication slot that the file names
	SlotRetainedBytes *int64 `json:"slotRetainedBytes"` // WAL that the primary keeps for it; null: unknown, or no slot
}

// ArchiveStatus is the WAL archive; First and Last are names of segments.
type ArchiveStatus struct {
	Missing  string       `json:"missing,omitempty"` // why there is none, where the file wants one
	Segments int          `json:"segments"`
	Bytes    int64        `json:"bytes"`
	First    string       `json:"first"`
	Last     string       `json:"last"`
	Gaps     []ArchiveGap `json:"gaps"`
	Damaged  []string     `json:"damaged,omitempty"`  // segments whose size or first page is wrong
	NeededBy string       `json:"neededBy,omitempty"` // what keeps the oldest segment
	// Keeps says of each run of archived segments what keeps it.
	Keeps []ArchiveKeep `json:"keeps,omitempty"`
}

// ArchiveKeep is a run of archived segments, From and To included, that the same
// things need.
type ArchiveKeep struct {
	Timeline wal.Timeline `json:"timeline"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Segments int          `json:"segments"`
	Bytes    int64        `json:"bytes"`
	// Who needs it, the one first that needs no older WAL: as long as that is
	// there, the run stays. Of many, only some are named; Needs counts them.
	// Where nobody does, it is removed by an apply that is free to.
	Who   []string `json:"who"`
	Needs int      `json:"needs"`
}

// ArchiveGap is a run of missing segments, From and To included.
type ArchiveGap struct {
	Timeline wal.Timeline `json:"timeline"`
	From     string       `json:"from"`
	To       string       `json:"to"`
}

// Moment is a place in the WAL and the time of the last commit up to there.
type Moment struct {
	LSN  wal.LSN `json:"lsn"`
	Time *Time   `json:"time"`
}

// Transaction is the end of one in the WAL, a commit or an abort.
type Transaction struct {
	LSN  wal.LSN `json:"lsn"`
	Time *Time   `json:"time"`
	XID  uint32  `json:"xid"`
}

// SnapshotStatus is one snapshot of this site's cluster.
type SnapshotStatus struct {
	Name     string  `json:"name"`
	GUID     string  `json:"guid"`
	TakenAt  *Time   `json:"takenAt"`
	RedoLSN  wal.LSN `json:"redoLSN"`
	Earliest *Moment `json:"earliest"` // from here on it serves
	Latest   *Moment `json:"latest"`   // as far as WAL goes on from it without a gap
	// LatestWhy says what ends it there.
	LatestWhy string        `json:"latestWhy,omitempty"`
	Lost      bool          `json:"lost,omitempty"` // what it needs next is missing there and nowhere to be had, or no server replays it
	KeptBy    []string      `json:"keptBy"`
	Label     string        `json:"label,omitempty"`
	Used      int64         `json:"used"`
	Verified  *Verification `json:"verified"`
}

// Verification is the outcome of a restore drill.
type Verification struct {
	At       Time     `json:"at"`
	OK       bool     `json:"ok"`
	Findings []string `json:"findings"` // those of the failed checks first
}

// LastDrill is the newest restore drill. Its snapshot may be gone since.
type LastDrill struct {
	At       Time   `json:"at"`
	OK       bool   `json:"ok"`
	Snapshot string `json:"snapshot"`
}

// Window is a span of time each moment of which can be restored.
type Window struct {
	From Time `json:"from"`
	To   Time `json:"to"`
	// Why says what ends it.
	Why  string `json:"why,omitempty"`
	Lost bool   `json:"lost,omitempty"` // what should come next is missing and nowhere to be had, or no server replays it
}

// RestoreStatus is one restore: of the spec, or left over from it.
type RestoreStatus struct {
	Name     string  `json:"name"`
	State    string  `json:"state"` // running, recovering, stopped, failed, refused
	Why      string  `json:"why,omitempty"`
	Snapshot string  `json:"snapshot"`
	Reached  *Moment `json:"reached"`
	// LastIn and FirstOut are the proof of where it stands: the last transaction
	// that it replayed, null where its snapshot holds that, and the first one
	// behind, null where none was known when it was made.
	LastIn    *Transaction `json:"lastIn,omitempty"`
	FirstOut  *Transaction `json:"firstOut,omitempty"`
	Port      int          `json:"port"`
	Connect   string       `json:"connect"`
	Role      string       `json:"role,omitempty"` // to connect as: the admin role
	Promoted  bool         `json:"promoted,omitempty"`
	Dataset   string       `json:"dataset,omitempty"`
	ExpiresAt *Time        `json:"expiresAt"`

	Kept        bool  `json:"kept,omitempty"`        // it left the file or expired, and is only stopped
	DestroyedAt *Time `json:"destroyedAt,omitempty"` // when the grace ends of one that left the file or expired
}
