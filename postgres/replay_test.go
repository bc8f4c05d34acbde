package postgres

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recovering makes a stopped copy of a primary with recovery settings, and the
// WAL that a restore replays in its own pg_wal.
func recovering(t *testing.T, target func(lsn string) string) *Cluster {
	primary, c, o := backupOf(t)
	if err := c.BaseBackup(testContext(t), o); err != nil {
		t.Fatal(err)
	}
	mustExec(t, primary, "insert into t values (2001)")
	lsn := ask[string](t, primary, "select pg_current_wal_lsn()::text")
	mustExec(t, primary, "insert into t values (2002)")
	mustExec(t, primary, "select pg_switch_wal()")
	testWrite(t, c.User, filepath.Join(c.DataDir, "recovery.signal"), "")
	testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), fmt.Sprintf(
		"port = %d\nunix_socket_directories = '%s'\nlisten_addresses = ''\nrestore_command = 'cp %s/pg_wal/%%f %%p'\n%s\n",
		c.Port, c.SocketDir, primary.DataDir, target(lsn)))
	return c
}

func TestWaitTargetPausedThenPromoted(t *testing.T) {
	ctx := testContext(t)
	var lsn string
	c := recovering(t, func(l string) string {
		lsn = l
		return "recovery_target_lsn = '" + l + "'\nrecovery_target_action = pause"
	})
	start(t, c)
	reached, commit, err := c.WaitTarget(ctx, WaitOptions{Poll: time.Millisecond})
	if err != nil || commit == nil {
		t.Fatalf("%v, %v, %v", reached, commit, err)
	}
	if got, want := reached.String(), lsn; got < want {
		t.Errorf("reached %s, want %s or later", got, want)
	}
	if s := mustStatus(t, c); !s.ReplayPaused || s.PausedState != "paused" {
		t.Errorf("status %+v", s)
	}
	if n := ask[int](t, c, "select count(*)::int from t where i > 2000"); n != 1 && n != 2 {
		t.Errorf("%d rows", n)
	}
	if err := c.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.WaitTarget(ctx, WaitOptions{Promote: true}); err != nil {
		t.Error(err)
	}
	if s := mustStatus(t, c); s.InRecovery || s.Timeline != 2 {
		t.Errorf("after promotion: %+v", s)
	}
}

// pg_ctl -w start returning 0 says "consistent", not "target reached".
func TestPitfall32_ServerThatDiesBeforeItsTarget(t *testing.T) {
	ctx := testContext(t)
	c := recovering(t, func(string) string { return "recovery_target_time = '2100-01-01 00:00:00+00'" })
	err := c.Start(ctx, StartOptions{}) // it may die while this waits, or later
	if err == nil {
		_, _, err = c.WaitTarget(ctx, WaitOptions{})
	}
	var failed *StartError
	if !errors.As(err, &failed) || !strings.Contains(failed.LastWords, "recovery ended before configured recovery target was reached") {
		t.Errorf("the error is %v", err)
	}
}

// A server that dies while it is waited for is not waited for until the deadline.
func TestPitfall32_ServerThatDiesLater(t *testing.T) {
	c := recovering(t, func(string) string { return "" })
	testWrite(t, c.User, filepath.Join(c.DataDir, "standby.signal"), "") // wins, and replays for ever
	start(t, c)
	if err := c.Stop(testContext(t), "immediate"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, _, err := c.WaitTarget(ctx, WaitOptions{})
	var failed *StartError
	if !errors.As(err, &failed) || !strings.Contains(failed.LastWords, "immediate shutdown") {
		t.Errorf("the error is %v", err)
	}
}

func TestWaitTargetTakesNoRunningReplayForThePause(t *testing.T) {
	c := recovering(t, func(string) string { return "" })
	testWrite(t, c.User, filepath.Join(c.DataDir, "standby.signal"), "") // wins, and replays for ever
	start(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	reached, _, err := c.WaitTarget(ctx, WaitOptions{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), reached.String()) {
		t.Errorf("reached %v, %v", reached, err)
	}
	if err := c.PauseReplay(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.WaitTarget(testContext(t), WaitOptions{}); err != nil {
		t.Errorf("paused: %v", err)
	}
}
