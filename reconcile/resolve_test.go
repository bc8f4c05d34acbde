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

// TestLateCompletion: a snapshot that a killed run left to a later one is
// consistent later than those taken in between, and must not hide what they serve.
func TestLateCompletion(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	for i, redo := range []int{92, 94} {
		addSnapshot(&state, site, ago(time.Duration(20-i)*time.Minute), redo)
	}
	in := givenView(site, &state)
	list := usable(in)
	if len(list) != 3 {
		t.Fatalf("%d snapshots can be a base", len(list))
	}
	late := list[1].Name
	for i := range state.ZFS.Snapshots {
		if s := &state.ZFS.Snapshots[i]; s.Name == late {
			s.Properties[markConsistent] = local("", lsn(105).String())[""]
			s.Properties[markEarliestAt] = local("", FormatTime(ago(time.Minute)))[""]
		}
	}
	if list = usable(in); list[2].Name != late {
		t.Errorf("the bases in the order of WAL are %s, %s and %s", list[0].Name, list[1].Name, list[2].Name)
	}
	if n := servingTime(list, ago(2*time.Minute)); n != 2 {
		t.Errorf("%d snapshots serve a time between, want 2", n)
	}

	at := func(minutes int) *Moment { return &Moment{Time: timePtr(ago(time.Duration(minutes) * time.Minute))} }
	got := windows([]SnapshotStatus{{Earliest: at(5), Latest: at(1)}, {Earliest: at(9), Latest: at(1)}, {Earliest: at(3), Latest: &Moment{}}})
	if len(got) != 1 || !got[0].From.Equal(ago(9*time.Minute)) || !got[0].To.Equal(ago(time.Minute)) {
		t.Errorf("the windows are %v", got)
	}
}
