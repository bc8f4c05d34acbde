package e2e

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// ledgerSchema is what the load writes to. A row tells which transaction it is
// of; beat and side are for commits that the ledger does not know.
var ledgerSchema = []string{
	`CREATE TABLE ledger (id bigserial PRIMARY KEY, writer int NOT NULL, xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint, filler bytea NOT NULL, digest text NOT NULL)`,
	`CREATE TABLE beat (n int)`,
	`CREATE TABLE side (n int)`,
}

const ledgerInsert = `INSERT INTO ledger (writer, filler, digest) VALUES ($1, $2::bytea, md5($2::bytea))`

// load is several writers that work on the ledger until they are stopped,
// whatever becomes of the primary meanwhile.
type load struct {
	primary   atomic.Pointer[primary.Primary]
	segment   int          // bytes; the largest record is longer
	quiet     sync.RWMutex // held for writing while the primary is to be quiet
	paused    bool
	stop      context.CancelFunc
	ended     sync.WaitGroup
	committed atomic.Int64
	failed    atomic.Int64 // transactions that broke off, as with a restart
	lastError atomic.Value // text
}

// startLoad starts the writers; they begin quiet.
func startLoad(t testing.TB, p *primary.Primary, segmentMB int, seed uint64) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{segment: segmentMB << 20, stop: cancel}
	l.primary.Store(p)
	l.pause()
	for i := range 4 {
		l.ended.Add(1)
		go l.write(ctx, i, rand.New(rand.NewPCG(seed, uint64(i))))
	}
	t.Cleanup(l.end)
	return l
}

// pause returns when no transaction runs any more.
func (l *load) pause() {
	l.quiet.Lock()
	l.paused = true
}

func (l *load) resume() {
	l.paused = false
	l.quiet.Unlock()
}

func (l *load) end() {
	l.stop()
	if l.paused {
		l.resume()
	}
	l.ended.Wait()
}

// write is one writer.
func (l *load) write(ctx context.Context, writer int, rng *rand.Rand) {
	defer l.ended.Done()
	var conn *pgx.Conn
	for ctx.Err() == nil {
		l.quiet.RLock()
		if conn == nil || conn.IsClosed() {
			conn, _ = dialPrimary(ctx, l.primary.Load())
		}
		err := errors.New("not connected")
		if conn != nil {
			err = l.transaction(ctx, conn, writer, rng)
		}
		l.quiet.RUnlock()
		pause := time.Duration(rng.IntN(25)) * time.Millisecond
		if err != nil {
			said := err.Error()
			l.failed.Add(1)
			l.lastError.Store(said)
			if conn != nil {
				_ = conn.Close(context.Background()) // whatever state it is in
			}
			pause = 100 * time.Millisecond
		} else {
			l.committed.Add(1)
		}
		time.Sleep(pause)
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

// filler is mostly short; at times it takes several pages.
func filler(rng *rand.Rand) []byte {
	n := rng.IntN(200)
	switch rng.IntN(12) {
	case 0:
		n = rng.IntN(20_000)
	case 1:
		n = rng.IntN(3_000)
	}
	b := make([]byte, n)
	_, _ = crand.Read(b) // never fails; what can't be compressed
	return b
}

// transaction is one of the kinds that end in different records.
func (l *load) transaction(ctx context.Context, conn *pgx.Conn, writer int, rng *rand.Rand) error {
	insert := func(run func(context.Context, string, ...any) error) error {
		for range 1 + rng.IntN(4) {
			if err := run(ctx, ledgerInsert, writer, filler(rng)); err != nil {
				return err
			}
		}
		return nil
	}
	exec := func(ctx context.Context, sql string, args ...any) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	}
	all := func(statements ...string) error {
		for _, s := range statements {
			if err := exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	}
	side := fmt.Sprintf("side_%d", writer)
	switch kind := rng.IntN(100); {
	case kind < 45:
		return exec(ctx, ledgerInsert, writer, filler(rng))
	case kind < 60:
		return errors.Join(all("BEGIN"), insert(exec), all("COMMIT"))
	case kind < 70:
		return errors.Join(all("BEGIN"), insert(exec), all("ROLLBACK"))
	case kind < 78:
		return errors.Join(all("BEGIN", "SAVEPOINT a"), insert(exec), all("ROLLBACK TO a", "SAVEPOINT b"), insert(exec), all("COMMIT"))
	case kind < 80: // more subtransactions than a running-xacts record lists
		return all(fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP BEGIN
			INSERT INTO ledger (writer, filler, digest) VALUES (%d, '', md5('')); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP;
			PERFORM pg_sleep(%f); END $$`, 20+rng.IntN(80), writer, rng.Float64()))
	case kind < 88:
		gid := fmt.Sprintf("%d-%d", writer, rng.Int64())
		end := []string{"COMMIT PREPARED '", "COMMIT PREPARED '", "ROLLBACK PREPARED '"}[rng.IntN(3)]
		err := errors.Join(all("BEGIN"), insert(exec), all("PREPARE TRANSACTION '"+gid+"'"))
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		return errors.Join(err, all(end+gid+"'"))
	case kind < 92:
		return errors.Join(all("BEGIN", "SET LOCAL synchronous_commit = off"), insert(exec), all("COMMIT"))
	case kind < 95:
		return all("DROP TABLE IF EXISTS "+side, "CREATE TABLE "+side+" AS SELECT generate_series(1, 100) AS n", "CREATE INDEX ON "+side+" (n)", "VACUUM "+side, "TRUNCATE "+side)
	case kind < 98:
		return all("INSERT INTO side VALUES (1)", "BEGIN", "SELECT * FROM side FOR SHARE", "DELETE FROM side", "COMMIT", "VACUUM side")
	}
	// One record that spans pages, and with segments of 1 MB at times several of them.
	size := rng.IntN(60_000)
	if rng.IntN(15) == 0 {
		size = rng.IntN(min(2*l.segment, 2_500_000))
	}
	return exec(ctx, `SELECT pg_logical_emit_message(true, 'large', repeat('x', $1))`, size)
}
