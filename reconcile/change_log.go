package reconcile

import (
	"context"
	"log/slog"
	"time"
)

// LogChange writes the one line that a log has of a change, whatever became of
// it: kind, name, action, why, result and duration, as `apply -o json` names
// them; the error or what kept it from being tried; and what more there is to
// say. It is what a Host does with each change unless told otherwise.
func LogChange(log *slog.Logger, c Change, took time.Duration, more ...any) {
	level, message := slog.LevelInfo, "changed"
	switch {
	case c.Result == Failed:
		level, message = slog.LevelError, "change failed"
	case c.Action == Block:
		level, message = slog.LevelWarn, "blocked"
	case c.Result == Skipped:
		level, message = slog.LevelWarn, "skipped"
	}
	attrs := []any{"kind", c.Kind, "name", c.Name, "action", string(c.Action), "why", c.Why,
		"result", string(c.Result), slog.Duration("duration", took.Round(time.Millisecond))}
	if c.Error != "" && c.Error != c.Why { // the error of a block is its why
		attrs = append(attrs, "error", c.Error)
	}
	if c.Mend != "" {
		attrs = append(attrs, "mend", c.Mend)
	}
	log.Log(context.Background(), level, message, append(attrs, more...)...)
}
