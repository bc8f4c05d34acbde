package zfs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// statusJSON is one pool of `zpool status -j --json-int` (zpool-status(8), OpenZFS 2.3). Where the tool has it, it is
// read instead of the table for people: there, a path that holds a blank and the word of a state cannot be
// told from a path and its state.
type statusJSON struct {
	State, Status, Action                 string
	Vdevs                                 vdevsJSON // the root vdev, and below it those for normal data
	Special, Dedup, Logs, L2Cache, Spares vdevsJSON
	ErrorCount                            int64    `json:"error_count"`
	ScanStats                             scanJSON `json:"scan_stats"`
}

// scanJSON is the last scrub or resilver, and beside it the vdevs that are, or were, rebuilt sequentially. Times are
// seconds since 1970.
type scanJSON struct {
	Function, State string
	StartTime       int64 `json:"start_time"`
	EndTime         int64 `json:"end_time"`
	Rebuilds        map[string]struct {
		State     string
		StartTime int64 `json:"start_time"`
	} `json:"rebuild_stats"`
}

// vdevsJSON are the members of an object of vdevs, in their order.
type vdevsJSON []vdevJSON

type vdevJSON struct {
	Name, Path string
	Type       string `json:"vdev_type"`
	State, Aux string // the kernel's words: see state
	Read       int64  `json:"read_errors"`
	Write      int64  `json:"write_errors"`
	Checksum   int64  `json:"checksum_errors"`
	Vdevs      vdevsJSON
}

func (list *vdevsJSON) UnmarshalJSON(text []byte) error {
	in := json.NewDecoder(bytes.NewReader(text))
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return errors.Join(fmt.Errorf("vdevs are no object: %.40s", text), err)
	}
	for in.More() {
		var v vdevJSON
		if _, err := in.Token(); err != nil { // its name, which is in it as well
			return err
		}
		if err := in.Decode(&v); err != nil {
			return err
		}
		*list = append(*list, v)
	}
	return nil
}

// parseStatusJSON reads the report of one pool.
func parseStatusJSON(pool, out string) (poolReport, error) {
	var all struct{ Pools map[string]statusJSON }
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return poolReport{}, fmt.Errorf("zpool status -j of %s: %w", pool, err)
	}
	s, there := all.Pools[pool]
	if !there || len(s.Vdevs) != 1 {
		return poolReport{}, fmt.Errorf("zpool status -j of %s did not show that pool: %.200s", pool, out)
	}
	report := poolReport{fields: map[string]string{"pool": pool, "state": s.State, "status": oneLine(s.Status), "action": oneLine(s.Action)}}
	if s.ErrorCount > 0 {
		report.errors = fmt.Sprintf("%d data errors", s.ErrorCount)
	}
	report.scrubbed, report.resilvering = s.ScanStats.scrubbed(), s.ScanStats.resilvering()
	for _, group := range []struct {
		class string
		vdevs vdevsJSON
	}{{"", s.Vdevs[0].Vdevs}, {"special", s.Special}, {"dedup", s.Dedup}, {"log", s.Logs}, {"cache", s.L2Cache}, {"spare", s.Spares}} {
		for _, v := range group.vdevs {
			if top, ok := v.top(group.class); ok {
				report.vdevs = append(report.vdevs, top)
			}
		}
	}
	return report, nil
}

func (s scanJSON) scrubbed() time.Time {
	if s.Function != "SCRUB" || s.State != "FINISHED" {
		return time.Time{}
	}
	return time.Unix(s.EndTime, 0).UTC()
}

func (s scanJSON) resilvering() string {
	var running []string
	add := func(what string, began int64) {
		running = append(running, what+" in progress since "+time.Unix(began, 0).UTC().Format(time.ANSIC))
	}
	if s.Function == "RESILVER" && s.State == "SCANNING" {
		add("resilver", s.StartTime)
	}
	for _, vdev := range slices.Sorted(maps.Keys(s.Rebuilds)) {
		if rebuild := s.Rebuilds[vdev]; rebuild.State == "ACTIVE" {
			add("resilver ("+vdev+")", rebuild.StartTime)
		}
	}
	return strings.Join(running, ", ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// state is what zpool calls it where it speaks to people, and what its manual explains (zpool_state_to_name of
// lib/libzfs/libzfs_pool.c).
func (v vdevJSON) state() string {
	switch {
	case v.State == "CLOSED":
		return "OFFLINE"
	case v.State != "CANT_OPEN":
		return v.State
	case v.Aux == "CORRUPT_DATA" || v.Aux == "BAD_LOG":
		return "FAULTED"
	case v.Aux == "SPLIT_POOL":
		return "SPLIT"
	}
	return "UNAVAIL"
}

// top is a top-level vdev; what remains of a removed one is none.
func (v vdevJSON) top(class string) (Vdev, bool) {
	if v.Type == "indirect" {
		return Vdev{}, false
	}
	if len(v.Vdevs) == 0 {
		leaf := v.leaf()
		return Vdev{Class: class, Name: leaf.Path, State: leaf.State, Devices: []Device{leaf}}, true
	}
	kind := ""
	if group := groupName.FindStringSubmatch(v.Name); group != nil {
		kind = vdevType(group[1])
	}
	return Vdev{Type: kind, Class: class, Name: v.Name, State: v.state(), Devices: v.leaves()}, true
}

// leaves are the devices at any depth: one that is being replaced stands a level deeper, with what replaces it.
func (v vdevJSON) leaves() []Device {
	inOnePlace := false
	if group := groupName.FindStringSubmatch(v.Name); group != nil {
		inOnePlace = vdevType(group[1]) == ""
	}
	var list []Device
	for _, below := range v.Vdevs {
		devices := below.leaves()
		if len(below.Vdevs) == 0 {
			devices = []Device{below.leaf()}
		}
		for _, d := range devices {
			d.Beside = d.Beside || inOnePlace && len(list) > 0
			list = append(list, d)
		}
	}
	return list
}

// leaf prefers the path to the name, which is a number for a device that is missing. A spare of draid has no
// path.
func (v vdevJSON) leaf() Device {
	d := Device{Path: cmp.Or(v.Path, v.Name), State: v.state()}
	if v.Read|v.Write|v.Checksum != 0 {
		d.Errors = fmt.Sprint(v.Read, v.Write, v.Checksum)
	}
	return d
}
