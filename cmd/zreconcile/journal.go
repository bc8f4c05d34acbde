package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// Priorities as sd-daemon(3) has them at the beginning of a line: the journal
// takes them off, and `journalctl --priority` goes by them.
const (
	journalError   = "<3>"
	journalWarning = "<4>"
	journalInfo    = "<6>"
	journalDebug   = "<7>"
)

func journalPriority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return journalError
	case level >= slog.LevelWarn:
		return journalWarning
	case level >= slog.LevelInfo:
		return journalInfo
	default:
		return journalDebug
	}
}

// journalHandler writes a log to the journal: each line bears the priority of
// its record. It has a handler for each priority, since a handler does not tell
// its writer what it writes.
type journalHandler map[string]slog.Handler

func newJournalHandler(w io.Writer, handler func(io.Writer) slog.Handler) journalHandler {
	h := journalHandler{}
	for _, priority := range []string{journalError, journalWarning, journalInfo, journalDebug} {
		h[priority] = handler(&journalWriter{out: w, priority: priority})
	}
	return h
}

// Enabled is of the least level that the log shows.
func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h[journalPriority(level)].Enabled(ctx, level)
}

// Handle writes one record.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h[journalPriority(r.Level)].Handle(ctx, r)
}

// WithAttrs is a log whose records all have these.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(below slog.Handler) slog.Handler { return below.WithAttrs(attrs) })
}

// WithGroup is a log whose records have what follows in a group.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return h.each(func(below slog.Handler) slog.Handler { return below.WithGroup(name) })
}

func (h journalHandler) each(of func(slog.Handler) slog.Handler) journalHandler {
	all := journalHandler{}
	for priority, below := range h {
		all[priority] = of(below)
	}
	return all
}

// journalWriter begins each line with a priority, whatever the line itself
// begins with: the journal makes an entry of each, and what a server's message
// slips in after a line break must not choose its own.
type journalWriter struct {
	out      io.Writer
	priority string
	within   bool // of a line that an earlier write began
}

// Write writes all lines at once, so that others' do not come between.
func (j *journalWriter) Write(text []byte) (int, error) {
	var lines strings.Builder
	for line := range strings.Lines(string(text)) {
		if !j.within {
			lines.WriteString(j.priority)
		}
		lines.WriteString(line)
		j.within = !strings.HasSuffix(line, "\n")
	}
	if _, err := io.WriteString(j.out, lines.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// words is where text goes that is no line of the log: why a run ended, what is
// wrong with the site file. In the journal these are errors.
func (s stream) words() io.Writer {
	if s.journal {
		return &journalWriter{out: s.Writer, priority: journalError}
	}
	return s.Writer
}
