package wal

import (
	"fmt"
	"strconv"
	"strings"
)

// Segment is one file of the WAL: Number is its first LSN divided by the
// segment size of the cluster, which is 1 MB to 1 GB and stands in pg_control.
type Segment struct {
	Timeline Timeline
	Number   uint64
}

// SegmentAt is the segment of a timeline that holds the byte at lsn.
func SegmentAt(tli Timeline, lsn LSN, size int64) Segment {
	return Segment{tli, uint64(lsn) / uint64(size)}
}

// ParseSegment reads a name such as 000000010000011D00000097. It reports false
// for everything that is no name of a complete segment of this size.
func ParseSegment(name string, size int64) (Segment, bool) {
	if len(name) != segmentNameLen || !isHex(name) || !ValidSegmentSize(size) {
		return Segment{}, false
	}
	tli, _ := strconv.ParseUint(name[:8], 16, 32)
	high, _ := strconv.ParseUint(name[8:16], 16, 32)
	low, _ := strconv.ParseUint(name[16:], 16, 32)
	if tli == 0 || low >= segmentsPerID(size) {
		return Segment{}, false
	}
	return Segment{Timeline(tli), high*segmentsPerID(size) + low}, true
}

// Name is the name of the segment's file (XLogFileName of xlog_internal.h).
func (s Segment) Name(size int64) string {
	return fmt.Sprintf("%08X%08X%08X", uint32(s.Timeline), s.Number/segmentsPerID(size), s.Number%segmentsPerID(size))
}

// Start is the LSN of the segment's first byte.
func (s Segment) Start(size int64) LSN { return LSN(s.Number * uint64(size)) }

// End is the LSN after the segment's last byte.
func (s Segment) End(size int64) LSN { return s.Start(size) + LSN(size) }

// ValidSegmentSize reports whether initdb accepts the size: a power of two
// from 1 MB to 1 GB.
func ValidSegmentSize(size int64) bool {
	return size >= 1<<20 && size <= 1<<30 && size&(size-1) == 0
}

// HistoryName is the name of the history file of a timeline.
func HistoryName(tli Timeline) string { return fmt.Sprintf("%08X.history", uint32(tli)) }

// ParseHistoryName reads a name such as 00000002.history.
func ParseHistoryName(name string) (Timeline, bool) {
	if Classify(name) != KindHistory {
		return 0, false
	}
	tli, err := strconv.ParseUint(name[:8], 16, 32)
	return Timeline(tli), err == nil && tli != 0
}

// Kind tells the files of an archive apart by their names.
type Kind int

// The kinds of files in an archive.
const (
	KindOther    Kind = iota // no file of WAL
	KindSegment              // a complete segment
	KindPartial              // NAME.partial, the unfinished last segment of an old timeline: no segment
	KindHistory              // TLI.history, kept for ever
	KindBackup               // NAME.OFFSET.backup, the notes of a base backup
	KindChecksum             // NAME.crc32c, what Push keeps beside each file
)

// Classify says what a file is by its name, as the Is...FileName functions of
// xlog_internal.h do.
func Classify(name string) Kind {
	base, suffix, dotted := strings.Cut(name, ".")
	switch {
	case strings.HasSuffix(name, checksumSuffix) && len(name) > len(checksumSuffix):
		return KindChecksum
	case len(base) == 8 && isHex(base) && suffix == "history":
		return KindHistory
	case len(base) != segmentNameLen || !isHex(base):
		return KindOther
	case !dotted:
		return KindSegment
	case suffix == "partial":
		return KindPartial
	case len(suffix) == len("00000028.backup") && isHex(suffix[:8]) && suffix[8:] == ".backup":
		return KindBackup
	}
	return KindOther
}

const segmentNameLen = 24

func segmentsPerID(size int64) uint64 { return 1 << 32 / uint64(size) }

func isHex(s string) bool { return strings.Trim(s, "0123456789ABCDEF") == "" }
