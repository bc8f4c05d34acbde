package reconcile

import (
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	var l Life
	now := time.Now()
	well := func(after time.Duration, want bool) {
		t.Helper()
		if l.Well(now.Add(after)) != want {
			t.Errorf("after %s: well is %v", after, !want)
		}
	}
	well(24*time.Hour, true) // a base backup
	l.rests(now)
	well(lightCheck, true)
	well(lightCheck+overdue, false)
	l.works()
	well(24*time.Hour, true)
}
