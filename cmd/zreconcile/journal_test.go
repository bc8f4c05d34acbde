package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/reconcile"
)

// logOf is what a program with these flags logs.
func logOf(format, level string, journal bool, say func(*slog.Logger)) string {
	var out bytes.Buffer
	p := &program{stderr: stream{Writer: &out, colour: true, journal: journal}, logFormat: format, logLevel: level}
	say(slog.New(p.logHandler(&out)))
	return out.String()
}

func TestTheJournalGetsPriorities(t *testing.T) {
	got := logOf("text", "debug", true, func(log *slog.Logger) {
		log.Debug("a")
		log.Info("b", "name", "n")
		log.With("x", 1).WithGroup("g").Warn("c", "text", "two\nlines")
		log.Error("the server says:\n<0>fire", "error", errors.New("e"))
	})
	want := `<7>DBG a
<6>INF b name=n
<4>WRN c x=1 g.text="two\nlines"
<3>ERR the server says:
<3><0>fire error=e
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := logOf("text", "warn", true, func(log *slog.Logger) { log.Info("a") }); got != "" {
		t.Errorf("below its level, the log says %q", got)
	}
}

// What the journal is not connected to has no priorities, and the time.
func TestOtherLogsHaveNoPriorities(t *testing.T) {
	got := logOf("text", "info", false, func(log *slog.Logger) { log.Warn("a") })
	if !strings.Contains(got, "20") || !strings.Contains(got, "\x1b") || strings.Contains(got, "<4>") {
		t.Errorf("got %q", got)
	}
}

func TestLinesOfTheJournalWriter(t *testing.T) {
	var out bytes.Buffer
	w := &journalWriter{out: &out, priority: journalError}
	for _, text := range []string{"a", "b\nc", "\n\n", "d\n"} {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if want := "<3>ab\n<3>c\n<3>\n<3>d\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

// The line of a change is the same for whatever became of it, and so are the
// keys of its JSON.
func TestEachChangeIsOneLine(t *testing.T) {
	change := reconcile.Change{Kind: "restore", Name: "r", Action: reconcile.Create, Why: "there is none"}
	done, failed, skipped, blocked := change, change, change, change
	done.Result = reconcile.Done
	failed.Result, failed.Error = reconcile.Failed, "two\nlines"
	skipped.Result, skipped.Error = reconcile.Skipped, "it needs the pool"
	blocked.Action, blocked.Result, blocked.Error, blocked.Mend = reconcile.Block, reconcile.Skipped, blocked.Why, "zfs mount x"
	say := func(log *slog.Logger) {
		for _, c := range []reconcile.Change{done, failed, skipped, blocked} {
			reconcile.LogChange(log, c, 61234567*time.Microsecond)
		}
	}

	want := `<6>INF changed kind=restore name=r action=create why="there is none" result=done duration=1m1.235s
<3>ERR change failed kind=restore name=r action=create why="there is none" result=failed duration=1m1.235s error="two\nlines"
<4>WRN skipped kind=restore name=r action=create why="there is none" result=skipped duration=1m1.235s error="it needs the pool"
<4>WRN blocked kind=restore name=r action=block why="there is none" result=skipped duration=1m1.235s mend="zfs mount x"
`
	if diff := cmp.Diff(want, logOf("text", "info", true, say)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	lines := strings.Split(strings.TrimSpace(logOf("json", "info", true, say)), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, priority := range []string{journalInfo, journalError, journalWarning, journalWarning} {
		text, found := strings.CutPrefix(lines[i], priority)
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil || !found {
			t.Fatalf("%v: %s", err, lines[i])
		}
		for _, key := range []string{"time", "level", "msg", "kind", "name", "action", "why", "result", "duration"} {
			if _, there := line[key]; !there {
				t.Errorf("%s has no %s", text, key)
			}
		}
		if line["duration"] != 61.235 {
			t.Errorf("%s: the duration is not in seconds", text)
		}
		if at, err := time.Parse("2006-01-02T15:04:05.000000Z", line["time"].(string)); err != nil || at.IsZero() {
			t.Errorf("%s: %v", text, err)
		}
	}
	if !strings.Contains(lines[1], `"error":"two\nlines"`) {
		t.Errorf("got %s", lines[1])
	}
}
