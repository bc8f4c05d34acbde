package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

func TestVerdictIsSaidWhenItChanges(t *testing.T) {
	var out bytes.Buffer
	v := &verdicts{log: slog.New(slog.NewTextHandler(&out, nil))}
	well := reconcile.Judgement{Level: reconcile.LevelOK, Headline: "any moment"}
	lost := func(behind string) reconcile.Judgement {
		return reconcile.Judgement{Level: reconcile.LevelWarning, Reasons: []string{"the standby is not connected to its primary", behind}}
	}
	for _, step := range []struct {
		name    string
		verdict reconcile.Judgement
		says    string // "" is nothing
	}{
		{"well at first", well, ""},
		{"the primary is lost", lost("5m behind"), "level=WARN msg=verdict level=warning"},
		{"still", lost("6m behind"), ""},
		{"worse", reconcile.Judgement{Level: reconcile.LevelCritical, Reasons: []string{"archiving fails"}}, "level=ERROR msg=verdict level=critical"},
		{"well again", well, "level=INFO msg=verdict level=ok"},
		{"still well", well, ""},
	} {
		out.Reset()
		v.tell(step.verdict)
		if got := out.String(); (got == "") != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%s: said %q", step.name, got)
		}
	}
}

// A look that hangs keeps neither the watch nor its end waiting, and there is one
// at a time, and not after each of many rounds.
func TestVerdictLooksDoNotHoldTheWatch(t *testing.T) {
	now := testNow
	v := &verdicts{log: slog.New(slog.DiscardHandler), clock: func() time.Time { return now }}
	looks, goOn := make(chan bool, 10), make(chan bool)
	status := func(context.Context, time.Time) reconcile.Status {
		looks <- true
		<-goOn
		return reconcile.Status{}
	}
	v.look(status)
	<-looks
	now = now.Add(time.Hour)
	v.look(status) // returns, and begins nothing
	goOn <- true
	for v.looking.Load() {
		time.Sleep(time.Millisecond)
	}
	v.look(status) // long after the first one
	<-looks
	goOn <- true
	for v.looking.Load() {
		time.Sleep(time.Millisecond)
	}
	now = now.Add(verdictEvery - time.Second)
	v.look(status)
	if len(looks) != 0 || v.looking.Load() {
		t.Error("it looked again too soon, or beside a look that hung")
	}
}
