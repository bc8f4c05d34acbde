package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// RecordKind names the records that a restore is steered by.
type RecordKind uint8

// The kinds of records; Other steers nothing.
const (
	Other RecordKind = iota
	Commit
	Abort
	CommitPrepared
	AbortPrepared
	RestorePoint
	CheckpointOnline
	CheckpointShutdown
	ParameterChange
	EndOfRecovery
	Switch
	RunningXacts
)

func (k RecordKind) String() string {
	return [...]string{"other", "commit", "abort", "commit prepared", "abort prepared", "restore point",
		"online checkpoint", "shutdown checkpoint", "parameter change", "end of recovery", "switch", "running transactions"}[k]
}

// Record is one WAL record, its checksum verified.
type Record struct {
	Start LSN
	End   LSN // the position after it as PostgreSQL counts (EndRecPtr): aligned to 8 bytes; after a switch the start of the next segment
	XID   uint32
	Rmgr  uint8 // resource manager (rmgrlist.h): 0 XLOG, 1 Transaction
	Info  uint8
	Kind  RecordKind
	// Time of a commit, abort or restore point, by the clock of the primary;
	// zero in other records.
	Time        time.Time
	Name        string   // of a restore point
	TwoPhaseXID uint32   // of the prepared transaction that is committed or aborted here
	RedoLSN     LSN      // of a checkpoint
	Settings    Settings // of a parameter change
	Running     Running
}

// Running is what a record of running transactions tells a hot standby
// (xl_running_xacts of storage/standbydefs.h).
type Running struct {
	Count    uint32 // of top-level transactions
	Overflow bool   // one of them has more subtransactions than are listed
	Next     uint32 // the next transaction's ID
	Oldest   uint32 // the ID of the oldest one that runs
}

// IsXact reports whether the record ends a transaction: what recovery_target_time
// and recovery_target_xid look at.
func (r Record) IsXact() bool { return r.Kind >= Commit && r.Kind <= AbortPrepared }

