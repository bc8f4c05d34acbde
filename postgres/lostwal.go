package postgres

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// What a standby says of its primary's WAL (walreceiver.c, walsender.c), and of
// a primary whose timeline began before what the standby has replayed
// (xlogrecovery.c). The words are the server's, in English: its messages are not
// translated where lc_messages is C, and otherwise this finds nothing.
const (
	saysRemoved   = "has already been removed"
	saysForked    = "forked off current database system timeline"
	saysStreaming = "started streaming WAL"
)

// LostWAL is the line of the server's log that says that the primary no longer
// has the WAL that the standby needs next, or never had it; "" where it did not say
// so, or where the standby has got the WAL since, by streaming or from the archive. It
// reads the end of the log alone and runs no program.
func (c *Cluster) LostWAL(startedAt time.Time) string {
	text := c.readLog(c.LogFile, 0)
	if m := futureLog.FindSubmatch(text); m != nil {
		dir := string(m[1])
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.DataDir, dir)
		}
		text = append(text, c.readLog(newestSince(dir, startedAt), 0)...)
	}
	return lostIn(text)
}

// The segment that a primary has no more, and one that came from the archive. Its
// name begins with the timeline, eight digits.
var (
	removedSegment  = regexp.MustCompile(`requested WAL segment [0-9A-F]{8}([0-9A-F]{16}) ` + saysRemoved)
	restoredSegment = regexp.MustCompile(`restored log file "[0-9A-F]{8}([0-9A-F]{16})" from archive`)
)

func lostIn(log []byte) string {
	lost, missing := "", ""
	for line := range bytes.Lines(log) {
		text := string(line)
		removed, restored := removedSegment.FindStringSubmatch(text), restoredSegment.FindStringSubmatch(text)
		switch {
		case strings.Contains(text, saysRemoved), strings.Contains(text, saysForked):
			lost, missing = strings.TrimSpace(strings.ToValidUTF8(text, "?")), ""
			if removed != nil {
				missing = removed[1]
			}
		// One that waits in vain restores the segment before the missing one, again
		// and again.
		case strings.Contains(text, saysStreaming), missing != "" && restored != nil && restored[1] >= missing:
			lost, missing = "", ""
		}
	}
	return lost
}
