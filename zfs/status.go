package zfs

import (
	"regexp"
	"strings"
)

// poolReport is one pool as `zpool status` and `zpool import` describe it.
type poolReport struct {
	fields map[string]string // pool, id, state, status, action, errors...
	vdevs  []Vdev
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
				current.fields[field] = strings.TrimSpace(m[2])
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
	for _, line := range lines {
		m := configLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		level, name, state := len(m[1])/2, strings.TrimSpace(m[2]), m[3]
		group := groupName.FindStringSubmatch(name)
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
			top.Devices = append(top.Devices, leafOf(name, state, m[4]))
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

// leafOf prefers the path that a missing device had to the number that stands for it.
func leafOf(name, state, notes string) Device {
	if was := formerPath.FindStringSubmatch(notes); was != nil {
		name = strings.TrimSpace(was[1])
	}
	return Device{Path: name, State: state}
}
