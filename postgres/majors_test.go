package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/version/servers"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// TestEachMajor asks a real server of each major version all that this package
// asks of one, and holds the table of differences against what it answers.
func TestEachMajor(t *testing.T) {
	servers.Each(t, func(t *testing.T, major int, binDir string) {
		dir := testFolder(t)
		c := testCluster(t, dir, "data")
		c.BinDir = binDir
		if err := c.initdb(testMkdir(t, c.User, c.DataDir)); err != nil {
			t.Fatal(err)
		}
		startNew(t, c)
		c.isOfMajor(t, major)
		c.hasTheTablesFeatures(t, major)
		c.speaksTheTablesCommands(t, major)
		c.hasTheUnitsOfConf(t)
		c.answersAStandby(t, major)
		c.passesTheCheckups(t)
		c.tellsWhyItDoesNotStart(t)
		c.isFollowed(t, dir, major)
	})
}

func (c *Cluster) isOfMajor(t *testing.T, major int) {
	ctx := testContext(t)
	ofProgram, err1 := Major(ctx, nil, c.BinDir)
	ofFiles, err2 := c.PGVersion()
	if err := errors.Join(err1, err2); err != nil || ofProgram != major || ofFiles != major {
		t.Errorf("pg_ctl is of %d, the data directory of %d (%v)", ofProgram, ofFiles, err)
	}
	s, err := c.Status(ctx, "port")
	if err != nil {
		t.Fatal(err)
	}
	if s.InRecovery || s.SystemID == 0 || s.Timeline != 1 || s.Written == 0 || s.PausedState != "not paused" || !s.FilesLoad ||
		s.BootstrapRole != "boss" || s.ServerVersionNum/10000 != major || s.Settings["port"] != fmt.Sprint(c.Port) {
		t.Errorf("its status is %+v", s)
	}
	p, err := c.Process()
	if err != nil || !p.Running || p.Foreign || p.Port != c.Port || p.SocketDir != c.SocketDir || p.Status != "ready" {
		t.Errorf("its postmaster.pid says %+v (%v)", p, err)
	}
	header, err := wal.ReadHeaderOf(filepath.Join(c.DataDir, "pg_wal", ask[string](t, c, "select pg_walfile_name(pg_current_wal_lsn())")))
	if err != nil || header.Version() != major || header.SystemID != s.SystemID {
		t.Errorf("its WAL is of version %d: %+v (%v)", header.Version(), header, err)
	}
	if got := c.FileSettings(ctx, "port", "no_such_setting"); len(got) != 1 || got["port"] != fmt.Sprint(c.Port) {
		t.Errorf("postgres -C says %q", got)
	}
}

// hasTheTablesFeatures looks in the server's own catalog for what the table says.
func (c *Cluster) hasTheTablesFeatures(t *testing.T, major int) {
	const (
		setting  = "select count(*) from pg_settings where name = '%s'"
		reloaded = "select count(*) from pg_settings where name = '%s' and context = 'sighup'"
		function = "select count(*) from pg_proc where proname = '%s' and pronamespace = 'pg_catalog'::regnamespace"
		column   = "select count(*) from pg_attribute where attrelid = 'pg_replication_slots'::regclass and attname = '%s'"
	)
	for _, f := range []struct {
		feature   version.Feature
		how, name string
	}{
		{version.WALKeepSize, setting, "wal_keep_size"},
		{version.MaxSlotWALKeepSize, setting, "max_slot_wal_keep_size"},
		{version.RecoveryInitSyncMethod, setting, "recovery_init_sync_method"},
		{version.ArchiveLibrary, setting, "archive_library"},
		{version.PromoteTriggerFile, setting, "promote_trigger_file"},
		{version.SyncReplicationSlots, setting, "sync_replication_slots"},
		{version.TransactionTimeout, setting, "transaction_timeout"},
		{version.PrimaryConninfoReload, reloaded, "primary_conninfo"},
		{version.PrimaryConninfoReload, reloaded, "primary_slot_name"},
		{version.RestoreCommandReload, reloaded, "restore_command"},
		{version.ReplayPauseState, function, "pg_get_wal_replay_pause_state"},
		{version.DatabaseCollationVersion, function, "pg_database_collation_actual_version"},
		{version.SlotWALStatus, column, "wal_status"},
	} {
		if has := ask[int](t, c, fmt.Sprintf(f.how, f.name)) == 1; has != f.feature.In(major) {
			t.Errorf("%s: the server has it: %v, the table says %v", f.name, has, f.feature.In(major))
		}
	}
}

