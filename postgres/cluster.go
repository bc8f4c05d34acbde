package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Cluster is one local data directory and the server on it, the standby or a
// clone. The zero value of the optional fields works.
type Cluster struct {
	DataDir   string
	BinDir    string // as FindBinaries returns it
	SocketDir string
	Port      int
	User      OSUser
	Admin     Login
	LogFile   string // where the server's stderr goes, outside the data directory

	// Run runs a program to its end. Launch is used for the one whose children
	// outlive us, pg_ctl start: what Run hands down to its programs, such as a
	// lock, must not be handed down to a server. nil is (*exec.Cmd).Run.
	Run, Launch Runner
	Log         *slog.Logger // nil keeps quiet

	started logMark // where the log of the last Start begins
}

// Login is who to connect as, over the socket.
type Login struct {
	Role     string // empty: the name of the cluster's OS user
	Database string // empty: postgres
}

func (c *Cluster) logger() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// PGVersion reads the major version from the file PG_VERSION. The error is
// fs.ErrNotExist when this is no data directory.
func (c *Cluster) PGVersion() (int, error) {
	b, err := readBelow(c.DataDir, "PG_VERSION", 64)
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION holds %q, which is no major version", c.DataDir, b)
	}
	return major, nil
}

// readBelow reads at most limit bytes of a file in dir, following no link that
// leads out of it.
func readBelow(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if info, err := root.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file", filepath.Join(dir, name))
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// Connect logs in over the unix socket as Admin. The session is read-only and
// its statements end after 30 seconds, and by no limit of the copied files; it is
// called zreconcile in pg_stat_activity. Nothing is taken from PG* variables of our
// environment.
func (c *Cluster) Connect(ctx context.Context) (*pgx.Conn, error) {
	if strings.TrimSpace(c.SocketDir) == "" || !filepath.IsAbs(c.SocketDir) {
		return nil, fmt.Errorf("connecting to the server of %s: its socket folder %q is not an absolute path", c.DataDir, c.SocketDir)
	}
	// The keywords keep ParseConfig from reading the environment for them.
	config, err := pgx.ParseConfig("host=/ port=5432 user=x dbname=x sslmode=disable passfile=/dev/null connect_timeout=10")
	if err != nil {
		return nil, fmt.Errorf("connecting to the server of %s: %w", c.DataDir, err)
	}
	config.Host, config.Port = c.SocketDir, uint16(c.Port)
	config.User, config.Database, config.Password = c.Admin.Role, c.Admin.Database, ""
	if config.User == "" {
		config.User = c.User.Name
	}
	if config.Database == "" {
		config.Database = "postgres"
	}
	config.RuntimeParams = map[string]string{
		"application_name":              "zreconcile",
		"default_transaction_read_only": "on",
		"statement_timeout":             "30s",
		"timezone":                      "UTC",
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // one round trip, nothing prepared
	config.AfterConnect = withoutTransactionTimeout
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s/.s.PGSQL.%d as %s: %w", c.SocketDir, c.Port, config.User, plainConnectError(err))
	}
	return conn, nil
}

// withoutTransactionTimeout keeps a limit of the primary's from ending what takes
// longer, such as a restartpoint. It is no parameter to log in with: a server that
// does not have it would refuse us.
func withoutTransactionTimeout(ctx context.Context, conn *pgconn.PgConn) error {
	if !version.TransactionTimeout.In(serverMajor(conn)) {
		return nil
	}
	_, err := conn.Exec(ctx, "set transaction_timeout = 0").ReadAll()
	return err
}

// withoutTimeout lets the statements of a session take as long as their context
// allows.
func withoutTimeout(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "set statement_timeout = 0")
	return err
}

// plainConnectError drops the frame that pgx puts around the reason: who and
// where stand in ours.
func plainConnectError(err error) error {
	var opErr *net.OpError
	if errors.As(err, &opErr) {
		return opErr
	}
	if pgErr := serverError(err); pgErr != nil {
		return pgErr
	}
	return err
}

// closing ends a session without caring how the server takes it.
func closing(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the answers were already read
}
