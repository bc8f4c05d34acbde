package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// wellPatient is a patient without any fault or warning, which each case spoils.
func wellPatient(t testing.TB, edits ...string) *patient {
	t.Helper()
	site := givenSite(t, edits...)
	state := converged(t, site)
	for i := range state.ZFS.Datasets {
		state.ZFS.Datasets[i].Available = 50 << 30
	}
	state.Paths.Passfile = "/var/lib/zreconcile/s1/secret/primary.pgpass"
	user := state.Server.User
	return &patient{
		site: site, in: givenView(site, &state), now: givenNow,
		host: hostFacts{Systemd: true, User: user, Memory: memoryFacts{Total: 8 << 30},
			Files: []fileRights{{Path: "/etc/zreconcile/site.yaml", Mode: 0o644}, {Path: "/etc/zreconcile", Mode: 0o755, Dir: true}},
			Boot:  bootFacts{Module: "2.1.11-1", Cache: []byte("zp1"), Enabled: []string{"zfs-import-cache.service", "zfs-mount.service"}},
			Units: []unitFacts{
				{Name: "zreconcile@s1.service", Load: "loaded", Active: "active", UnitState: "enabled", Result: "success"},
				{Name: "zreconcile-s1.service", Server: "the standby", Load: "loaded", Active: "active", UnitState: "enabled", Result: "success"},
			}},
		zfs:    zfsFacts{Abilities: zfs.Abilities{SnapshotMany: true, DestroyList: true, GetTypes: true, PoolGetParsable: true}},
		server: programFacts{Wanted: 15, Dir: "/usr/lib/postgresql/15/bin", Amcheck: yes},
		primary: primaryFacts{
			Info: &postgres.PrimaryInfo{SystemID: givenSystem, Timeline: 1, Major: 15, Version: "15.13", WALLevel: "replica"},
			Settings: map[string]string{"max_wal_senders": "10", "wal_keep_size": "8GB", "max_slot_wal_keep_size": "64GB", "fsync": "on",
				"full_page_writes": "on", "archive_timeout": "0", "data_checksums": "on", "synchronous_standby_names": ""},
			Details: &postgres.PrimaryDetails{Time: givenNow, WALSenders: 1, Sizes: &postgres.PrimarySizes{Size: 1 << 30}},
		},
		standby: standbyFacts{Writable: yes, Asked: true, Amcheck: yes,
			Dirs:     []fileRights{{Path: "/data/pg", UID: user.UID, Mode: 0o700, Dir: true}, {Path: "/arch/wal", UID: user.UID, Mode: 0o700, Dir: true}},
			Passfile: &fileRights{Path: state.Paths.Passfile, UID: user.UID, Mode: 0o600}},
	}
}

func TestHealthyPatient(t *testing.T) {
	d := diagnose(wellPatient(t))
	for _, c := range d.Checks {
		if c.Level != DoctorOK || c.Mend != "" || c.What == "" || c.Group == "" || c.Name == "" {
			t.Errorf("%+v", c)
		}
	}
	if d.Summary.OK != len(d.Checks) || len(d.Checks) < 30 || d.Site != "s1" {
		t.Errorf("%s: %d checks, %+v", d.Site, len(d.Checks), d.Summary)
	}
}

// slotted is an edit of the given file that names a slot.
var slotted = []string{"user: replicator", "user: replicator, slot: zr"}