// The layout of a record: XLogRecord and the headers after it in
// src/include/access/xlogrecord.h.
const (
	recordHeaderSize = 24
	crcOffset        = 20 // the checksum is the header's last field and does not cover itself

	blockIDDataShort   = 255
	blockIDDataLong    = 254
	blockIDOrigin      = 253
	blockIDTopLevelXID = 252

	rmgrXLOG    = 0
	rmgrXact    = 1
	rmgrStandby = 8

	infoRunningXacts        = 0x10 // XLOG_RUNNING_XACTS of storage/standbydefs.h
	infoOverwriteContrecord = 0xD0 // XLOG_OVERWRITE_CONTRECORD of pg_control.h
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordLength(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func recordPrev(b []byte) LSN      { return LSN(binary.LittleEndian.Uint64(b[8:])) }

// recordSound verifies the checksum as ValidXLogRecord does: the body first,
// then the header up to the checksum.
func recordSound(b []byte) bool {
	sum := crc32.Update(0, castagnoli, b[recordHeaderSize:])
	sum = crc32.Update(sum, castagnoli, b[:crcOffset])
	return sum == binary.LittleEndian.Uint32(b[crcOffset:])
}

func align8[T uint32 | LSN](n T) T { return (n + 7) &^ 7 }

var (
	xlogKinds = map[uint8]RecordKind{0x00: CheckpointShutdown, 0x10: CheckpointOnline, 0x40: Switch,
		0x60: ParameterChange, 0x70: RestorePoint, 0x90: EndOfRecovery} // XLOG_* of catalog/pg_control.h
	xactKinds = map[uint8]RecordKind{0x00: Commit, 0x20: Abort, 0x30: CommitPrepared, 0x40: AbortPrepared} // XLOG_XACT_* of access/xact.h
)

// decode fills a Record from its sound bytes. The layouts differ between
// versions only in dropped statistics, hence the version.
func decode(b []byte, major int) (Record, error) {
	rec := Record{
		XID:  binary.LittleEndian.Uint32(b[4:]),
		Info: b[16],
		Rmgr: b[17],
	}
	switch rec.Rmgr {
	case rmgrXLOG:
		rec.Kind = xlogKinds[rec.Info&0xF0]
	case rmgrXact:
		rec.Kind = xactKinds[rec.Info&0x70]
	case rmgrStandby:
		if rec.Info&0xF0 == infoRunningXacts {
			rec.Kind = RunningXacts
		}
	}
	switch rec.Kind {
	case Other, Switch, EndOfRecovery:
		return rec, nil
	}
	data, err := mainData(b)
	if err != nil {
		return rec, err
	}
	return rec, rec.decodeData(data, major)
}

func (r *Record) decodeData(data []byte, major int) error {
	if len(data) < 8 {
		return errors.New("it is too short for its kind")
	}
	switch r.Kind {
	case CheckpointOnline, CheckpointShutdown:
		r.RedoLSN = LSN(binary.LittleEndian.Uint64(data))
		return nil
	case ParameterChange:
		var err error
		r.Settings, err = decodeSettings(data)
		return err
	case RunningXacts:
		return r.decodeRunning(data)
	case RestorePoint:
		name, _, _ := bytes.Cut(data[8:], []byte{0})
		r.Name = string(name)
	}
	r.Time = timestamp(int64(binary.LittleEndian.Uint64(data)))
	if r.Kind == CommitPrepared || r.Kind == AbortPrepared {
		return r.decodeTwoPhase(data[8:], major)
	}
	return nil
}

func (r *Record) decodeRunning(b []byte) error {
	if len(b) < 24 {
		return errors.New("it is too short for its kind")
	}
	r.Running = Running{Count: binary.LittleEndian.Uint32(b), Overflow: b[8] != 0,
		Next: binary.LittleEndian.Uint32(b[12:]), Oldest: binary.LittleEndian.Uint32(b[16:])}
	return nil
}

// decodeTwoPhase finds the prepared transaction's ID behind the variable parts
// of the record, in the order of ParseCommitRecord and ParseAbortRecord
// (xactdesc.c).
func (r *Record) decodeTwoPhase(b []byte, major int) error {
	const (
		hasInfo         = 0x80   // XLOG_XACT_HAS_INFO
		hasDBInfo       = 1 << 0 // XACT_XINFO_HAS_...
		hasSubxacts     = 1 << 1
		hasRelfiles     = 1 << 2
		hasInvals       = 1 << 3
		hasTwoPhase     = 1 << 4
		hasDroppedStats = 1 << 8
	)
	statSize := 12
	if version.WideStatisticsIDs.In(major) {
		statSize = 16
	}
	if r.Info&hasInfo == 0 || len(b) < 4 {
		return errors.New("the prepared transaction is not named")
	}
	flags := binary.LittleEndian.Uint32(b)
	b = b[4:]
	skip := func(flag uint32, fixed, each int) {
		if flags&flag == 0 {
			return
		}
		n := fixed
		if each > 0 && len(b) >= 4 {
			n += each * int(min(binary.LittleEndian.Uint32(b), 1<<30))
		}
		b = b[min(n, len(b)):]
	}
	skip(hasDBInfo, 8, 0)
	skip(hasSubxacts, 4, 4)
	skip(hasRelfiles, 4, 12)
	skip(hasDroppedStats, 4, statSize)
	if r.Kind == CommitPrepared {
		skip(hasInvals, 4, 16)
	}
	if flags&hasTwoPhase == 0 || len(b) < 4 {
		return errors.New("the prepared transaction is not named")
	}
	r.TwoPhaseXID = binary.LittleEndian.Uint32(b)
	return nil
}

// mainData is the record's own data, behind the headers. Records of the kinds
// that are decoded here refer to no blocks, so other headers are an error.
func mainData(b []byte) ([]byte, error) {
	b = b[recordHeaderSize:]
	for len(b) > 0 {
		size, id := 0, b[0]
		switch id {
		case blockIDOrigin:
			size = 3
		case blockIDTopLevelXID:
			size = 5
		case blockIDDataShort:
			size = 2
		case blockIDDataLong:
			size = 5
		}
		switch {
		case size == 0 || len(b) < size:
			return nil, errors.New("its headers are not those of its kind")
		case id == blockIDDataShort && len(b) == size+int(b[1]),
			id == blockIDDataLong && uint32(len(b)-size) == binary.LittleEndian.Uint32(b[1:]):
			return b[size:], nil
		case id == blockIDDataShort || id == blockIDDataLong:
			return nil, errors.New("its length is not that of its data")
		}
		b = b[size:]
	}
	return nil, errors.New("it has no data")
}

// timestamp turns a TimestampTz, microseconds since 2000-01-01 UTC, into a time.
func timestamp(µs int64) time.Time {
	const epoch = 946684800
	return time.Unix(epoch+µs/1e6, µs%1e6*1000).UTC()
}
