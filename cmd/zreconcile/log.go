package main

import (
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"

	"github.com/zreconcile/zreconcile/reconcile"
)

// logHandler writes the log as the flags want it, JSON or lines for a person,
// and as what it is written to can read it.
//
// The journal gets the priority in front of JSON, too: it takes it off again, so
// that `journalctl --output cat` shows JSON alone, and `journalctl --priority`
// and what forwards the journal know an error for one. Without it each line
// would be of priority info.
func (p *program) logHandler(w io.Writer) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.logLevel)) // the flag allows levels only
	handler := func(w io.Writer) slog.Handler {
		if p.logFormat == "json" {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: jsonAttr})
		}
		options := &tint.Options{Level: level, TimeFormat: time.DateTime, NoColor: !p.stderr.colour}
		if p.stderr.journal {
			options.NoColor, options.ReplaceAttr = true, timeless
		}
		return tint.NewTextHandler(w, options)
	}
	if p.stderr.journal {
		return newJournalHandler(w, handler)
	}
	return handler(w)
}

// jsonAttr writes values as the JSON on stdout does: times in UTC with
// microseconds, durations in seconds.
func jsonAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		return slog.String(a.Key, reconcile.FormatTime(a.Value.Time()))
	case slog.KindDuration:
		return slog.Float64(a.Key, a.Value.Duration().Seconds())
	default:
		return a
	}
}

// timeless leaves out the time of a line: the journal has its own.
func timeless(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
