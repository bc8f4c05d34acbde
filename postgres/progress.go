package postgres

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// Progress of a base backup, without its WAL. Total is the primary's estimate;
// Done may pass it.
type Progress struct {
	Done, Total                       int64 // bytes
	TablespacesDone, TablespacesTotal int
}

// progressLine is what pg_basebackup --progress writes under LC_ALL=C:
// "  3149/23217 kB (13%), 0/1 tablespace (.../base/1/2619)".
var progressLine = regexp.MustCompile(`^\s*(\d+)/(\d+) kB \(\d+%\), (\d+)/(\d+) tablespaces?`)

// parseProgress reads one such line; ok is false for any other.
func parseProgress(line string) (p Progress, ok bool) {
	m := progressLine.FindStringSubmatch(line)
	if m == nil {
		return Progress{}, false
	}
	done, err1 := strconv.ParseInt(m[1], 10, 53)
	total, err2 := strconv.ParseInt(m[2], 10, 53)
	spacesDone, err3 := strconv.Atoi(m[3])
	spaces, err4 := strconv.Atoi(m[4])
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return Progress{}, false
	}
	return Progress{Done: done << 10, Total: total << 10, TablespacesDone: spacesDone, TablespacesTotal: spaces}, true
}

// progressReader takes pg_basebackup's stderr: progress, in lines that end with
// a carriage return on a terminal and with a line feed elsewhere, and words.
type progressReader struct {
	report func(Progress)
	rest   []byte
	said   []string
}

func (r *progressReader) Write(b []byte) (int, error) {
	r.rest = append(r.rest, b...)
	for {
		i := bytes.IndexAny(r.rest, "\r\n")
		if i < 0 {
			return len(b), nil
		}
		r.line(string(r.rest[:i]))
		r.rest = r.rest[i+1:]
	}
}

func (r *progressReader) line(line string) {
	if p, ok := parseProgress(line); ok {
		if r.report != nil {
			r.report(p)
		}
		return
	}
	if strings.TrimSpace(line) != "" {
		r.said = append(r.said, strings.TrimSpace(line))
		r.said = r.said[max(0, len(r.said)-wordsLines):]
	}
}

// words is what was said beside progress.
func (r *progressReader) words() string {
	if len(r.rest) > 0 {
		r.line(string(r.rest))
		r.rest = nil
	}
	return strings.Join(r.said, "\n")
}
