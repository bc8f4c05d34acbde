package reconcile

import (
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/zfs"
)

// State is what was observed of the host, as plain data.
type State struct {
	At       time.Time // when
	ZFS      zfs.Inventory
	Mounts   []zfs.Mount
	Tools    zfs.Abilities
	Absent   *AbsentPool       // set where the pool is not imported
	KeyFiles map[string]string // why the file of a key that is to be loaded can't be had, by encryption root
	Server   Server
	Paths    Paths
	Primary  *Primary // asked only where a base backup is due
	Cluster  Cluster
	Archive  Archive
	Clones   []Clone               // of this site, by name
	Drills   []Clone               // of its restore drills: at work, left over, or kept
	Resolved map[string]Resolution // by restore: what a restore that must be made would be
	Occupied map[string][]string   // files below mountpoints that nothing is mounted on
	Ports    map[int]string        // who listens on a port that a server of the site wants
	Failures []Failure
}

// Failure is something that could not be observed. What decides from it is
// left alone: a failed reading is never taken for "nothing there" (pitfall 51).
type Failure struct {
	Kind string // the kind that cannot decide without it
	Text string
}

func (s *State) fail(kind string, err error) {
	s.Failures = append(s.Failures, Failure{Kind: kind, Text: err.Error()})
}

// failCluster is for a cluster of which not even pg_control could be read:
// whether it was promoted is not known, so nothing is removed either.
func (s *State) failCluster(err error) {
	s.fail(kindBasebackup, err)
	s.fail(kindStandby, err)
	s.fail(kindRetention, err)
}

// failureTexts are what to tell a person, each once.
func (s *State) failureTexts() []string {
	var texts []string
	for _, f := range s.Failures {
		texts = append(texts, f.Text)
	}
	return unique(texts)
}

// failed is true where something that a kind decides from was not observed.
func (s *State) failed(kinds ...string) bool {
	for _, f := range s.Failures {
		for _, k := range kinds {
			if f.Kind == k {
				return true
			}
		}
	}
	return false
}

// reason is why a kind can't decide; "" where it can.
func (s *State) reason(kind string) string {
	for _, f := range s.Failures {
		if f.Kind == kind {
			return f.Text
		}
	}
	return ""
}

// AbsentPool is what there is to make a pool from.
type AbsentPool struct {
	Importable []zfs.Importable       // pools of the wanted name
	Devices    map[string]zfs.Content // what the devices of the spec hold
}

// Server is the PostgreSQL that is installed here.
type Server struct {
	BinDir  string
	Major   int
	User    postgres.OSUser
	Missing string // why the programs of the wanted version were not found
}

// Paths are places of this program's own, outside the pool.
type Paths struct {
	Helper   string // the copy of this program that PostgreSQL calls
	Passfile string // "" where the primary needs no password
	Sockets  string // folder of the private folders of the restores' sockets
}

// Primary is what the primary said.
type Primary struct {
	postgres.PrimaryInfo
	postgres.PrimarySizes
}

// Content is what a directory holds that a cluster should stand in.
type Content int

// The contents of a data directory.
const (
	DirMissing  Content = iota
	DirEmpty            // an empty directory
	DirPartial          // a copy that this program left unfinished
	DirCluster          // a cluster
	DirStranger         // files that are no cluster
)

// Cluster is the standby's data directory and, when it runs, its server.
type Cluster struct {
	Dataset         string // that holds the data directory; "" is none of the pool's
	Mounted         bool   // the dataset is mounted where the data directory says
	Content         Content
	Control         *postgres.ControlData
	Files           map[string][]byte // configuration files by name; a missing one is absent
	Standby         bool              // standby.signal stands there
	BackupLabel     bool              // a copy that was not replayed to its end yet
	LostWAL         string            // the server's words where it can't follow any more
	LiveTimeline    wal.Timeline      // the newest that the standby has WAL of; 0 is not known
	Process         postgres.Process
	OutsideConf     string           // what a running server reads in place of the data directory's postgresql.conf; "" is nothing
	Status          *postgres.Status // nil while it does not run
	AdminRole       string           // who we connect as; "" is not known yet
	Bootstrap       string           // name of the role with OID 10, asked of the running server
	Rejected        Rejected
	Strangers       []string // names of files that are no cluster's
	Passfile        []byte   // nil is absent; never shown
	Helper          FileID   // the copy of this program that PostgreSQL calls
	Program         FileID   // what that should be
	Stale           bool     // the server has not loaded the files as they are now
	UnitDiffers     bool     // systemd does not know the standby as it should
	Password        string   // of the primary; never shown
	PasswordUnknown bool     // it could not be read, and the passfile stays as it is
}

// FileID tells whether two files are copies of one another.
type FileID struct {
	Size    int64
	ModTime time.Time
	Head    [32]byte // SHA-256 of its begin
}

// Rejected is what the local server cannot load, in its own words.
type Rejected struct {
	Parameters map[string]string
	Libraries  map[string]string
}

// Archive is the WAL archive's directory.
type Archive struct {
	Dataset     string
	Mounted     bool
	Exists      bool
	OwnedBy     uint32
	Mode        uint32
	SystemID    uint64 // of its newest segment; 0 is none
	SegmentSize int64  // of its newest segment, bytes
	Inventory   wal.Inventory
	Live        wal.Inventory // the live standby's pg_wal
	Path        wal.Path      // of timelines, to that of the standby; nil where its history is not there
	Unpushed    []wal.Segment // complete in the live pg_wal, older than its last file, and not in the archive
	// UnpushedHistories are those that came with the base backup of a primary on
	// a later timeline: the WAL receiver fetches, and archives, only others.
	UnpushedHistories []string
}

// Clone is a dataset that a restore of this site was made on.
type Clone struct {
	Restore   string
	Dataset   zfs.Dataset
	Marks     marks
	DataDir   string
	SocketDir string
	Files     map[string][]byte
	Process   postgres.Process
	Promoted  bool // it left recovery
	Status    *postgres.Status
}

// Resolution is what a restore of the spec comes to: a base and a place to
// stop at, or the reason why it is refused.
type Resolution struct {
	Refused  string      // why not; "" is possible
	Mend     string      // what can be had instead
	Unknown  bool        // whether it can be had could not be found out; the failures say why
	Hole     wal.Segment // of a refusal for missing WAL: what is missing ...
	Holder   Snapshot    // ... and the snapshot that has it, from which apply gets it; unnamed is none
	Base     Snapshot
	Stop     StopPoint
	End      wal.LSN       // WAL is needed up to here
	Reached  Moment        // the last transaction in
	LastIn   wal.Record    // its end, where it was read; zero where the base holds it
	FirstOut wal.Record    // the end of the first one that is not; zero is none that is known
	Path     wal.Path      // of timelines, up to the stop
	Supplies []supply      // where the WAL from the base's redo to End comes from
	Damaged  []wal.Segment // whose archived copies are damaged, and set aside for sound ones
	Settings wal.Settings  // the highest of the primary's on the way, where it changed any
}

// StopPoint is where recovery ends, as recovery_target_lsn and
// recovery_target_inclusive say it.
type StopPoint struct {
	LSN       wal.LSN
	Inclusive bool
	Timeline  wal.Timeline
}
