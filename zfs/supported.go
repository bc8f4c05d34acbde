package zfs

import (
	"slices"
	"strings"
)

// learnSupported reads the table of native properties that zfs prints after "bad property list". It
// reports whether that taught anything, so that trying again makes sense.
func (c *Client) learnSupported(stderr string) bool {
	known := parseSupported(stderr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(known) == 0 || c.supported != nil {
		return false
	}
	// Tools of all ages answer these, and older ones leave some of them out of the table.
	for _, name := range slices.Concat(datasetColumns, snapshotColumns) {
		known[name] = true
	}
	c.supported = known
	return true
}

// parseSupported reads lines such as "\tatime           YES      YES   on | off".
func parseSupported(usage string) map[string]bool {
	known := map[string]bool{}
	_, table, _ := strings.Cut(usage, "properties are supported:")
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) >= 3 && (fields[1] == "YES" || fields[1] == "NO") {
			known[fields[0]] = true
		}
	}
	return known
}

// onlySupported splits names into those that can be asked for and those that the tool does not know.
// Everything can be until the tool has refused something.
func (c *Client) onlySupported(names []string) (ask, missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range unique(names) {
		kind, _, perUser := strings.Cut(name, "@")
		if c.supported == nil || UserProperty(name) || c.supported[name] || perUser && c.supported[kind+"@..."] {
			ask = append(ask, name)
		} else {
			missing = append(missing, name)
		}
	}
	return ask, missing
}