// Each case spoils one thing; the answer names it, and its mend. Pitfalls 23, 24
// and 55 to 61.
func TestDoctor(t *testing.T) {
	moment := func(ago time.Duration) *time.Time { at := givenNow.Add(-ago); return &at }
	for _, c := range []struct {
		name  string
		edits []string
		spoil func(*patient)
		level DoctorLevel
		check string // group/name
		what  string
		mend  string
	}{
		{"not root", nil, func(p *patient) { p.host.EUID = 1000 }, DoctorWarning, "host/root", "ordinary user", "sudo"},
		{"file that others write", nil, func(p *patient) { p.host.Files[0].Mode = 0o666 }, DoctorWarning, "host/site file", "mode 0666", "chmod go-w /etc/zreconcile/site.yaml"},
		{"file of somebody else", nil, func(p *patient) { p.host.Files[1].UID = 1000 }, DoctorWarning, "host/site file", "uid 1000", "chown root"},
		{"no OS user", nil, func(p *patient) { p.host.UserErr = `no user "postgres"` }, DoctorFault, "host/OS user", "no user", "useradd"},
		{"more buffers than memory", nil, func(p *patient) { p.host.Memory.Total = 64 << 20 }, DoctorFault, "host/memory", "shared_buffers", "lower shared_buffers"},
		{"restores count", restoring("shared_buffers: 9GB"), func(*patient) {}, DoctorFault, "host/memory", "9GiB for restores", "restoreDefaults"},
		{"ARC takes the rest", nil, func(p *patient) { p.host.Memory.ARCMax = 8 << 30 }, DoctorWarning, "host/memory", "for its cache", "zfs_arc_max"},
		{"huge pages", []string{"  dataDir:", "  conf: {set: {huge_pages: 'on'}}\n  dataDir:"}, func(p *patient) { p.host.Memory.HugePage = 2 << 20 },
			DoctorFault, "host/huge pages", "can't start", "vm.nr_hugepages=71"},
		{"SELinux", nil, func(p *patient) { p.host.SELinux = selinuxFacts{true, "system_u:object_r:default_t:s0"} }, DoctorFault, "host/SELinux", "default_t", "restorecon"},
		{"SELinux unread", nil, func(p *patient) { p.host.SELinux = selinuxFacts{Enforcing: true} }, DoctorUnknown, "host/SELinux", "could not be read", "ls -Zd"},

		{"no tools", nil, func(p *patient) { p.zfs.Missing = "zpool" }, DoctorFault, "zfs/tools", "zpool was not found", "apt install zfsutils-linux"},
		{"no module", nil, func(p *patient) { p.zfs.NoModule, p.zfs.Err, p.in = true, "ZFS is not running", nil }, DoctorFault, "zfs/running", "no ZFS", "modprobe zfs"},
		{"ZFS of others", nil, func(p *patient) {
			p.host.EUID, p.zfs.NoModule, p.zfs.Err, p.in = 1000, true, "permission denied", nil
		}, DoctorUnknown, "zfs/running", "ordinary user", "sudo"},
		{"several datasets", []string{"  dataDir:", "  walDir: /arch/pgwal\n  dataDir:"}, func(p *patient) { p.zfs.Abilities.SnapshotMany = false },
			DoctorFault, "zfs/abilities", "several datasets", "one dataset"},
		{"importable pool", nil, func(p *patient) {
			s := bareHost(p.site)
			s.Absent.Importable = []zfs.Importable{{Name: "zp1", GUID: "1", State: "ONLINE"}}
			p.in = givenView(p.site, &s)
		}, DoctorWarning, "zfs/pool", "not imported, and can be", "zpool import zp1"},
		{"degraded", nil, func(p *patient) { p.pool().Health = "DEGRADED" }, DoctorFault, "zfs/health", "DEGRADED", "zpool replace"},
		{"a disk had errors", nil, func(p *patient) { p.pool().Vdevs[0].Devices[0].Errors = "0 0 56" }, DoctorWarning, "zfs/health", "checksum 56", "zpool scrub -w zp1"},
		{"a disk is being replaced", nil, func(p *patient) {
			p.pool().Health, p.pool().Resilvering = "DEGRADED", "resilver in progress since Sun Nov 29 04:51:02 2026"
		}, DoctorFault, "zfs/health", "resilver in progress", "let the resilver end"},
		{"a disk that came back is written anew", nil, func(p *patient) { p.pool().Resilvering = "resilver in progress since Sun Nov 29 04:51:02 2026" },
			DoctorWarning, "zfs/health", "zp1 is ONLINE: resilver in progress", "let the resilver end"},
		{"data errors", nil, func(p *patient) { p.pool().Errors = "3 data errors" }, DoctorFault, "zfs/health", "3 data errors", "zpool status -v"},
		{"late scrub", nil, func(p *patient) {
			p.pool().Scrubbed = time.Date(2026, 10, 1, 0, 24, 2, 0, time.UTC)
		}, DoctorWarning, "zfs/scrub", "53 days ago", "zpool scrub zp1"},
		{"pitfall 55: device names", nil, func(p *patient) { p.pool().Vdevs[0].Devices[0].Path = "/dev/sdb1" }, DoctorWarning, "zfs/devices", "/dev/sdb1", "zpool import -d /dev/disk/by-id"},
		{"below keepFree", nil, func(p *patient) { p.pool().Free = 1 << 30 }, DoctorWarning, "zfs/space", "keepFree", "add a vdev"},
		{"below health.free", []string{"snapshots:", "health: {free: 60%}\nsnapshots:"}, func(*patient) {}, DoctorWarning, "zfs/space", "health.free", "zpool add"},
		{"pitfall 24: full archive", nil, func(p *patient) { dataset(p.in.state, "zp1/wal").Available = givenSegment }, DoctorFault, "zfs/datasets", "zp1/wal has 16MiB left", "quota"},
		{"little room", nil, func(p *patient) { dataset(p.in.state, "zp1/data").Available = 4 * givenSegment }, DoctorWarning, "zfs/datasets", "zp1/data has 64MiB left", "quota"},
		{"pitfall 58: quota", []string{"      atime: off", "      atime: off\n      quota: 100G"}, func(*patient) {}, DoctorWarning, "zfs/datasets", "counts its snapshots", "refquota"},
		{"pitfall 56: not mounted", nil, func(p *patient) { unmount(p.in.state, "zp1/wal") }, DoctorFault, "zfs/mounts", "zp1/wal", "zfs mount zp1/wal"},

		{"no programs", nil, func(p *patient) { p.server.Missing, p.server.Dir = "not found", "" }, DoctorFault, "postgresql/programs", "not found", "apt install postgresql-15"},
		{"pitfall 60: no amcheck", withDrills, func(p *patient) { p.server.Amcheck = no }, DoctorFault, "postgresql/amcheck", "drills fail", "postgresql15-contrib"},

		{"no password", nil, func(p *patient) { p.primary = primaryFacts{PasswordErr: "no such file"} }, DoctorFault, "primary/password", "no such file", "passwordFrom"},
		{"primary down", nil, func(p *patient) {
			p.primary = primaryFacts{Err: "is unreachable: no answer", Mend: "check host and port"}
		}, DoctorFault, "primary/reachable", "the primary (db) is unreachable: no answer", "check host and port"},
		{"another system", nil, func(p *patient) { p.primary.Info.SystemID = 42 }, DoctorFault, "primary/system identifier", "another database", "correct standby.primary"},
		{"another major", nil, func(p *patient) { p.primary.Info.Major = 16 }, DoctorFault, "primary/major version", "runs PostgreSQL 16", "copied anew"},
		{"too old", nil, func(p *patient) { p.primary.Info.Major, p.server.Wanted = 11, 11 }, DoctorFault, "primary/major version", "12 is the oldest", "upgrade the primary"},
		{"too new", nil, func(p *patient) {
			p.primary.Info.Major, p.server.Wanted = version.Newest+1, version.Newest+1
		}, DoctorFault, "primary/major version", "each restore would be refused", "install a newer zreconcile"},
		{"the newest", nil, func(p *patient) {
			p.primary.Info.Major, p.server.Wanted = version.Newest, version.Newest
		}, DoctorOK, "primary/major version", "there and here", ""},
		{"WAL level", nil, func(p *patient) { p.primary.Info.WALLevel = "minimal" }, DoctorFault, "primary/WAL level", "minimal", "ALTER SYSTEM SET wal_level = replica"},
		{"no sender free", nil, func(p *patient) { p.primary.Details.WALSenders, p.in.state.Cluster.Status.ReceiverState = 10, "" }, DoctorFault, "primary/WAL senders", "0 of", "max_wal_senders"},
		{"senders untold", nil, func(p *patient) { p.primary.Details = nil }, DoctorUnknown, "primary/WAL senders", "10 WAL senders", "pg_stat_replication"},
		{"nothing keeps WAL", nil, func(p *patient) { p.primary.Settings["wal_keep_size"] = "0" }, DoctorWarning, "primary/WAL kept", "no slot", "standby.primary.slot"},
		{"pitfall 23: slot without limit", slotted, func(p *patient) {
			p.primary.Slot, p.primary.Settings["max_slot_wal_keep_size"] = &postgres.Slot{Exists: true}, "-1"
		}, DoctorWarning, "primary/slot", "no limit", "max_slot_wal_keep_size"},
		{"a slot of 12 can have no limit", slotted, func(p *patient) {
			p.primary.Info.Major, p.primary.Slot = 12, &postgres.Slot{Exists: true}
			delete(p.primary.Settings, "max_slot_wal_keep_size")
		}, DoctorWarning, "primary/slot", "no limit", "PostgreSQL 12 has no setting"},
		{"nothing keeps WAL in 12", nil, func(p *patient) {
			p.primary.Info.Major, p.primary.Settings = 12, map[string]string{"wal_keep_segments": "0"}
		}, DoctorWarning, "primary/WAL kept", "wal_keep_segments is 0", "SET wal_keep_segments = 512"},
		{"slot is gone", slotted, func(p *patient) { p.primary.Slot = &postgres.Slot{} }, DoctorFault, "primary/slot", "no slot zr", "pg_create_physical_replication_slot('zr'"},
		{"slot retains much", slotted, func(p *patient) { p.primary.Slot = &postgres.Slot{Exists: true, Retained: 20 << 30} }, DoctorWarning, "primary/slot", "20GiB", "drop the slot"},
		{"slot lost", slotted, func(p *patient) {
			p.primary.Slot, p.primary.Details.SlotStatus = &postgres.Slot{Exists: true}, "lost"
		}, DoctorFault, "primary/slot", "lost", "pg_drop_replication_slot"},
		{"slot untold", slotted, func(*patient) {}, DoctorUnknown, "primary/slot", "rights", "pg_replication_slots"},
		{"too large", nil, func(p *patient) { uncopied(p); p.primary.Details.Sizes.Size = 1 << 40 }, DoctorFault, "primary/size", "does not fit", "zpool add"},
		{"size untold", nil, func(p *patient) { uncopied(p); p.primary.Details = nil }, DoctorUnknown, "primary/size", "rights", "plan"},
		{"tablespace", nil, func(p *patient) {
			uncopied(p)
			p.primary.Details.Sizes.Tablespaces = []postgres.Tablespace{{OID: "1", Location: "/ts"}}
		}, DoctorFault, "primary/tablespaces", "/ts", "tablespaces: {/ts:"},
		{"fsync", nil, func(p *patient) { p.primary.Settings["fsync"] = "off" }, DoctorWarning, "primary/durability", "fsync = off", "SET fsync = on"},
		{"full_page_writes", nil, func(p *patient) { p.primary.Settings["full_page_writes"] = "off" }, DoctorWarning, "primary/durability", "full_page_writes = off", "SET full_page_writes = on"},
		{"no checksums", nil, func(p *patient) { p.primary.Settings["data_checksums"] = "off" }, DoctorWarning, "primary/checksums", "no data checksums", "pg_checksums --enable"},
		{"synchronous", nil, func(p *patient) { p.primary.Settings["synchronous_standby_names"] = `FIRST 1 ("zreconcile-s1", b)` }, DoctorWarning, "primary/synchronous commit", "may wait", "synchronous_standby_names"},
		{"clock", nil, func(p *patient) { p.primary.Ahead = -time.Minute }, DoctorWarning, "primary/clock", "1m0s behind ours", "NTP"},
		{"clock by the receiver", nil, func(p *patient) { p.primary.Details, p.in.state.Cluster.Status.PrimaryTime = nil, moment(-time.Hour) }, DoctorWarning, "primary/clock", "1h0m1s ahead of ours", "NTP"},
		{"Patroni drops slots", slotted, func(p *patient) { p.standby.OfPatroni = true }, DoctorWarning, "primary/Patroni", "drops replication slots", "ignore_slots"},
		{"Patroni moves", nil, func(p *patient) { p.standby.OfPatroni = true }, DoctorWarning, "primary/Patroni", "names one host", "target_session_attrs"},

		{"uid after an import", nil, func(p *patient) { p.standby.Dirs[0].UID = 26 }, DoctorFault, "standby/owner", "/data/pg belongs to the uid 26, and postgres has the uid 70", "chown -R postgres: /data/pg"},
		{"mode", nil, func(p *patient) { p.standby.Dirs[0].Mode = 0o755 }, DoctorFault, "standby/owner", "0755", "chmod 0700"},
		{"readable password", nil, func(p *patient) { p.standby.Passfile.Mode = 0o644 }, DoctorFault, "standby/password file", "others can read", "chmod 0600"},
		{"password of another uid", nil, func(p *patient) { p.standby.Passfile.UID = 26 }, DoctorFault, "standby/password file", "can't read it", "chown postgres"},
		{"port", nil, func(p *patient) { p.in.state.Ports[1922] = "nginx (process 9)" }, DoctorFault, "standby/ports", "nginx (process 9)", "another port"},
		{"rival", nil, func(p *patient) {
			p.host.Rivals = []rival{{Name: "unit pg.service", DataDir: "/data/pg", AtBoot: true, Mend: "systemctl disable --now pg"}}
		}, DoctorFault, "standby/rivals", "same data directory, /data/pg, at boot", "systemctl disable"},
		{"rival asleep", nil, func(p *patient) {
			p.host.Rivals = []rival{{Name: "unit pg.service", DataDir: "/data/pg", Mend: "mask it"}}
		}, DoctorWarning, "standby/rivals", "is for the same", "mask it"},
		{"rival's port", nil, func(p *patient) {
			p.host.Rivals = []rival{{Name: "Debian's cluster 15/main", DataDir: "/x", Port: 1922, AtBoot: true, Mend: "disable it"}}
		}, DoctorWarning, "standby/rivals", "takes port 1922", "disable it"},
		{"stopped", nil, func(p *patient) { c := p.cluster(); c.Process, c.Status = postgres.Process{}, nil }, DoctorFault, "standby/server", "does not run", "apply starts it"},
		{"promoted", nil, func(p *patient) { p.cluster().Status.InRecovery = false }, DoctorFault, "standby/server", "no standby any more", "if it is the primary now"},
		{"no copy yet", nil, uncopied, DoctorWarning, "standby/server", "no standby yet", "apply"},
		{"disconnected", nil, func(p *patient) { p.cluster().Status.ReceiverState = "" }, DoctorFault, "standby/streaming", "not connected", "log"},
		{"pending", nil, func(p *patient) { p.cluster().Status.PendingRestart = []string{"max_connections"} }, DoctorWarning, "standby/settings", "max_connections", "restart"},
		{"archive not writable", nil, func(p *patient) { p.standby.Writable = no }, DoctorFault, "standby/archive", "can't write to the archive /arch/wal", "chown postgres: /arch/wal"},
		{"pitfall 24: archiver", nil, func(p *patient) {
			s := p.cluster().Status
			s.LastFailedWAL, s.LastFailedAt, s.LastArchivedAt = "00000001000000000000006E", moment(time.Second), moment(time.Minute)
		}, DoctorFault, "standby/archiver", "00000001000000000000006E", "log says why"},
		{"pitfall 59: collations", nil, func(p *patient) { p.standby.Collations = []string{"database a: its own collation ..."} }, DoctorWarning, "standby/collations", "database a", "REINDEX"},

		{"no cachefile", nil, func(p *patient) { p.pool().Properties["cachefile"] = zfs.Value{Value: "none"} }, DoctorFault, "boot/pool", "cachefile=none", "zpool set cachefile=/etc/zfs/zpool.cache zp1"},
		{"not in the cache", nil, func(p *patient) { p.host.Boot.Cache = []byte("tank") }, DoctorFault, "boot/pool", "is not in /etc/zfs/zpool.cache", "zpool set cachefile"},
		{"import not enabled", nil, func(p *patient) { p.host.Boot.Enabled = []string{"zfs-mount.service"} }, DoctorFault, "boot/pool", "no enabled unit imports", "systemctl enable"},
		{"scan where a cache is", nil, func(p *patient) { p.host.Boot.Enabled[0] = "zfs-import-scan.service" }, DoctorFault, "boot/pool", "no enabled unit imports", "systemctl enable"},
		{"no cache and no scan", nil, func(p *patient) { p.host.Boot.Cache = nil }, DoctorFault, "boot/pool", "no enabled unit imports", "systemctl enable"},
		{"mount not enabled", nil, func(p *patient) { p.host.Boot.Enabled = []string{"zfs-import-cache.service"} }, DoctorFault, "boot/pool", "mounts", "zfs-mount.service"},
		{"zfs-fuse not enabled", nil, func(p *patient) { p.zfs.FUSE = true }, DoctorWarning, "boot/pool", "zfs-fuse", "systemctl enable zfs-fuse"},
		{"no systemd", nil, func(p *patient) { p.host.Systemd = false }, DoctorUnknown, "boot/pool", "no systemd", "zpool import zp1"},
		{"unit failed", nil, func(p *patient) { p.host.Units[1].Active, p.host.Units[1].Result = "failed", "oom-kill" }, DoctorFault, "boot/units", "oom-kill", "journalctl -u zreconcile-s1.service"},
		{"unit masked", nil, func(p *patient) { p.host.Units[1].Load = "masked" }, DoctorFault, "boot/units", "masked", "unmask"},
		{"unit not enabled", nil, func(p *patient) { p.host.Units[1].UnitState = "disabled" }, DoctorWarning, "boot/units", "does not start at boot", "systemctl enable zreconcile-s1.service"},
		{"no watch", nil, func(p *patient) { p.host.Units[0].Load, p.host.Units[0].Active = "not-found", "inactive" }, DoctorWarning, "boot/units", "nothing converges by itself", "zreconcile@s1.service"},
		{"unit differs", nil, func(p *patient) { p.cluster().UnitDiffers = true }, DoctorWarning, "boot/units", "not installed as it should be", "RequiresMountsFor"},
		{"not observed", nil, func(p *patient) { p.in.state.fail(kindConf, errReading) }, DoctorFault, "host/observed", "input/output error", "words"},
		{"not observed by a user", nil, func(p *patient) { p.host.EUID = 7; p.in.state.fail(kindConf, errReading) }, DoctorUnknown, "host/observed", "input/output error", "sudo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wellPatient(t, c.edits...)
			c.spoil(p)
			d := diagnose(p)
			for _, got := range d.Checks {
				if (got.Level == DoctorOK) != (got.Mend == "") {
					t.Errorf("a mend belongs to what is not ok: %+v", got)
				}
				if got.Group+"/"+got.Name == c.check && got.Level == c.level && strings.Contains(got.What, c.what) && strings.Contains(got.Mend, c.mend) {
					return
				}
			}
			t.Errorf("no %s of %s says %q and %q: %+v", c.level, c.check, c.what, c.mend, d.Checks)
		})
	}
}

