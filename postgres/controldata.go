package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// ControlData is the part of pg_control that decides what a data directory can
// serve (manual page pg_controldata).
type ControlData struct {
	SystemID            uint64
	State               string // such as "in archive recovery"
	Version             int    // pg_control version number: 1201 (12), 1300 (13 to 16), 1700 (17), 1800 (18)
	CatalogVersion      string
	Timeline            wal.Timeline // of the latest checkpoint
	CheckpointLSN       wal.LSN
	RedoLSN             wal.LSN
	CheckpointTime      time.Time // whole seconds, and taken before redo
	MinRecoveryPoint    wal.LSN   // 0 in a primary
	MinRecoveryTimeline wal.Timeline
	BackupStart         wal.LSN // not 0: a base backup whose end was not replayed yet
	BackupEnd           wal.LSN
	BackupEndRequired   bool
	SegmentSize         int64 // bytes of one WAL segment
	Checksums           bool
	NextXID             uint64 // with the epoch in the upper half

	// What the primary ran with; a hot standby must have no less
	// (PostgreSQL documentation, "Hot Standby", "Administrator's Overview").
	WALLevel             string
	MaxConnections       int
	MaxWorkerProcesses   int
	MaxWALSenders        int
	MaxPreparedXacts     int
	MaxLocksPerXact      int
	TrackCommitTimestamp bool
}

// ConsistentLSN is where a copy of this data directory becomes consistent: the
// later of the minimum recovery point and the redo point. No target below it
// can be served.
func (c ControlData) ConsistentLSN() wal.LSN { return max(c.MinRecoveryPoint, c.RedoLSN) }

// ConsistentTimeline is the timeline that ConsistentLSN lies on. After the
// primary's switch to a new one it is ahead of the latest checkpoint's.
func (c ControlData) ConsistentTimeline() wal.Timeline {
	if c.MinRecoveryPoint >= c.RedoLSN && c.MinRecoveryTimeline != 0 {
		return c.MinRecoveryTimeline
	}
	return c.Timeline
}

// InRecovery tells whether this is a standby's directory, in use or cleanly
// stopped. One in any other state is no base for point-in-time recovery.
func (c ControlData) InRecovery() bool {
	return c.State == "in archive recovery" || c.State == "shut down in recovery"
}

// NoBase says why a copy of this data directory is no base for point-in-time
// recovery; "" is that it is one. Before the end of a base backup was replayed,
// ConsistentLSN is too low.
func (c ControlData) NoBase() string {
	switch {
	case !c.InRecovery():
		return fmt.Sprintf("it is in the state %q, which recovery can't start from", c.State)
	case c.BackupStart != 0 || c.BackupEnd != 0 || c.BackupEndRequired:
		return "it is a base backup that was not replayed to its end"
	}
	return ""
}

// ControlData reads pg_control through pg_controldata, which also works while
// the server runs.
func (c *Cluster) ControlData(ctx context.Context) (ControlData, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	cmd := c.tool(ctx, "pg_controldata", "-D", c.DataDir)
	cmd.Env = environment(c.User, "TZ=UTC")
	out, warnings, err := outputAndWarnings(c.Run, cmd)
	if err != nil {
		return ControlData{}, fmt.Errorf("reading pg_control of %s: %w", c.DataDir, err)
	}
	// A damaged file is a warning and status 0: on stdout and with a capital letter, or,
	// by a newer program (17's was seen), on stderr.
	if damaged := []byte("alculated CRC checksum does not match"); bytes.Contains(out, damaged) || bytes.Contains(warnings, damaged) {
		return ControlData{}, fmt.Errorf("pg_control of %s is damaged: pg_controldata says that its checksum does not match", c.DataDir)
	}
	data, err := ParseControlData(out)
	if err != nil {
		return ControlData{}, fmt.Errorf("pg_control of %s: %w", c.DataDir, err)
	}
	return data, nil
}

