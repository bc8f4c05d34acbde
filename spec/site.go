// Package spec reads a site file: YAML to a Site with every default filled in,
// or to the list of everything that is wrong with it, each with its place.
package spec

import "time"

// Site is one host as its file wants it. Every default of the reference spec
// is filled in, every name and unit is checked; what the user left out and
// that has no default is nil or the zero value.
type Site struct {
	Name      string         // owner of everything this file creates
	Timezone  *time.Location // of cron expressions and of retention's calendar
	Pool      Pool
	Datasets  []Dataset // in the file's order
	Standby   *Standby
	Archive   *Archive
	Snapshots *Snapshots
	Verify    *Verify
	Drill     Drill     // of restoreDefaults, for drills
	Restores  []Restore // restoreDefaults merged in; those of site.d follow those of the file
	Health    Health

	File  string   // the path the site was read from
	Files []string // File and the files of site.d that were read, sorted
}

// Pos is a place in a file; lines and columns count from 1.
type Pos struct {
	File      string
	Line, Col int
}

// Property is one ZFS property as the file gives it.
type Property struct {
	Name  string
	Value *string // nil: YAML null, inherit it
	Pos   Pos
}

// Pool is the wanted ZFS pool.
type Pool struct {
	Name           string
	Vdevs          []Vdev
	Overwrite      []string
	Properties     []Property
	RootProperties []Property
	KeepFree       float64 // share of the pool's size, 0 to 1
	Pos            Pos
}

// Vdev is one top-level virtual device (zpoolconcepts(7)).
type Vdev struct {
	Type    string // "" is a stripe; mirror, raidz1, raidz2, raidz3
	Class   string // "" is normal data; log, cache, spare, special
	Devices []string
	Pos     Pos
}

// Dataset is one wanted ZFS file system; Name is absolute (pool/name).
type Dataset struct {
	Name       string
	Properties []Property
	Pos        Pos
}

// Standby is the streaming standby of the primary.
type Standby struct {
	DataDir         string
	WALDir          string // "" is inside DataDir
	Port            int
	ListenAddresses string
	SocketDir       string
	OSUser          string
	AdminRole       string // "" is the bootstrap superuser, found on the server
	AdminDatabase   string
	BinDir          string // "" is found for the primary's major version
	Supervisor      string // auto, systemd, process
	Restart         string // auto, never
	Basebackup      Basebackup
	Primary         Primary
	Tablespaces     []Tablespace // sorted by From
	Conf            Conf
	Pos             Pos
}

// Basebackup holds the options of pg_basebackup.
type Basebackup struct {
	Checkpoint string // fast, spread
	MaxRate    string // as pg_basebackup --max-rate takes it (32k .. 1024M); "" is no limit
}

// Primary is how the primary is reached.
type Primary struct {
	Hosts           []string // tried in order
	Port            int
	User            string
	PasswordFrom    PasswordFrom
	SSLMode         string
	SSLRootCert     string
	ApplicationName string
	Options         []Setting // other libpq keywords, sorted by name
	Slot            string    // "" is none
	Pos             Pos
}

// PasswordFrom says where the password is; at most one field is set.
type PasswordFrom struct {
	File, Env, Passfile, Credential string
}

// Setting is one name and its value as text.
type Setting struct {
	Name, Value string
	Pos         Pos
}

// Tablespace maps a tablespace directory of the primary to one of this host.
type Tablespace struct{ From, To string }

// Conf is what happens to the copied configuration files.
type Conf struct {
	Set         []Setting // sorted by name
	Disable     []string  // parameter patterns, * matches any run of characters
	Unsupported string    // disable, error
	HBA         []string  // nil: as copied
}

// Archive is the WAL archive.
type Archive struct {
	Dir           string
	ContinuousFor time.Duration // 0: as far back as the oldest kept snapshot
	Pos           Pos
}

// Snapshots is the cadence and the retention of snapshots.
type Snapshots struct {
	Schedule  string        // cron; "" when Every is set
	Every     time.Duration // 0 when Schedule is set
	Prefix    string
	Retention Retention
	Pos       Pos
}

// Retention is restic's policy (restic forget); -1 keeps all, 0 says nothing.
type Retention struct {
	Last, Hourly, Daily, Weekly, Monthly, Yearly                                 int
	Within, WithinHourly, WithinDaily, WithinWeekly, WithinMonthly, WithinYearly time.Duration
}

// Verify is the cadence and the content of restore drills.
type Verify struct {
	Schedule  string
	Every     time.Duration
	Checksums bool
	Amcheck   bool
	Queries   []Query
	Pos       Pos
}

// Drill is what the clone of a restore drill is made with.
type Drill struct {
	Conf       []Setting
	Properties []Property
}

// Query is a statement of a drill and the text of its only value.
type Query struct{ Database, SQL, Expect string }

// Restore is one wanted point-in-time restore.
type Restore struct {
	Name            string
	Target          Target
	Dataset         string // absolute (pool/name)
	Mountpoint      string // "" is inherited
	Port            int
	ListenAddresses string
	HBA             []string // nil: the standby's
	Conf            []Setting
	Properties      []Property
	Action          string        // pause, promote
	ExpiresAfter    time.Duration // 0 is never; counted from when it was made
	Grace           time.Duration
	Keep            bool
	Pos             Pos
}

// Target is the moment a restore goes to; exactly one of Time, LSN, XID,
// RestorePoint, Snapshot and Latest is set. Stop goes with LSN and XID.
type Target struct {
	Time         time.Time
	LSN          string
	XID          string
	RestorePoint string
	Snapshot     string
	Latest       bool
	Stop         string // before, after
}

// Health holds the limits of status --check; 0 is no limit.
type Health struct {
	Lag, SnapshotAge, DrillAge time.Duration
	Free                       float64 // share of the pool's size, 0 to 1
}
