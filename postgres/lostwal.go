package postgres

import (
	"bytes"
	"path/filepath"
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
// has the WAL that the standby needs next, or never had it; "" where it did not say so, or has
// been streaming since. It reads the end of the log alone and runs no program.
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

func lostIn(log []byte) string {
	lost := ""
	for line := range bytes.Lines(log) {
		switch text := string(line); {
		case strings.Contains(text, saysRemoved), strings.Contains(text, saysForked):
			lost = strings.TrimSpace(strings.ToValidUTF8(text, "?"))
		case strings.Contains(text, saysStreaming):
			lost = ""
		}
	}
	return lost
}
