package reconcile

import (
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// What a clone holds is proven when it stands at its target: a server may have
// gone too far without a word, or not far enough. Pitfall 9.
func TestPitfall9_ProveReached(t *testing.T) {
	at := func(second int) *time.Time { return new(givenNow.Add(time.Duration(second) * time.Second)) }
	xact := func(lsn wal.LSN, second int) wal.Record {
		return wal.Record{Kind: wal.Commit, Start: lsn, End: lsn + 40, Time: *at(second)}
	}
	target := spec.Target{Time: *at(10)}
	good := settledStop{end: 140, lastIn: xact(100, 10), firstOut: xact(200, 11)}
	with := func(f func(*settledStop)) settledStop { s := good; f(&s); return s }
	tests := map[string]struct {
		target spec.Target
		stop   settledStop
		commit *time.Time
		proven bool
	}{
		"between the two":                   {target, good, at(10), true},
		"up to what comes next":             {target, with(func(s *settledStop) { s.end = 200 }), at(10), true},
		"nothing replayed since the start":  {target, with(func(s *settledStop) { s.lastIn = wal.Record{} }), nil, true},
		"nothing came after it":             {target, with(func(s *settledStop) { s.firstOut = wal.Record{} }), at(10), true},
		"an earlier one behind it":          {target, with(func(s *settledStop) { s.lastIn.Time = *at(8) }), at(8), true},
		"the server tells of a later one":   {target, good, at(11), false},
		"the last one in is later":          {target, with(func(s *settledStop) { s.lastIn.Time = *at(11) }), nil, false},
		"the first one out is not":          {target, with(func(s *settledStop) { s.firstOut.Time = *at(10) }), at(10), false},
		"too far":                           {spec.Target{Latest: true}, with(func(s *settledStop) { s.end = 240 }), at(11), false},
		"not far enough":                    {spec.Target{Latest: true}, with(func(s *settledStop) { s.end = 100 }), at(9), false},
		"times do not matter to an LSN":     {spec.Target{LSN: "0/C8", Stop: "before"}, good, at(99), true},
		"and to xid, where they were equal": {spec.Target{XID: "7", Stop: "after"}, with(func(s *settledStop) { s.firstOut.Time = *at(10) }), at(10), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := proveReached(test.target, test.stop, test.commit); (err == nil) != test.proven {
				t.Errorf("proven: %v, want %v: %v", err == nil, test.proven, err)
			}
		})
	}
}
