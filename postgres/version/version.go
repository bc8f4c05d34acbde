// Package version is the one table of what differs between the major versions
// of PostgreSQL that this program works with, each line with its source. No
// other place compares a major version with a number: it asks the table by the
// name of what it needs.
//
// "Release notes N" is the appendix "Release Notes" of the documentation of
// PostgreSQL N; a name in quotes is a chapter of it, a path is one of the sources.
package version

// Oldest and Newest are the first and the last major version that this program
// knows. Before 12 recovery was configured by recovery.conf instead of signal
// files (pitfall 42; release notes 12, "Migration"); the WAL of one newer than
// Newest may be of a layout that is not known yet.
const (
	Oldest = 12
	Newest = 18
)

// A Feature is something that not all of the major versions have.
type Feature struct {
	Since  int    // the first major version that has it
	Until  int    // the last one that has it; 0 where the newest still does
	What   string // in a few words
	Source string // where PostgreSQL says so
}

// In tells whether a major version has the feature. 0, a version that is not
// known, has none; one newer than the table has what the newest has.
func (f Feature) In(major int) bool {
	return major >= f.Since && (f.Until == 0 || major <= f.Until)
}

// Programs and their options.
var (
	BackupManifest = Feature{Since: 13,
		What:   "pg_basebackup writes a manifest with checksums, and pg_verifybackup holds a copy against it",
		Source: "release notes 13, \"Streaming Replication and Recovery\"; manual pages pg_basebackup, pg_verifybackup"}
)

// Commands of the replication protocol.
var (
	ReadReplicationSlot = Feature{Since: 15,
		What:   "READ_REPLICATION_SLOT, for which the right to replicate is enough",
		Source: "\"Streaming Replication Protocol\" of 15; src/backend/replication/repl_gram.y"}
	BaseBackupOptionList = Feature{Since: 15,
		What:   "BASE_BACKUP takes its options in parentheses, and no longer as bare words",
		Source: "\"Streaming Replication Protocol\" of 15; src/backend/replication/repl_gram.y"}
)

// Views, columns and functions.
var (
	SlotWALStatus = Feature{Since: 13,
		What:   "pg_replication_slots.wal_status",
		Source: "release notes 13, \"Streaming Replication and Recovery\" (max_slot_wal_keep_size); system view pg_replication_slots"}
	ReplayPauseState = Feature{Since: 14,
		What:   "pg_get_wal_replay_pause_state(), which tells a pause that was requested from one in effect",
		Source: "release notes 14, \"Streaming Replication and Recovery\"; \"Recovery Control Functions\""}
	PromotionEndsPause = Feature{Since: 13,
		What:   "a promotion ends a pause of replay, and does not wait for somebody to resume it",
		Source: "\"Recovery Control Functions\" of 13; recoveryPausesHere of src/backend/access/transam/xlog.c"}
	DatabaseCollationVersion = Feature{Since: 15,
		What:   "pg_database.datcollversion and pg_database_collation_actual_version()",
		Source: "release notes 15, \"Migration\" and \"System Views\"; \"Collation Support\""}
)

// Settings that a server of another version refuses as unknown.
var (
	WALKeepSize = Feature{Since: 13,
		What:   "wal_keep_size, in place of wal_keep_segments",
		Source: "release notes 13, \"Migration\""}
	MaxSlotWALKeepSize = Feature{Since: 13,
		What:   "max_slot_wal_keep_size, without which a slot keeps WAL without limit",
		Source: "release notes 13, \"Streaming Replication and Recovery\"; \"Replication\", \"Sending Servers\""}
	RecoveryInitSyncMethod = Feature{Since: 14,
		What:   "recovery_init_sync_method",
		Source: "release notes 14, \"Streaming Replication and Recovery\"; \"Error Handling\""}
	ArchiveLibrary = Feature{Since: 15,
		What:   "archive_library",
		Source: "release notes 15, \"Streaming Replication and Recovery\"; \"Write Ahead Log\""}
	PromoteTriggerFile = Feature{Since: 12, Until: 15,
		What:   "promote_trigger_file",
		Source: "release notes 12, \"Migration\"; release notes 16, \"Migration\""}
	SyncReplicationSlots = Feature{Since: 17,
		What:   "sync_replication_slots",
		Source: "release notes 17, \"Logical Replication\"; \"Replication\", \"Standby Servers\""}
	TransactionTimeout = Feature{Since: 17,
		What:   "transaction_timeout, which ends a session whose one statement takes longer",
		Source: "release notes 17, \"Server Configuration\"; \"Client Connection Defaults\""}
)

// Settings that take effect at a reload, and before at a restart only.
var (
	PrimaryConninfoReload = Feature{Since: 13,
		What:   "primary_conninfo and primary_slot_name can be reloaded",
		Source: "release notes 13, \"Streaming Replication and Recovery\""}
	RestoreCommandReload = Feature{Since: 14,
		What:   "restore_command can be reloaded",
		Source: "release notes 14, \"Streaming Replication and Recovery\""}
)

// Layouts of the WAL.
var (
	WideStatisticsIDs = Feature{Since: 18,
		What:   "the statistics that a commit drops are named by object IDs of 64 bits",
		Source: "xl_xact_stats_item of src/include/access/xact.h"}
)

// walPageMagics are XLOG_PAGE_MAGIC of the stable branches
// (src/include/access/xlog_internal.h).
var walPageMagics = map[uint16]int{
	0xD101: 12,
	0xD106: 13,
	0xD10D: 14,
	0xD110: 15,
	0xD113: 16,
	0xD116: 17,
	0xD118: 18,
}

// OfWALPage is the major version that writes WAL pages with a magic number; 0
// when the number is not known.
func OfWALPage(magic uint16) int { return walPageMagics[magic] }
