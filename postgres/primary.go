package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// Primary is how to reach the server that we follow.
type Primary struct {
	Conninfo string // a libpq connection string without the password; its hosts are tried in order
	Password string
}

// Tablespace is one beside pg_default and pg_global.
type Tablespace struct {
	OID      string
	Location string // on the primary's host
	Size     int64  // bytes
}

// PrimaryInfo is what a primary tells to one who may replicate.
type PrimaryInfo struct {
	SystemID      uint64
	Timeline      wal.Timeline
	XLogPos       wal.LSN // its flush position
	Major         int
	VersionNum    int    // 150013, of the server that answered
	Version       string // 15.13 (Debian 15.13-0+deb12u1)
	SegmentSize   int64  // bytes
	WALLevel      string
	BootstrapRole string // empty when an ordinary login is refused
	// WALWriterDelay is its wal_writer_delay: a commit that did not wait for it
	// is flushed, and sent to us, after up to three times that.
	WALWriterDelay time.Duration
}

// PrimarySizes is what a base backup would copy, without WAL.
type PrimarySizes struct {
	Size        int64 // bytes of the whole cluster, tablespaces included
	Tablespaces []Tablespace
}

// libpqOnly are keywords of libpq that pgx does not know and would send to the
// server as settings (PostgreSQL documentation, "Parameter Key Words").
var libpqOnly = []string{
	"hostaddr", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
	"tcp_user_timeout", "gssencmode", "gsslib", "gssdelegation", "sslcompression", "sslcrl", "sslcrldir",
	"requirepeer", "requiressl", "ssl_min_protocol_version", "ssl_max_protocol_version",
	"fallback_application_name", "load_balance_hosts", "client_encoding", "replication",
	"scram_client_key", "scram_server_key", "sslkeylogfile",
}

func (p Primary) config(replication bool) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(p.Conninfo)
	if err != nil {
		return nil, fmt.Errorf("the connection to the primary: %w", err)
	}
	config.Password = p.Password
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool {
		for _, known := range libpqOnly {
			if name == known {
				return true
			}
		}
		return false
	})
	if replication {
		config.RuntimeParams["replication"] = "true"
	}
	return config, nil
}

func (p Primary) connect(ctx context.Context) (*pgconn.PgConn, error) {
	config, err := p.config(true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // several hosts may be down
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, primaryError(err)
	}
	return conn, nil
}

// Identify asks who the primary is, in the streaming replication protocol
// (PostgreSQL documentation, chapter "Frontend/Backend Protocol", section
// "Streaming Replication Protocol"), for which the right to replicate is enough.
// Errors are of type *PrimaryError.
func Identify(ctx context.Context, p Primary) (PrimaryInfo, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return PrimaryInfo{}, err
	}
	defer hangUp(conn)
	info := PrimaryInfo{Version: conn.ParameterStatus("server_version")}
	info.Major = serverMajor(conn)
	if err := info.identifySystem(ctx, conn); err != nil {
		return PrimaryInfo{}, err
	}
	shown := map[string]string{}
	for _, name := range []string{"wal_segment_size", "server_version_num", "wal_level", "wal_writer_delay"} {
		row, err := askRow(ctx, conn, "SHOW "+name, 1)
		if err != nil {
			return PrimaryInfo{}, primaryError(err)
		}
		shown[name] = row[0]
	}
	info.WALLevel = shown["wal_level"]
	if info.VersionNum, err = strconv.Atoi(shown["server_version_num"]); err != nil {
		return PrimaryInfo{}, primaryError(err)
	}
	if info.SegmentSize, err = parseMemory(shown["wal_segment_size"]); err != nil {
		return PrimaryInfo{}, primaryError(err)
	}
	if info.WALWriterDelay, err = time.ParseDuration(shown["wal_writer_delay"]); err != nil { // ms or s
		return PrimaryInfo{}, primaryError(err)
	}
	info.BootstrapRole = p.bootstrapRole(ctx)
	return info, nil
}

func (info *PrimaryInfo) identifySystem(ctx context.Context, conn *pgconn.PgConn) error {
	row, err := askRow(ctx, conn, "IDENTIFY_SYSTEM", 4)
	if err != nil {
		return primaryError(err)
	}
	var errs [3]error
	var timeline uint64
	info.SystemID, errs[0] = strconv.ParseUint(row[0], 10, 64)
	timeline, errs[1] = strconv.ParseUint(row[1], 10, 32)
	info.XLogPos, errs[2] = wal.ParseLSN(row[2])
	info.Timeline = wal.Timeline(timeline)
	return primaryError(errors.Join(errs[:]...))
}

// askRow sends one command of the simple protocol and wants one row of at least
// n columns; NULL reads as empty.
func askRow(ctx context.Context, conn *pgconn.PgConn, command string, n int) ([]string, error) {
	results, err := conn.Exec(ctx, command).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < n {
		return nil, fmt.Errorf("its answer to %s is not one row of %d columns", command, n)
	}
	return rowText(results[0].Rows[0]), nil
}

func rowText(row [][]byte) []string {
	values := make([]string, len(row))
	for i, value := range row {
		values[i] = string(value)
	}
	return values
}

// parseMemory reads a size as SHOW prints it: 16MB, 1GB.
func parseMemory(s string) (int64, error) {
	digits := strings.TrimRight(s, "kMGTB")
	n, err := strconv.ParseInt(digits, 10, 32)
	unit, known := map[string]int64{"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[s[len(digits):]]
	if err != nil || !known || n <= 0 {
		return 0, fmt.Errorf("%q is no size such as 16MB", s)
	}
	return n * unit, nil
}

func hangUp(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // what we wanted to know was read
}

// login opens an ordinary session, which a role made for replication is often
// refused. It tries the database postgres, then the one named as the role.
func (p Primary) login(ctx context.Context) (*pgx.Conn, error) {
	config, err := p.config(false)
	if err != nil {
		return nil, err
	}
	var last error
	for _, database := range []string{"postgres", config.User} {
		ordinary, err := pgx.ParseConfig("host=/ user=x sslmode=disable passfile=/dev/null")
		if err != nil {
			return nil, err
		}
		ordinary.Config = *config.Copy()
		ordinary.Database = database
		ordinary.RuntimeParams["default_transaction_read_only"] = "on"
		ordinary.DefaultQueryExecMode = pgx.QueryExecModeExec
		conn, err := pgx.ConnectConfig(ctx, ordinary)
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, primaryError(last)
}

func (p Primary) bootstrapRole(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := p.login(ctx)
	if err != nil {
		return ""
	}
	defer closing(conn)
	role, err := BootstrapRole(ctx, conn)
	if err != nil {
		return ""
	}
	return role
}
