package zfs

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// poolReport is one pool as `zpool status` and `zpool import` describe it; that of import is never JSON.
type poolReport struct {
	fields      map[string]string // pool, id, state, status, action...
	vdevs       []Vdev
	errors      string    // "" is none known
	scrubbed    time.Time // end of the last scrub; zero: none is told of
	resilvering string    // "" is nothing
}

// "  pool: zp0", " state: ONLINE", "status: One or more devices ...": right-aligned words with a colon.
var reportField = regexp.MustCompile(`^ *([a-z]+):(?: (.*))?$`)

// parseStatus reads the reports of any number of pools. Continued texts are indented by a tab, and so are
// the lines of the config table, which starts with the heading or the pool's own line.
func parseStatus(out string) []poolReport {
	var reports []poolReport
	var current *poolReport
	field := ""
	var config []string
	finish := func() {
		if current != nil {
			current.vdevs = parseConfig(current.fields["pool"], config)
			current.readScans()
			if words := current.fields["errors"]; words != "No known data errors" {
				current.errors = words
			}
			reports = append(reports, *current)
		}
		current, field, config = nil, "", nil
	}
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := reportField.FindStringSubmatch(line); m != nil {
			if m[1] == "pool" {
				finish()
				current = &poolReport{fields: map[string]string{}}
			}
			if current != nil {
				field = m[1]
				value := strings.TrimSpace(m[2])
				if before, again := current.fields[field]; again {
					value = before + "\n" + value
				}
				current.fields[field] = value
			}
			continue
		}
		switch {
		case current == nil || strings.TrimSpace(line) == "":
		case field == "config":
			config = append(config, line)
		default:
			current.fields[field] += " " + strings.TrimSpace(line)
		}
	}
	finish()
	return reports
}

var (
	scrubDone   = regexp.MustCompile(`^scrub repaired .* on (\w+ \w+ +\d+ [\d:]+ \d+)`)
	resilverRun = regexp.MustCompile(`^resilver (\(.*\) )?in progress since `)
)

// readScans reads the scan lines: beside that of the last scrub there is one for each vdev that is being rebuilt
// sequentially, or was since (print_scan_status of cmd/zpool/zpool_main.c).
func (r *poolReport) readScans() {
	var running []string
	for scan := range strings.SplitSeq(r.fields["scan"], "\n") {
		if end := scrubEnd(scan); !end.IsZero() {
			r.scrubbed = end
		}
		if resilverRun.MatchString(scan) {
			running = append(running, scan)
		}
	}
	r.resilvering = strings.Join(running, ", ")
}

// scrubEnd reads "scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov  8 00:24:02 2026"; the time is UTC, as the
// tool was told. One that was canceled has proven nothing.
func scrubEnd(scan string) time.Time {
	done := scrubDone.FindStringSubmatch(scan)
	if done == nil {
		return time.Time{}
	}
	end, err := time.Parse(time.ANSIC, done[1])
	if err != nil {
		return time.Time{}
	}
	return end
}

var (
	configLine = regexp.MustCompile(`^\t( *)(\S.*?)(?:\s+(ONLINE|DEGRADED|FAULTED|OFFLINE|REMOVED|UNAVAIL|AVAIL|INUSE|SPLIT|SUSPENDED)\b(.*))?$`)
	groupName  = regexp.MustCompile(`^(mirror|raidz[123]?|draid[123]?(?::\S+)?|replacing|spare|indirect)(-\d+)?$`)
	formerPath = regexp.MustCompile(`\bwas (/.*)$`)
	classes    = map[string]string{"logs": "log", "cache": "cache", "spares": "spare", "special": "special", "dedup": "dedup"}
)

// parseConfig reads the table of devices: two blanks deeper is one level down; the pool itself and the
// headings of the classes are at level 0, top-level vdevs at level 1, leaves at any level below.
func parseConfig(pool string, lines []string) []Vdev {
	var vdevs []Vdev
	class := ""
	begun := false // the group of place has a device already
	place := 0     // level of the group whose devices stand in one place; 0 is none
	for _, line := range lines {
		m := configLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		level, name, state := len(m[1])/2, strings.TrimSpace(m[2]), m[3]
		group := groupName.FindStringSubmatch(name)
		if level <= place {
			place = 0
		}
		switch {
		case level == 0 && name != pool:
			class = classes[name] // "" for the table's own heading
		case level == 0:
			class = ""
		case level == 1 && group != nil:
			vdevs = append(vdevs, Vdev{Type: vdevType(group[1]), Class: class, Name: name, State: state})
		case level == 1:
			leaf := leafOf(name, state, m[4])
			vdevs = append(vdevs, Vdev{Class: class, Name: leaf.Path, State: state, Devices: []Device{leaf}})
		case group == nil && len(vdevs) > 0:
			top := &vdevs[len(vdevs)-1]
			leaf := leafOf(name, state, m[4])
			leaf.Beside = place > 0 && begun
			begun = true
			top.Devices = append(top.Devices, leaf)
		}
		if group != nil && place == 0 && vdevType(group[1]) == "" {
			place, begun = level, false
		}
	}
	// What remains of a removed device is no vdev that anybody asked for.
	kept := vdevs[:0]
	for _, v := range vdevs {
		if v.Type != "indirect" {
			kept = append(kept, v)
		}
	}
	return kept
}

// vdevType names a stripe whose only device is being replaced or spared what it is: a stripe.
func vdevType(word string) string {
	word, _, _ = strings.Cut(word, ":") // draid2:4d:11c:0s
	switch word {
	case "replacing", "spare":
		return ""
	case "raidz", "draid":
		return word + "1"
	}
	return word
}

// noErrors are the counters of a device that has none.
var noErrors = []string{"0", "0", "0"}

// leafOf prefers the path that a missing device had to the number that stands for it.
func leafOf(name, state, notes string) Device {
	leaf := Device{Path: name, State: state}
	if counters := strings.Fields(notes); len(counters) >= 3 && counters[0][0] >= '0' && counters[0][0] <= '9' && !slices.Equal(counters[:3], noErrors) {
		leaf.Errors = strings.Join(counters[:3], " ")
	}
	if was := formerPath.FindStringSubmatch(notes); was != nil {
		leaf.Path = strings.TrimSpace(was[1])
	}
	return leaf
}
