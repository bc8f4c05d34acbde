package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// Status is what a running server says of itself at one moment.
type Status struct {
	InRecovery       bool
	SystemID         uint64
	Timeline         wal.Timeline // being replayed, or written
	Received         wal.LSN      // received and flushed from the primary; 0 before the first byte
	Replayed         wal.LSN
	Written          wal.LSN    // of a server that is not in recovery: its insert position
	ReplayedCommitAt *time.Time // the primary's clock; nil until something was replayed since the start
	ReplayPaused     bool
	PausedState      string // "not paused", "pause requested" or "paused"

	ReceiverState     string  // of pg_stat_wal_receiver: streaming when connected; empty when there is no receiver
	ReceiverLatestEnd wal.LSN // the end of the primary's WAL in its last message
	PrimaryTime       *time.Time
	LastMsgReceiptAt  *time.Time
	SenderHost        string

	ArchivedCount   int64 // of pg_stat_archiver
	FailedCount     int64
	LastArchivedWAL string
	LastArchivedAt  *time.Time
	LastFailedWAL   string
	LastFailedAt    *time.Time

	PendingRestart   []string // settings that wait for a restart, sorted
	BootstrapRole    string   // the superuser that initdb made
	FilesLoad        bool     // the configuration files, as they are now, hold nothing that it can't load; false where the role may not ask
	StartedAt        time.Time
	ConfLoadedAt     time.Time
	ServerVersionNum int               // 150013
	Settings         map[string]string // those asked for, in the server's spelling; unknown ones are left out
}

// Connected tells whether WAL comes in from the primary.
func (s Status) Connected() bool { return s.ReceiverState == "streaming" }

// Status asks the server, in one session, with another query when settings are
// named.
func (c *Cluster) Status(ctx context.Context, settings ...string) (Status, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	conn, err := c.Connect(ctx)
	if err != nil {
		return Status{}, err
	}
	defer closing(conn)
	status, err := readStatus(ctx, conn)
	if err == nil {
		status.FilesLoad = filesLoad(ctx, conn)
		status.BootstrapRole, err = BootstrapRole(ctx, conn)
	}
	if err == nil && len(settings) > 0 {
		status.Settings, err = readSettings(ctx, conn, settings)
	}
	if err != nil {
		return Status{}, fmt.Errorf("asking the server of %s for its state: %w", c.DataDir, err)
	}
	return status, nil
}

// serverMajor is the major version that the server announced at login.
func serverMajor(conn *pgconn.PgConn) int { return majorOf(conn.ParameterStatus("server_version")) }

// majorOf reads the parameter server_version, such as "15.13 (Debian ...)"; 0
// is one that can't be read.
func majorOf(announced string) int {
	digits, _, _ := strings.Cut(announced, ".")
	digits = strings.TrimRightFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i] // 18beta1, 19devel
	}
	major, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return major
}

// pauseState asks for the state of replay. An older server can't tell a requested
// pause from one that is in effect.
func pauseState(major int) string {
	if version.ReplayPauseState.In(major) {
		return "pg_get_wal_replay_pause_state()"
	}
	return "case when pg_is_wal_replay_paused() then 'paused' else 'not paused' end"
}

// statusQuery is for one session. Functions that are an error outside recovery,
// or within, stand in a CASE, which PostgreSQL evaluates only as needed.
func statusQuery(major int) string {
	return `select pg_is_in_recovery(),
 (select system_identifier::text from pg_control_system()),
 (select greatest(c.timeline_id, r.min_recovery_end_timeline, v.received_tli) from pg_control_checkpoint() c, pg_control_recovery() r),
 case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_lsn()) end,
 pg_last_wal_receive_lsn()::text,
 pg_last_wal_replay_lsn()::text,
 case when not pg_is_in_recovery() then pg_current_wal_insert_lsn()::text end,
 pg_last_xact_replay_timestamp(),
 case when pg_is_in_recovery() then ` + pauseState(major) + ` else 'not paused' end,
 v.status, v.latest_end_lsn::text, v.last_msg_send_time, v.last_msg_receipt_time, v.sender_host,
 a.archived_count, a.failed_count, a.last_archived_wal, a.last_archived_time, a.last_failed_wal, a.last_failed_time,
 array(select name from pg_settings where pending_restart order by name),
 pg_postmaster_start_time(), pg_conf_load_time(), current_setting('server_version_num')::int
from pg_stat_archiver a left join pg_stat_wal_receiver v on true`
}

func readStatus(ctx context.Context, conn *pgx.Conn) (Status, error) {
	var s Status
	var systemID string
	var timeline *int64
	var walFile, received, replayed, written, receiver, latestEnd, sender, archived, failed *string
	query := statusQuery(serverMajor(conn.PgConn()))
	err := conn.QueryRow(ctx, query).Scan(&s.InRecovery, &systemID, &timeline, &walFile,
		&received, &replayed, &written, &s.ReplayedCommitAt, &s.PausedState,
		&receiver, &latestEnd, &s.PrimaryTime, &s.LastMsgReceiptAt, &sender,
		&s.ArchivedCount, &s.FailedCount, &archived, &s.LastArchivedAt, &failed, &s.LastFailedAt,
		&s.PendingRestart, &s.StartedAt, &s.ConfLoadedAt, &s.ServerVersionNum)
	if err != nil {
		return Status{}, err
	}
	s.ReplayPaused = s.PausedState == "paused"
	s.ReceiverState, s.SenderHost = text(receiver), text(sender)
	s.LastArchivedWAL, s.LastFailedWAL = text(archived), text(failed)
	if timeline != nil {
		s.Timeline = wal.Timeline(*timeline)
	}
	var errs [6]error
	s.SystemID, errs[0] = strconv.ParseUint(systemID, 10, 64)
	s.Received, errs[1] = parseNullLSN(received)
	s.Replayed, errs[2] = parseNullLSN(replayed)
	s.Written, errs[3] = parseNullLSN(written)
	s.ReceiverLatestEnd, errs[4] = parseNullLSN(latestEnd)
	if walFile != nil && len(*walFile) >= 8 { // a file's name begins with the timeline that is written
		var tli uint64
		tli, errs[5] = strconv.ParseUint((*walFile)[:8], 16, 32)
		s.Timeline = wal.Timeline(tli)
	}
	return s, errors.Join(errs[:]...)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func parseNullLSN(s *string) (wal.LSN, error) {
	if s == nil {
		return 0, nil
	}
	return wal.ParseLSN(*s)
}

func readSettings(ctx context.Context, conn *pgx.Conn, names []string) (map[string]string, error) {
	rows, err := conn.Query(ctx, "select n, current_setting(n, true) from unnest($1::text[]) n", names)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(names))
	var name string
	var value *string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		if value != nil {
			values[name] = *value
		}
		return nil
	})
	return values, err
}

// filesLoad lets the server read its configuration files as if to reload them
// (system view pg_file_settings). A setting that waits for a restart counts as
// one that can't be loaded.
func filesLoad(ctx context.Context, conn *pgx.Conn) bool {
	var load bool
	err := conn.QueryRow(ctx, "select not exists (select from pg_file_settings where error is not null)").Scan(&load)
	return err == nil && load
}

// BootstrapRole is the name of the superuser that initdb made, which is not
// always postgres: its OID is 10 in every cluster.
func BootstrapRole(ctx context.Context, conn *pgx.Conn) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, "select rolname from pg_roles where oid = 10").Scan(&name); err != nil {
		return "", fmt.Errorf("asking for the bootstrap superuser: %w", err)
	}
	return name, nil
}
