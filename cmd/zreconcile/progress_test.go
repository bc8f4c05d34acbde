package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

func TestProgressIsALineEveryTenSeconds(t *testing.T) {
	var out bytes.Buffer
	now := testNow
	p := &progress{out: stream{Writer: &out}, clock: func() time.Time { return now }}
	p.log = slog.New(slog.NewTextHandler(p, nil))
	for done := range int64(31) { // a report each second
		p.show(reconcile.Progress{Kind: "basebackup", Name: "rds-prod", Done: done << 20, Total: 31 << 20})
		now = now.Add(time.Second)
	}
	p.show(reconcile.Progress{Kind: "restore", Name: "other", Done: 1})
	p.finish()
	if lines := strings.Count(out.String(), "\n"); lines != 5 { // at 0, 10, 20 and 30 s, and the other step
		t.Errorf("%d lines:\n%s", lines, &out)
	}
	if !strings.Contains(out.String(), "percent=96") {
		t.Errorf("no share is shown:\n%s", &out)
	}
}

// A base backup of ten hours is no log of thousands of lines.
func TestProgressOfHours(t *testing.T) {
	var out bytes.Buffer
	now := testNow
	p := &progress{out: stream{Writer: &out}, clock: func() time.Time { return now }}
	p.log = slog.New(slog.NewTextHandler(p, nil))
	for range 10 * 60 * 60 {
		p.show(reconcile.Progress{Kind: "basebackup", Name: "rds-prod", Done: 1})
		now = now.Add(time.Second)
	}
	if lines := strings.Count(out.String(), "\n"); lines < 120 || lines > 180 {
		t.Errorf("%d lines in ten hours", lines)
	}
}

func TestProgressIsABarOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: stream{Writer: &out, terminal: true, width: 80}, clock: time.Now}
	p.log = slog.New(slog.NewTextHandler(p, nil))
	p.show(reconcile.Progress{Kind: "basebackup", Name: "rds-prod", Done: 1 << 20})
	p.show(reconcile.Progress{Kind: "basebackup", Name: "rds-prod", Done: 2 << 20, Total: 4 << 20})
	p.log.Info("a line of the log")
	p.show(reconcile.Progress{Kind: "basebackup", Name: "rds-prod", Done: 4 << 20, Total: 4 << 20})
	p.finish()
	text := out.String()
	for _, want := range []string{"basebackup rds-prod", "100%", "level=INFO msg=\"a line of the log\""} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("the bar leaves no line of its own: %q", text)
	}
}