// speaksTheTablesCommands sends the commands of both syntaxes to the server.
func (c *Cluster) speaksTheTablesCommands(t *testing.T, major int) {
	ctx := testContext(t)
	repl := Primary{Conninfo: c.conninfo("repl"), Password: oddPassword}
	refuses := func(command string, results int) bool {
		t.Helper()
		conn, err := repl.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Conn().Close() }()
		reader := conn.Exec(ctx, command)
		for range results {
			if reader.NextResult() {
				_, err = reader.ResultReader().Close()
			} else {
				err = reader.Close()
			}
		}
		var refused *pgconn.PgError
		// syntax_error, or feature_not_supported: taken for SQL, which is for a session in a database
		return errors.As(err, &refused) && (refused.Code == "42601" || refused.Code == "0A000")
	}
	for command, feature := range map[string]version.Feature{
		"READ_REPLICATION_SLOT nobody":                              version.ReadReplicationSlot,
		announceCommand(version.Newest):                             version.BaseBackupOptionList,
		"BASE_BACKUP LABEL 'x' PROGRESS FAST NOWAIT MANIFEST 'yes'": {Since: version.BackupManifest.Since, Until: version.BaseBackupOptionList.Since - 1},
	} {
		if got := refuses(command, 1); got == feature.In(major) {
			t.Errorf("%s: refused is %v", command, got)
		}
	}
	if refuses(announceCommand(major), 1) {
		t.Errorf("%s is refused", announceCommand(major))
	}
}

// hasTheUnitsOfConf compares the units of all parameters, and the defaults of
// those that a standby needs no lower, with what package conf knows of them.
func (c *Cluster) hasTheUnitsOfConf(t *testing.T) {
	larger := map[string][2]string{"B": {"1024", "1kB"}, "kB": {"1024", "1MB"}, "8kB": {"1024", "8MB"}, "MB": {"1024", "1GB"},
		"ms": {"1000", "1s"}, "s": {"60", "1min"}, "min": {"60", "1h"}}
	parameters := strings.Fields(ask[string](t, c, "select string_agg(name || '=' || unit, ' ') from pg_settings where unit is not null"))
	if len(parameters) < 50 {
		t.Errorf("only %q have a unit", parameters)
	}
	for _, p := range parameters {
		name, unit, _ := strings.Cut(p, "=")
		same, known := larger[unit]
		if !known || !conf.SameSetting(name, same[0], same[1]) {
			t.Errorf("the unit of %s is %s, which conf does not know", name, unit)
		}
	}
	defaults := map[string]int{}
	for _, name := range conf.HotStandbyMinimums {
		defaults[name] = ask[int](t, c, "select boot_val::int from pg_settings where name = '"+name+"'")
	}
	if raised, _ := conf.Raise(defaults, nil, nil); len(raised) != 0 {
		t.Errorf("its own defaults would be raised: %v", raised)
	}
	for name := range defaults {
		defaults[name]++
	}
	if raised, _ := conf.Raise(defaults, nil, nil); len(raised) != len(conf.HotStandbyMinimums) {
		t.Errorf("above its defaults only these are raised: %v", raised)
	}
}

