package main

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// A watch comes upon the same block, note or failure in each round, for as long
// as it stands. told keeps its log readable: what lasts is said once, again when
// it changes or has stood long enough, and once more when it is gone. What was
// done is always said.
type told struct {
	log   *slog.Logger
	clock func() time.Time

	mu   sync.Mutex // an apply may be at work beside another
	said map[string]*saying
	met  map[string]bool // what the round under way came upon again
	done map[string]bool // what it brought about
}

// saying is one thing that was said, and how to say that it is gone.
type saying struct {
	text  string // with its numbers, which may differ from round to round
	since time.Time
	at    time.Time     // when it was last said
	wait  time.Duration // until it may be said again as it stands
	about []any         // for the log
}

const (
	// A failure is tried again, with growing waits; so is it said.
	failureAgain     = time.Minute
	failureAgainMost = time.Hour
	// What waits for a person is said daily, so that it stands in each day's log.
	standingAgain = 24 * time.Hour
	// The same words with other numbers, such as the nearest moment to one that
	// is refused, which moves on with each commit.
	numbersAgain = time.Hour
)

func newTold(log *slog.Logger, clock func() time.Time) *told {
	return &told{log: log, clock: clock, said: map[string]*saying{}, met: map[string]bool{}, done: map[string]bool{}}
}

// change is the OnChange of a watch.
func (t *told) change(c reconcile.Change, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := changeKey(c)
	if c.Result == reconcile.Done {
		t.done[key] = true
		reconcile.LogChange(t.log, c, took)
		return
	}
	t.met[key] = true
	wait := standingAgain
	if c.Result == reconcile.Failed {
		wait = failureAgain
	}
	about := []any{"kind", c.Kind, "name", c.Name, "action", string(c.Action), "why", c.Why}
	if s, say := t.meet(key, c.Why+"\n"+c.Error+"\n"+c.Mend, wait, about); say {
		reconcile.LogChange(t.log, c, took, s.more()...)
	}
}

// changeKey tells a change from others, round after round: what is still to be
// made may have its name from the moment in which it is tried.
func changeKey(c reconcile.Change) string {
	key := string(c.Action) + " " + c.Kind
	if c.Action == reconcile.Create && (c.Kind == "snapshot" || c.Kind == "verification") {
		return key
	}
	return key + "/" + c.Name
}

// plan is what a round found besides changes.
func (t *told) plan(p reconcile.Plan) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, note := range p.Notes {
		if s, say := t.meet(noteKey(note), note, standingAgain, []any{"note", note}); say {
			t.log.Warn(note, s.more()...)
		}
	}
	for _, failure := range p.Failures {
		if s, say := t.meet(failureKey(failure), failure, failureAgain, []any{"error", failure}); say {
			t.log.Error(failure, s.more()...)
		}
	}
}

func noteKey(text string) string    { return "note " + numberless(text) }
func failureKey(text string) string { return "failure " + numberless(text) }

// round is the end of an apply: what it did not come upon any more is gone. One
// that ended on the way, or could not observe everything, does not tell.
func (t *told) round(p reconcile.Plan, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, note := range p.Notes {
		t.met[noteKey(note)] = true
	}
	if err == nil && len(p.Failures) == 0 {
		t.clear()
	}
	clear(t.met)
	clear(t.done)
}

// rounds is the OnRound of a watch, before that of somebody else; nil is nobody.
// A round beside another one comes upon little, which says nothing of the rest.
func (t *told) rounds(next func(reconcile.Round)) func(reconcile.Round) {
	return func(r reconcile.Round) {
		if !r.Beside {
			t.round(r.Plan, r.Err)
		}
		if next != nil {
			next(r)
		}
	}
}

// clear tells of what is gone.
func (t *told) clear() {
	for _, key := range slices.Sorted(maps.Keys(t.said)) {
		s := t.said[key]
		if t.met[key] {
			continue
		}
		delete(t.said, key)
		if !t.done[key] { // that is said already
			t.log.Info("cleared", append(s.about, "since", reconcile.FormatTime(s.since))...)
		}
	}
}

// meet notes what was come upon, and whether it is to be said now.
func (t *told) meet(key, text string, wait time.Duration, about []any) (s *saying, say bool) {
	now := t.clock()
	s, known := t.said[key]
	if !known {
		s = &saying{text: text, since: now, at: now, wait: wait, about: about}
		t.said[key] = s
		return s, true
	}
	switch {
	case text == s.text:
		wait = s.wait
	case numberless(text) == numberless(s.text):
		wait = min(s.wait, numbersAgain)
	default:
		s.wait, wait = wait, 0
	}
	if now.Sub(s.at) < wait {
		return s, false
	}
	if wait > 0 && s.wait < failureAgainMost {
		s.wait = min(2*s.wait, failureAgainMost)
	}
	s.text, s.at, s.about = text, now, about
	return s, true
}

// more is since when it stands, once it is said again.
func (s *saying) more() []any {
	if s.at.Equal(s.since) {
		return nil
	}
	return []any{"since", reconcile.FormatTime(s.since)}
}

// numbers are LSNs, names of WAL files, spans of time, and all other numbers.
var numbers = regexp.MustCompile(`[0-9A-F]+/[0-9A-F]+|[0-9A-F]{8,}|[0-9.]+[dhms](?: [0-9]+[hms])?\b|[0-9]+`)

// numberless is a text without what differs from round to round.
func numberless(text string) string { return numbers.ReplaceAllString(text, "#") }
