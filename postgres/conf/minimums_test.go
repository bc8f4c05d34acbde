package conf

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPitfall40_RaiseFollowsThePrimary(t *testing.T) {
	control := map[string]int{"max_connections": 300, "max_worker_processes": 8, "max_wal_senders": 10, "max_prepared_transactions": 5, "max_locks_per_transaction": 64}
	for _, c := range []struct {
		name           string
		control        map[string]int
		copied, wanted map[string]int
		settings       map[string]int
		tooLow         []string
	}{
		{"defaults are not enough", control, nil, nil, map[string]int{"max_connections": 300, "max_prepared_transactions": 5}, nil},
		{"the copy says enough", control, map[string]int{"max_connections": 300, "max_prepared_transactions": 7}, nil, map[string]int{}, nil},
		{"the copy is older than the primary", control, map[string]int{"max_connections": 200, "max_worker_processes": 4, "max_prepared_transactions": 5}, nil,
			map[string]int{"max_connections": 300, "max_worker_processes": 8}, nil},
		{"wanted too low", control, map[string]int{"max_prepared_transactions": 5}, map[string]int{"max_connections": 299, "max_wal_senders": 10}, map[string]int{}, []string{"max_connections"}},
		{"wanted more", control, map[string]int{"max_prepared_transactions": 5}, map[string]int{"max_connections": 500}, map[string]int{}, nil},
		{"nothing known", nil, nil, map[string]int{"max_connections": 1}, map[string]int{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings, findings := Raise(c.control, c.copied, c.wanted)
			var tooLow []string
			for _, f := range findings {
				tooLow = append(tooLow, f.Name)
			}
			if diff := cmp.Diff(c.settings, settings); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.tooLow, tooLow); diff != "" {
				t.Errorf("too low (-want +got):\n%s", diff)
			}
		})
	}
}

// The defaults that Raise counts with must be the server's.
func TestMinimumDefaultsAreTheServers(t *testing.T) {
	s, dir := localServer(t), t.TempDir()
	writeConf(t, dir, "")
	for _, name := range HotStandbyMinimums {
		if value, stderr, ok := serverReads(t, s, dir, name); !ok || !SameSetting(name, value, strconv.Itoa(minimumDefaults[name])) {
			t.Errorf("%s: the server's default is %q, ours %d %s", name, value, minimumDefaults[name], stderr)
		}
	}
}
