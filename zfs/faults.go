package zfs

import (
	"fmt"
	"strings"
)

// healthy are the states of a device that is as it should be: a spare is AVAIL, or INUSE where another one is not
// (zpoolconcepts(7), "Device Failure and Recovery").
var healthy = map[string]bool{"ONLINE": true, "AVAIL": true, "INUSE": true}

// Faults says which devices of the pool are not as they should be and what that has cost, one fact each, for a
// person; none is all well. A pool may be ONLINE and have some.
func (p Pool) Faults() []string {
	var faults []string
	for _, v := range p.Vdevs {
		for _, d := range v.Devices {
			if !healthy[d.State] && d.State != "" {
				faults = append(faults, fmt.Sprintf("%s is %s", d.Name(), d.State))
			}
			if d.Errors != "" {
				counters := strings.Fields(d.Errors)
				faults = append(faults, fmt.Sprintf("%s had errors (read %s, write %s, checksum %s)", d.Name(), counters[0], counters[1], counters[2]))
			}
		}
	}
	if p.Resilvering != "" {
		faults = append(faults, p.Resilvering)
	}
	if p.DataErrors() {
		faults = append(faults, p.Errors)
	}
	return faults
}

// DataErrors is true where ZFS knows of data that it can't read or repair any more: Errors says how much.
func (p Pool) DataErrors() bool { return p.Errors != "" }

// Name is the device as a person gives it to zpool: the disk, where OpenZFS made a partition on a whole one.
func (d Device) Name() string {
	if disk, whole := strings.CutSuffix(d.Path, "-part1"); whole {
		return disk
	}
	return d.Path
}