// withDrills is an edit that asks for drills with amcheck.
var withDrills = []string{"snapshots:", "verify: {every: 1d, amcheck: true}\nsnapshots:"}

// restoring is an edit that asks for a restore with a setting.
func restoring(setting string) []string {
	return []string{"snapshots:", "restores: [{name: r, target: {latest: true}, port: 1923, conf: {set: {" + setting + "}}}]\nsnapshots:"}
}

// uncopied takes the cluster away: its copy is due.
func uncopied(p *patient) {
	c := p.cluster()
	c.Content, c.Control, c.Status, c.Process = DirEmpty, nil, nil, postgres.Process{}
	p.standby = standbyFacts{}
	p.in.state.ZFS.Snapshots, p.in.state.Archive.SystemID, p.in.state.Archive.Inventory = nil, 0, wal.Inventory{}
}

type constError string

func (e constError) Error() string { return string(e) }

const errReading = constError("reading /data/pg/postgresql.conf: input/output error")

// What a check has told is not told again as a thing that was not observed.
func TestDoctorTellsOnce(t *testing.T) {
	p := wellPatient(t)
	p.host.UserErr = "no user postgres"
	p.in.state.fail(kindStandby, constError(p.host.UserErr))
	if d := diagnose(p); d.Summary.Fault != 1 {
		t.Errorf("%+v", d)
	}
}