// answersAStandby asks what is asked of a primary, as one who may replicate alone
// and as one who may log in.
func (c *Cluster) answersAStandby(t *testing.T, major int) {
	ctx := testContext(t)
	repl := Primary{Conninfo: c.conninfo("repl"), Password: oddPassword}
	wide := Primary{Conninfo: c.conninfo("wide"), Password: "wide"}
	info, err := Identify(ctx, repl)
	if err != nil || info.Major != major || info.VersionNum/10000 != major || info.SegmentSize != 1<<20 {
		t.Errorf("it is %+v (%v)", info, err)
	}
	if err := CreateSlot(ctx, repl, "zrt"); err != nil {
		t.Fatal(err)
	}
	if slot, known, err := ReadSlot(ctx, repl, "zrt"); err != nil || known != version.ReadReplicationSlot.In(major) || slot.Exists != known {
		t.Errorf("one who may replicate is told %+v, %v of the slot (%v)", slot, known, err)
	}
	if slot, known, err := ReadSlot(ctx, wide, "zrt"); err != nil || !known || !slot.Exists {
		t.Errorf("one who may log in is told %+v, %v of the slot (%v)", slot, known, err)
	}
	d, err := wide.Details(ctx, "zrt")
	if err != nil || d.Slots != 1 || (d.SlotStatus == "reserved") != version.SlotWALStatus.In(major) || d.Sizes == nil {
		t.Errorf("the details are %+v (%v)", d, err)
	}
	if err := DropSlot(ctx, repl, "zrt"); err != nil {
		t.Error(err)
	}
	asked, err1 := wide.sizesBySQL(ctx)
	announced, err2 := repl.sizesByBackup(ctx)
	if err := errors.Join(err1, err2); err != nil || asked.Size < 10<<20 || announced.Size < asked.Size/2 || announced.Size > asked.Size*2 {
		t.Errorf("its size is %d by SQL and %d by BASE_BACKUP (%v)", asked.Size, announced.Size, err)
	}
}

// passesTheCheckups, in sessions that may take their time.
func (c *Cluster) passesTheCheckups(t *testing.T) {
	ctx := testContext(t)
	const unlimited = "select 1 / (current_setting('statement_timeout') = '0')::int" // else a division by zero
	if err := c.command(ctx, "a long command", unlimited); err != nil {
		t.Error(err)
	}
	k := &checkup{cluster: c, database: "postgres"}
	if words, err := k.exec(ctx, unlimited); err != nil || words != "" {
		t.Errorf("a checkup has a limit: %s (%v)", words, err)
	}
	k.close()
	for name, check := range map[string]func(context.Context) ([]Finding, error){"collations": c.Collations, "amcheck": c.Amcheck} {
		if found, err := check(ctx); err != nil || len(found) != 0 {
			t.Errorf("%s: %v (%v)", name, found, err)
		}
	}
	if libraries, found, err := c.Libraries(ctx); err != nil || len(found) != 0 || len(libraries["postgres"]) == 0 {
		t.Errorf("libraries: %v, %v (%v)", libraries, found, err)
	}
}

