package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Finding is something that a check of a cluster's data has found.
type Finding struct {
	Database string // "" is the whole cluster
	Object   string // such as index public.orders_pkey; "" is the whole database
	Words    string // the server's, or the program's
}

func (f Finding) String() string {
	var parts []string
	if f.Database != "" {
		parts = append(parts, "database "+f.Database)
	}
	if f.Object != "" {
		parts = append(parts, f.Object)
	}
	return strings.Join(append(parts, f.Words), ": ")
}

// checkup is a session that looks at the data of one database. What the server
// answers is a finding, even where damage ends the session; only the end of the
// context is an error.
type checkup struct {
	cluster  *Cluster
	database string
	conn     *pgx.Conn
	cut      time.Time // when a session ended without a word of the server
	gone     bool      // no session can be had any more
}

// eachDatabase makes a checkup of each database that lets anybody in.
func (c *Cluster) eachDatabase(ctx context.Context, check func(context.Context, *checkup) ([]Finding, error)) ([]Finding, error) {
	first := &checkup{cluster: c, database: c.Admin.Database}
	defer first.close()
	// A limit of -2 marks a database that DROP DATABASE left half removed.
	names, words, err := first.texts(ctx, "select datname from pg_database where datallowconn and datconnlimit <> -2 order by datname")
	if err != nil || words != "" {
		return asFindings(Finding{Object: "the list of databases", Words: words}), err
	}
	var all []Finding
	for _, name := range names {
		k := &checkup{cluster: c, database: name}
		found, err := check(ctx, k)
		k.close()
		all = append(all, found...)
		if err != nil {
			return all, fmt.Errorf("checking database %s: %w", name, err)
		}
	}
	return all, nil
}

// asFindings is none where nothing was said.
func asFindings(f Finding) []Finding {
	if f.Words == "" {
		return nil
	}
	return []Finding{f}
}

func (k *checkup) finding(object, words string) Finding {
	return Finding{Database: k.database, Object: object, Words: words}
}

func (k *checkup) close() {
	if k.conn != nil {
		closing(k.conn)
		k.conn = nil
	}
}

// exec runs a statement; words are the server's refusal, "" is success.
func (k *checkup) exec(ctx context.Context, sql string) (words string, err error) {
	return k.asked(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

// texts runs a query of one column.
func (k *checkup) texts(ctx context.Context, sql string, args ...any) (list []string, words string, err error) {
	words, err = k.asked(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return list, words, err
}

// asked does one thing in the session, which is begun first where there is none.
// A session that is cut off soon after another may have been begun before the
// server noticed that the first one crashed, so the thing is done once more.
func (k *checkup) asked(ctx context.Context, do func(*pgx.Conn) error) (words string, err error) {
	for range 2 {
		if k.conn == nil {
			if err := k.connect(ctx); err != nil {
				k.gone = true
				return sayings(ctx, err)
			}
		}
		err = do(k.conn)
		if err == nil || !k.conn.IsClosed() {
			break
		}
		k.conn = nil
		again := time.Since(k.cut) < recoveryPatience
		k.cut = time.Now()
		if !again || ctx.Err() != nil {
			break
		}
	}
	return sayings(ctx, err)
}

// sayings tells the server's words from the end of the context.
func sayings(ctx context.Context, err error) (string, error) {
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if e := serverError(err); e != nil {
		words := e.Message
		for _, more := range []string{e.Detail, e.Hint} {
			if more != "" {
				words += " (" + more + ")"
			}
		}
		return words, nil
	}
	return err.Error(), nil
}

// recoveryPatience is how long a server may take to start anew after damage
// made one of its processes crash.
const recoveryPatience = time.Minute

// connect begins the session, without limits of time but the context's.
// Triggers of the cluster do not fire in it, those for events included
// (parameter session_replication_role): what a drill does is no event.
func (k *checkup) connect(ctx context.Context) error {
	cluster := *k.cluster
	cluster.Admin.Database = k.database
	limit, cancel := context.WithTimeout(ctx, recoveryPatience)
	defer cancel()
	for {
		conn, err := cluster.Connect(ctx)
		if err == nil {
			if err = withoutTimeout(ctx, conn); err == nil {
				_, err = conn.Exec(ctx, "set session_replication_role = replica")
			}
			if err == nil {
				k.conn = conn
				return nil
			}
			closing(conn)
		}
		if !k.startsAnew(err) {
			return err
		}
		select {
		case <-limit.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// startsAnew is true of a server that recovers from a crash of one of its
// processes: it says so, or cuts connections off.
func (k *checkup) startsAnew(err error) bool {
	if e := serverError(err); e != nil {
		const cannotConnectNow = "57P03"
		return e.Code == cannotConnectNow
	}
	p, err := k.cluster.Process()
	return err == nil && p.Running
}
