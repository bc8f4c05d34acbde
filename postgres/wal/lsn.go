// Package wal knows the write-ahead log of PostgreSQL: log sequence numbers,
// names of segment files, the records in them, and the archive that keeps them.
package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a log sequence number: a byte position in the WAL
// (PostgreSQL documentation, chapter "WAL Internals"). 0 is no position.
type LSN uint64

// ParseLSN reads the form that PostgreSQL writes, such as 11D/97002068.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not an LSN: two hexadecimal numbers with a slash between them, such as 11D/97002068", s)
	}
	return LSN(h<<32 | l), nil
}

func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText writes the form that PostgreSQL writes; no position is empty.
func (l LSN) MarshalText() ([]byte, error) {
	if l == 0 {
		return nil, nil
	}
	return []byte(l.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (l *LSN) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*l = 0
		return nil
	}
	*l, err = ParseLSN(string(b))
	return err
}

// Timeline is a timeline ID (chapter "Continuous Archiving and Point-in-Time
// Recovery", section "Timelines"). 0 is none.
type Timeline uint32