func (c *Cluster) tellsWhyItDoesNotStart(t *testing.T) {
	ctx := testContext(t)
	if err := c.Stop(ctx, "fast"); err != nil {
		t.Fatal(err)
	}
	broken := *c
	broken.DataDir = c.DataDir + "-broken"
	copyTree(t, c.DataDir, broken.DataDir)
	testAppend(t, filepath.Join(broken.DataDir, "postgresql.conf"), "no_such_setting = 1\n")
	var failed *StartError
	if err := broken.Start(ctx, StartOptions{}); !errors.As(err, &failed) || !strings.Contains(failed.LastWords, `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("it starts, or does not say why not: %v", err)
	}
	if err := c.Start(ctx, StartOptions{}); err != nil {
		t.Fatal(err)
	}
}

// isFollowed makes a streaming standby of a copy, and asks it what is asked of one.
func (c *Cluster) isFollowed(t *testing.T, dir string, major int) {
	ctx := testContext(t)
	standby := *c
	standby.DataDir, standby.Port, standby.LogFile = filepath.Join(dir, "standby"), freePort(t), filepath.Join(dir, "log", "standby.log")
	if err := os.Rename(c.DataDir+"-broken", standby.DataDir); err != nil { // a copy that was made while the server was stopped
		t.Fatal(err)
	}
	testWrite(t, c.User, filepath.Join(standby.DataDir, "standby.signal"), "")
	testAppend(t, filepath.Join(standby.DataDir, "postgresql.conf"), fmt.Sprintf("no_such.setting = 1\nport = %d\nprimary_conninfo = '%s password=wide'\n", standby.Port, c.conninfo("wide")))
	standby.dropLine(t, "no_such_setting = 1\n")
	standby.letsUsIn(t, major)
	standby.hasALimit(t, major)
	start(t, &standby)
	standby.endsNoSession(t, major)
	mustExec(t, c, "create table followed as select 1 as n")
	s := standby.eventually(t, func(s Status) bool { return s.Connected() && s.ReplayedCommitAt != nil })
	if !s.InRecovery || s.Received == 0 || s.Replayed == 0 || s.ReceiverLatestEnd == 0 || s.SenderHost != "127.0.0.1" || s.PrimaryTime == nil || s.LastMsgReceiptAt == nil || s.Timeline != 1 {
		t.Errorf("the standby's status is %+v", s)
	}
	if p, err := standby.Process(); err != nil || p.Status != "standby" && p.Status != "ready" {
		t.Errorf("its postmaster.pid says %+v (%v)", p, err)
	}
	for name, step := range map[string]func(context.Context) error{"restartpoint": standby.Restartpoint, "reload": standby.Reload} {
		if err := step(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := standby.PauseReplay(ctx); err != nil {
		t.Fatal(err)
	}
	standby.eventually(t, func(s Status) bool { return s.ReplayPaused })
	if err := standby.Promote(ctx); err != nil { // though it is paused
		t.Fatal(err)
	}
	if s := standby.eventually(t, func(s Status) bool { return !s.InRecovery }); s.Timeline != 2 || ask[int](t, &standby, "select n from followed") != 1 {
		t.Errorf("promoted, its status is %+v", s)
	}
}

// letsUsIn writes the files for logging in over those of a primary that, where its
// version can, includes some of its own host.
func (c *Cluster) letsUsIn(t *testing.T, major int) {
	t.Helper()
	hba, ident := testHBA, ""
	if major >= 16 {
		hba, ident = "include /no/such/hba\n\"include\" ../no/such/hba#theirs\ninclude \"/no/such/hba #2\"\n"+hba, "include_dir /no/such/maps\n"
	}
	testWrite(t, c.User, filepath.Join(c.DataDir, "pg_hba.conf"), string(conf.HBA([]byte(hba), "boss", nil, nil)))
	testWrite(t, c.User, filepath.Join(c.DataDir, "pg_ident.conf"), string(conf.Ident([]byte(ident), []string{"root"}, []string{"boss"})))
}

// hasALimit writes one of the primary's for transactions, where there is such a thing.
func (c *Cluster) hasALimit(t *testing.T, major int) {
	t.Helper()
	if version.TransactionTimeout.In(major) {
		testAppend(t, filepath.Join(c.DataDir, conf.MainFile), "transaction_timeout = '10s'\n")
	}
}

// endsNoSession: that limit is for those of others, whatever ours may take.
func (c *Cluster) endsNoSession(t *testing.T, major int) {
	t.Helper()
	if !version.TransactionTimeout.In(major) {
		return
	}
	const limits = "select reset_val || ' in the file, ' || setting || ' here' from pg_settings where name = 'transaction_timeout'"
	if got := ask[string](t, c, limits); got != "10000 in the file, 0 here" {
		t.Errorf("transaction_timeout is %s", got)
	}
}

// dropLine takes a line out of postgresql.conf.
func (c *Cluster) dropLine(t *testing.T, line string) {
	t.Helper()
	files, err := c.ReadFiles(conf.MainFile)
	if err != nil {
		t.Fatal(err)
	}
	testWrite(t, c.User, filepath.Join(c.DataDir, conf.MainFile), strings.Replace(string(files[conf.MainFile]), line, "", 1))
}

// eventually waits for a status.
func (c *Cluster) eventually(t *testing.T, as func(Status) bool) (s Status) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if s, err = c.Status(testContext(t)); err == nil && as(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("its status stays %+v (%v)", s, err)
		}
	}
}
