package reconcile

import (
	"sync/atomic"
	"time"
)

// Life tells whether a watch is at work: whoever restarts daemons that hang asks
// it. An apply counts as life, since each of its steps has a deadline of its own;
// a watch at rest must turn up in time for its light check. The zero value is a
// watch that has not come to rest yet.
type Life struct {
	rested atomic.Pointer[time.Time] // when it last turned up at rest; nil while it applies
}

// overdue is how late a light check may be: what it asks has deadlines of its own.
const overdue = 2 * time.Minute

// Well is false of a watch that should have turned up and did not. now must have
// a monotonic reading, so that a clock that was set means nothing.
func (l *Life) Well(now time.Time) bool {
	at := l.rested.Load()
	return at == nil || now.Sub(*at) < lightCheck+overdue
}

func (l *Life) rests(at time.Time) { l.rested.Store(&at) }
func (l *Life) works()             { l.rested.Store(nil) }
