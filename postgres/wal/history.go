package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// HistoryEntry is one line of a timeline history file: the WAL of Timeline
// ends at SwitchAt, where the next one took over.
type HistoryEntry struct {
	Timeline Timeline
	SwitchAt LSN
	Reason   string
}

// ParseHistory reads a history file, the oldest ancestor first. It refuses what
// PostgreSQL refuses (readTimeLineHistory of timeline.c), and switch points
// that go backwards.
func ParseHistory(b []byte) ([]HistoryEntry, error) {
	var history []HistoryEntry
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseHistoryLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the timeline history: %w", i+1, err)
		}
		if n := len(history); n > 0 && (e.Timeline <= history[n-1].Timeline || e.SwitchAt < history[n-1].SwitchAt) {
			return nil, fmt.Errorf("line %d of the timeline history: timeline %d at %s does not follow timeline %d at %s",
				i+1, e.Timeline, e.SwitchAt, history[n-1].Timeline, history[n-1].SwitchAt)
		}
		history = append(history, e)
	}
	return history, nil
}

// ReadHistory is ParseHistory of a file.
func ReadHistory(path string) ([]HistoryEntry, error) {
	b, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	return ParseHistory(b)
}

func parseHistoryLine(line string) (HistoryEntry, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return HistoryEntry{}, fmt.Errorf("%q is not: timeline, switch point, reason", line)
	}
	tli, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil || tli == 0 {
		return HistoryEntry{}, fmt.Errorf("%q is not the number of a timeline", fields[0])
	}
	at, err := ParseLSN(fields[1])
	if err != nil {
		return HistoryEntry{}, err
	}
	if at == 0 {
		return HistoryEntry{}, fmt.Errorf("0/0 is not a switch point")
	}
	return HistoryEntry{Timeline(tli), at, strings.Join(fields[2:], " ")}, nil
}

// PathStep says that Timeline owns the WAL from From up to To; the last step
// of a path has no end, which is 0.
type PathStep struct {
	Timeline Timeline
	From, To LSN
}

// Path is the way to a timeline from its oldest ancestor: which timeline owns
// which WAL.
type Path []PathStep

// PathOf is the path to a timeline whose history file says history; nil is
// right for a timeline without ancestors.
func PathOf(tli Timeline, history []HistoryEntry) Path {
	var path Path
	var from LSN
	for _, e := range history {
		path = append(path, PathStep{e.Timeline, from, e.SwitchAt})
		from = e.SwitchAt
	}
	return append(path, PathStep{Timeline: tli, From: from})
}

// TimelineAt is the timeline that owns the byte at lsn; 0 for an empty path.
func (p Path) TimelineAt(lsn LSN) Timeline {
	for _, s := range p {
		if lsn >= s.From && (s.To == 0 || lsn < s.To) {
			return s.Timeline
		}
	}
	return 0
}

// Has reports whether the timeline is on the path.
func (p Path) Has(tli Timeline) bool {
	for _, s := range p {
		if s.Timeline == tli {
			return true
		}
	}
	return false
}

// in lists the timelines that own a part of the WAL from from up to to, the
// newest first: its file holds a copy of what its ancestors wrote into the
// segment before the switch, so it is the one to read.
func (p Path) in(from, to LSN) []Timeline {
	var owners []Timeline
	for i := len(p) - 1; i >= 0; i-- {
		if p[i].From < to && (p[i].To == 0 || p[i].To > from) {
			owners = append(owners, p[i].Timeline)
		}
	}
	return owners
}