// ParseControlData reads what pg_controldata of PostgreSQL 12 to 18 prints
// under LC_ALL=C and TZ=UTC. A line that is missing or does not parse is an
// error: nothing is guessed. Lines of other names are passed over.
func ParseControlData(b []byte) (ControlData, error) {
	p := controlParser{fields: map[string]string{}}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			p.fields[name] = strings.TrimSpace(value)
		}
	}
	data := ControlData{
		SystemID:             p.uint("Database system identifier"),
		State:                p.text("Database cluster state"),
		Version:              p.int("pg_control version number"),
		CatalogVersion:       p.text("Catalog version number"),
		Timeline:             p.timeline("Latest checkpoint's TimeLineID"),
		CheckpointLSN:        p.lsn("Latest checkpoint location"),
		RedoLSN:              p.lsn("Latest checkpoint's REDO location"),
		CheckpointTime:       p.time("Time of latest checkpoint"),
		MinRecoveryPoint:     p.lsn("Minimum recovery ending location"),
		MinRecoveryTimeline:  p.timeline("Min recovery ending loc's timeline"),
		BackupStart:          p.lsn("Backup start location"),
		BackupEnd:            p.lsn("Backup end location"),
		BackupEndRequired:    p.flag("End-of-backup record required", "yes", "no"),
		SegmentSize:          int64(p.uint("Bytes per WAL segment")),
		Checksums:            p.uint("Data page checksum version") != 0,
		NextXID:              p.xid("Latest checkpoint's NextXID"),
		WALLevel:             p.text("wal_level setting"),
		MaxConnections:       p.int("max_connections setting"),
		MaxWorkerProcesses:   p.int("max_worker_processes setting"),
		MaxWALSenders:        p.int("max_wal_senders setting"),
		MaxPreparedXacts:     p.int("max_prepared_xacts setting"),
		MaxLocksPerXact:      p.int("max_locks_per_xact setting"),
		TrackCommitTimestamp: p.flag("track_commit_timestamp setting", "on", "off"),
	}
	if size := data.SegmentSize; size < 1<<20 || size > 1<<30 || size&(size-1) != 0 {
		p.fail("Bytes per WAL segment", errors.New("a power of two from 1 MB to 1 GB is needed"))
	}
	if p.err != nil {
		return ControlData{}, p.err
	}
	return data, nil
}

// controlParser keeps the first problem, so that the fields read as a table.
type controlParser struct {
	fields map[string]string
	err    error
}

func (p *controlParser) fail(name string, err error) {
	if p.err == nil {
		p.err = fmt.Errorf("pg_controldata's line %q is %q: %w", name, p.fields[name], err)
	}
}

func (p *controlParser) text(name string) string {
	value := p.fields[name]
	if value == "" {
		p.fail(name, errors.New("a value is needed"))
	}
	return value
}

func parsed[T any](p *controlParser, name string, parse func(string) (T, error)) T {
	value, err := parse(p.fields[name])
	if err != nil {
		p.fail(name, err)
	}
	return value
}

func (p *controlParser) uint(name string) uint64 {
	return parsed(p, name, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
}

func (p *controlParser) int(name string) int {
	return parsed(p, name, func(s string) (int, error) {
		n, err := strconv.ParseInt(s, 10, 32)
		return int(n), err
	})
}

func (p *controlParser) lsn(name string) wal.LSN { return parsed(p, name, wal.ParseLSN) }

func (p *controlParser) timeline(name string) wal.Timeline {
	return parsed(p, name, func(s string) (wal.Timeline, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		return wal.Timeline(n), err
	})
}

func (p *controlParser) time(name string) time.Time {
	return parsed(p, name, func(s string) (time.Time, error) { return time.Parse(time.ANSIC, s) })
}

func (p *controlParser) flag(name, yes, no string) bool {
	return parsed(p, name, func(s string) (bool, error) {
		if s != yes && s != no {
			return false, fmt.Errorf("%s or %s is needed", yes, no)
		}
		return s == yes, nil
	})
}

// xid reads epoch and number, 0:724.
func (p *controlParser) xid(name string) uint64 {
	return parsed(p, name, func(s string) (uint64, error) {
		epoch, number, ok := strings.Cut(s, ":")
		e, err1 := strconv.ParseUint(epoch, 10, 32)
		n, err2 := strconv.ParseUint(number, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			return 0, errors.New("an epoch and a transaction number are needed, such as 0:724")
		}
		return e<<32 | n, nil
	})
}
