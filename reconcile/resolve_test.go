package reconcile

import (
	"testing"
	"time"
)

// TestPitfall11_ServingTime: a snapshot behind one that holds something later
// serves nothing before that, whatever its own newest commit says.
func TestPitfall11_ServingTime(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC) }
	tests := []struct {
		name     string
		earliest []int
		target   int
		want     int
	}{
		{"no snapshot", nil, 5, 0},
		{"before the first", []int{10, 20}, 5, 0},
		{"at the first", []int{10, 20}, 10, 1},
		{"between", []int{10, 20, 30}, 25, 2},
		{"after the last", []int{10, 20, 30}, 45, 3},
		{"the clock was set back", []int{10, 40, 20, 30}, 35, 1},
		{"after the clock was set back and came round", []int{10, 40, 20, 45}, 50, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var bases []Snapshot
			for _, minute := range test.earliest {
				bases = append(bases, Snapshot{EarliestAt: at(minute)})
			}
			if got := servingTime(bases, at(test.target)); got != test.want {
				t.Errorf("%d snapshots serve, want %d", got, test.want)
			}
		})
	}
}
