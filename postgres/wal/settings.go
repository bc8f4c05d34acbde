package wal

import (
	"encoding/binary"
	"errors"
)

// Settings are those of the primary that a record of a parameter change tells:
// xl_parameter_change of src/include/access/xlog_internal.h, whose beginning is
// the same from PostgreSQL 12 to 18. A hot standby can't replay beyond the
// record with less of any number, and no server at all beyond one with a
// wal_level of minimal (CheckRequiredParameterValues of xlog.c).
type Settings struct {
	MaxConnections, MaxWorkerProcesses, MaxWALSenders, MaxPreparedXacts, MaxLocksPerXact int
	Minimal                                                                              bool // wal_level=minimal
}

// AtLeast is the higher of each number, and Minimal where either is.
func (s Settings) AtLeast(o Settings) Settings {
	return Settings{
		MaxConnections:     max(s.MaxConnections, o.MaxConnections),
		MaxWorkerProcesses: max(s.MaxWorkerProcesses, o.MaxWorkerProcesses),
		MaxWALSenders:      max(s.MaxWALSenders, o.MaxWALSenders),
		MaxPreparedXacts:   max(s.MaxPreparedXacts, o.MaxPreparedXacts),
		MaxLocksPerXact:    max(s.MaxLocksPerXact, o.MaxLocksPerXact),
		Minimal:            s.Minimal || o.Minimal,
	}
}

func decodeSettings(b []byte) (s Settings, err error) {
	numbers := []*int{&s.MaxConnections, &s.MaxWorkerProcesses, &s.MaxWALSenders, &s.MaxPreparedXacts, &s.MaxLocksPerXact}
	if len(b) < 4*(len(numbers)+1) {
		return s, errors.New("it is too short for its kind")
	}
	for i, n := range numbers {
		*n = int(int32(binary.LittleEndian.Uint32(b[4*i:])))
	}
	s.Minimal = binary.LittleEndian.Uint32(b[4*len(numbers):]) == 0 // WAL_LEVEL_MINIMAL
	return s, nil
}