// Without a site file the host itself is looked at, and nothing else.
func TestDoctorWithoutSite(t *testing.T) {
	p := &patient{now: givenNow, host: hostFacts{Memory: memoryFacts{Total: 1 << 30}}, server: programFacts{Installed: []string{"/usr/lib/postgresql/15/bin"}}}
	d := diagnose(p)
	if d.Summary.Fault != 0 || d.Summary.Warning != 0 || d.Summary.Unknown != 1 || d.Summary.OK < 4 {
		t.Errorf("%+v", d)
	}
	for _, c := range d.Checks {
		if c.Group == groupPrimary || c.Group == groupStandby || c.Group == groupBoot {
			t.Errorf("%+v", c)
		}
	}
	p.server.Installed, p.zfs.Importable = nil, []string{"tank"}
	if d := diagnose(p); d.Summary.Warning != 2 {
		t.Errorf("no server and an importable pool: %+v", d)
	}
}

// A site of nothing but a pool asks nothing of PostgreSQL.
func TestDoctorWithoutStandby(t *testing.T) {
	site := &spec.Site{Name: "s1", Pool: spec.Pool{Name: "zp1"}, File: "site.yaml"}
	state := emptyPool(site)
	p := &patient{site: site, in: givenView(site, &state), now: givenNow, host: hostFacts{Memory: memoryFacts{Total: 1 << 30}}}
	if d := diagnose(p); d.Summary.Fault != 0 {
		t.Errorf("%+v", d)
	}
}
