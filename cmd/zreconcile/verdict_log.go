package main

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// verdicts lets the log of a watch say when the verdict of status changes: that
// the standby lost its primary is no change of an apply, and should be found in
// the journal at three in the morning.
type verdicts struct {
	log   *slog.Logger
	clock func() time.Time

	looking atomic.Bool // one look at a time; at a pool whose devices went it may hang
	at      time.Time   // of the last look
	level   reconcile.Level
	said    string
}

// verdictEvery is the least time between two looks; they read WAL.
const verdictEvery = 30 * time.Second

// rounds is the OnRound of a watch, before that of somebody else; nil is nobody.
func (v *verdicts) rounds(next func(reconcile.Round)) func(reconcile.Round) {
	return func(r reconcile.Round) {
		v.look(r.Seen.Status)
		if next != nil {
			next(r)
		}
	}
}

// look judges what an apply saw, without keeping the watch from its work.
func (v *verdicts) look(status func(context.Context, time.Time) reconcile.Status) {
	if !v.looking.CompareAndSwap(false, true) {
		return
	}
	now := v.clock()
	if now.Sub(v.at) < verdictEvery {
		v.looking.Store(false)
		return
	}
	v.at = now
	go func() {
		defer v.looking.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), lookDeadline)
		defer cancel()
		v.tell(status(ctx, now).Verdict)
	}()
}

// tell says a verdict that is another one than before; a host that is well at
// first is no news.
func (v *verdicts) tell(j reconcile.Judgement) {
	reasons := numberless(strings.Join(j.Reasons, "\n"))
	if j.Level == v.level && reasons == v.said || v.level == "" && j.Level == reconcile.LevelOK {
		v.level, v.said = j.Level, reasons
		return
	}
	v.level, v.said = j.Level, reasons
	level := slog.LevelInfo
	switch j.Level {
	case reconcile.LevelWarning, reconcile.LevelUnknown:
		level = slog.LevelWarn
	case reconcile.LevelCritical:
		level = slog.LevelError
	}
	attrs := []any{"level", string(j.Level), "headline", j.Headline}
	if len(j.Reasons) > 0 {
		attrs = append(attrs, "reasons", strings.Join(j.Reasons, "; "))
	}
	v.log.Log(context.Background(), level, "verdict", attrs...)
}
