package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// Restartpoint makes a running standby write one (the command CHECKPOINT, which
// in recovery does that), so that a copy of it has little to replay. It takes as
// long as ctx allows.
func (c *Cluster) Restartpoint(ctx context.Context) error {
	return c.command(ctx, "a restartpoint", "checkpoint")
}

// PauseReplay asks a running standby to stop replaying.
func (c *Cluster) PauseReplay(ctx context.Context) error {
	return c.command(ctx, "a pause of replay", "select pg_wal_replay_pause()")
}

// ResumeReplay lets a paused one go on. At a recovery target that promotes it.
func (c *Cluster) ResumeReplay(ctx context.Context) error {
	return c.command(ctx, "replay to go on", "select pg_wal_replay_resume()")
}

// Promote ends recovery, also where replay is paused, and waits until the server
// accepts writes, as long as ctx allows.
func (c *Cluster) Promote(ctx context.Context) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer closing(conn)
	promote := promotePaused
	if version.PromotionEndsPause.In(serverMajor(conn.PgConn())) {
		promote = promoteAndWait
	}
	if err = withoutTimeout(ctx, conn); err == nil {
		err = promote(ctx, conn)
	}
	if err != nil {
		return fmt.Errorf("promoting the server of %s: %w", c.DataDir, err)
	}
	return nil
}

func promoteAndWait(ctx context.Context, conn *pgx.Conn) error {
	var promoted bool
	err := conn.QueryRow(ctx, fmt.Sprintf("select pg_promote(true, %s)", seconds(remaining(ctx)))).Scan(&promoted)
	if err == nil && !promoted {
		err = errors.New("it is still in recovery")
	}
	return err
}

// promotePaused asks for the promotion first, so that a server that stands at the
// end of its WAL does not wait for more of it when it is let go on.
func promotePaused(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "select pg_promote(false)"); err != nil {
		return err
	}
	for {
		var recovering bool
		err := conn.QueryRow(ctx, "select pg_is_in_recovery()").Scan(&recovering)
		if err != nil || !recovering {
			return err
		}
		_, err = conn.Exec(ctx, "select pg_wal_replay_resume()")
		const notInRecovery = "55000" // object_not_in_prerequisite_state: it ended meanwhile
		if e := serverError(err); err != nil && (e == nil || e.Code != notInRecovery) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is still in recovery: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Cluster) command(ctx context.Context, what, sql string) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer closing(conn)
	if err = withoutTimeout(ctx, conn); err == nil {
		_, err = conn.Exec(ctx, sql)
	}
	if err != nil {
		return fmt.Errorf("asking the server of %s for %s: %w", c.DataDir, what, err)
	}
	return nil
}

// WaitOptions say what to wait for.
type WaitOptions struct {
	Promote bool          // the end of recovery, rather than the pause at its target
	Poll    time.Duration // between two looks; 0 is 100 ms
	// LastWords tells what a server that is gone said; nil reads LogFile. See
	// Service.LastWords.
	LastWords func() string
}

// WaitTarget waits until a clone has reached its recovery target: replay is
// paused there, or ended when o.Promote. pg_ctl only waits for consistency,
// after which the server may still die. It returns how far replay came and the
// time of the last commit replayed (nil when there was none). A server that is
// gone is a *StartError with its last words; ctx is the deadline.
func (c *Cluster) WaitTarget(ctx context.Context, o WaitOptions) (reached wal.LSN, lastCommit *time.Time, err error) {
	if o.Poll <= 0 {
		o.Poll = 100 * time.Millisecond
	}
	if o.LastWords == nil {
		o.LastWords = func() string { return c.lastWords(c.started) }
	}
	w := targetWait{cluster: c, promote: o.Promote}
	defer w.close()
	tick := time.NewTicker(o.Poll)
	defer tick.Stop()
	for {
		if done, err := w.look(ctx); done {
			return w.replayed, w.lastCommit, err
		}
		p, err := c.Process()
		if err == nil && !p.Running {
			return w.replayed, w.lastCommit, &StartError{DataDir: c.DataDir, LastWords: o.LastWords(),
				Err: fmt.Errorf("it ended at %v before its recovery target was reached", w.replayed)}
		}
		select {
		case <-ctx.Done():
			return w.replayed, w.lastCommit, fmt.Errorf("the server of %s has replayed up to %v and not reached its recovery target: %w", c.DataDir, w.replayed, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// targetWait keeps one session over many looks; before consistency there is none.
type targetWait struct {
	cluster    *Cluster
	promote    bool
	conn       *pgx.Conn
	replayed   wal.LSN
	lastCommit *time.Time
}

// look asks once. An error is no verdict unless done: the server may not accept
// sessions yet, and whether it lives is for its process to say.
func (w *targetWait) look(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if w.conn == nil {
		if w.conn, err = w.cluster.Connect(ctx); err != nil {
			w.conn = nil
			return false, err
		}
	}
	status, err := readStatus(ctx, w.conn)
	if err != nil {
		w.close()
		return false, err
	}
	w.replayed, w.lastCommit = status.Replayed, status.ReplayedCommitAt
	if w.promote {
		return !status.InRecovery, nil
	}
	if !status.InRecovery {
		return true, fmt.Errorf("the server of %s did not pause at its recovery target, and promoted itself", w.cluster.DataDir)
	}
	return status.ReplayPaused, nil
}

func (w *targetWait) close() {
	if w.conn != nil {
		closing(w.conn)
		w.conn = nil
	}
}
