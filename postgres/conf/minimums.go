package conf

import (
	"fmt"
	"strconv"
)

// HotStandbyMinimums are the parameters that a hot standby needs no lower than
// its primary has them (chapter "Hot Standby", "Administrator's Overview").
// Too low, the server does not start, or replay pauses (pitfall 40).
var HotStandbyMinimums = []string{
	"max_connections",
	"max_worker_processes",
	"max_wal_senders",
	"max_prepared_transactions",
	"max_locks_per_transaction",
}

// minimumDefaults are the server's own values where no file says one,
// unchanged from PostgreSQL 12 to 18.
var minimumDefaults = map[string]int{
	"max_connections":           100,
	"max_worker_processes":      8,
	"max_wal_senders":           10,
	"max_prepared_transactions": 0,
	"max_locks_per_transaction": 64,
}

// Raise compares the primary's values in pg_control with what the copied files
// say and what the site file wants. settings holds what must be raised, at the
// primary's values; tooLow the wishes that no hot standby can have.
func Raise(control, copied, wanted map[string]int) (settings map[string]int, tooLow []Finding) {
	settings = map[string]int{}
	for _, name := range HotStandbyMinimums {
		need, known := control[name]
		if !known {
			continue
		}
		if want, ok := wanted[name]; ok {
			if want < need {
				tooLow = append(tooLow, Finding{Name: name, Value: strconv.Itoa(want),
					Reason: fmt.Sprintf("the primary has %d, and a hot standby with less does not start: set %s to %d or more, or leave it out", need, name, need)})
			}
			continue
		}
		have, ok := copied[name]
		if !ok {
			have = minimumDefaults[name]
		}
		if have < need {
			settings[name] = need
		}
	}
	return settings, tooLow
}
