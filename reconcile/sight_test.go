package reconcile

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// What an apply could not see is never shown as what is not there: a monitor
// would hear that the pool is gone and that there is no snapshot.
func TestSightOfWhatWasNotSeen(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 30, 0, time.UTC)
	site := &spec.Site{Name: "a", Pool: spec.Pool{Name: "tank"}, Standby: &spec.Standby{}, Timezone: time.UTC}
	poolOnly := &spec.Site{Name: "a", Pool: spec.Pool{Name: "tank"}, Timezone: time.UTC}
	seen := State{At: now, ZFS: zfs.Inventory{Pool: &zfs.Pool{Name: "tank", Health: "ONLINE", Size: 100, Free: 50}}}
	for _, test := range []struct {
		name   string
		sight  Sight
		level  Level
		health string // of the pool
		fails  string
	}{
		{"before the first apply", Sight{}, LevelUnknown, "", "nothing was seen yet"},
		{"zfs failed", Sight{host: &Host{ZFS: &zfs.Client{}}, site: site, err: errors.New("zfs list failed")}, LevelUnknown, "", "zfs list failed"},
		{"zfs failed later", Sight{host: &Host{ZFS: &zfs.Client{}}, site: site, state: seen, err: errors.New("zfs list failed")}, LevelUnknown, "", "zfs list failed"},
		{"the devices are gone", Sight{host: &Host{ZFS: &zfs.Client{}}, site: site, err: fmt.Errorf("reading: %w", zfs.ErrSuspended)}, LevelCritical, zfs.Suspended, ""},
		{"a site of a pool alone", Sight{host: &Host{ZFS: &zfs.Client{}}, site: poolOnly, state: seen}, LevelOK, "ONLINE", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.sight.Status(context.Background(), now)
			if s.Verdict.Level != test.level {
				t.Errorf("the verdict is %+v, want %s", s.Verdict, test.level)
			}
			if have := s.Pool != nil; have != (test.health != "") || have && s.Pool.Health != test.health {
				t.Errorf("the pool is %+v, want %q", s.Pool, test.health)
			}
			if test.fails != "" && (len(s.Failures) != 1 || s.Failures[0] != test.fails) {
				t.Errorf("the failures are %q, want %q", s.Failures, test.fails)
			}
			if test.level == LevelUnknown && !s.WindowsUnknown {
				t.Error("it knows that there is no window")
			}
		})
	}
}
