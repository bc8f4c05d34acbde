package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// The layout of a WAL page: XLogPageHeaderData and XLogLongPageHeaderData of
// src/include/access/xlog_internal.h, in the byte order of the little-endian
// machines that this program supports.
const (
	pageSize        = 8192 // XLOG_BLCKSZ of every packaged PostgreSQL
	shortHeaderSize = 24
	longHeaderSize  = 40

	firstIsContrecord          = 0x0001 // XLP_FIRST_IS_CONTRECORD
	isLongHeader               = 0x0002 // XLP_LONG_HEADER
	firstIsOverwriteContrecord = 0x0008 // XLP_FIRST_IS_OVERWRITE_CONTRECORD, up to PostgreSQL 18
	allPageFlags               = 0x000F
)

// Header is the header of a segment's first page.
type Header struct {
	Magic       uint16
	Timeline    Timeline // of the first record on the page: an ancestor, where the timeline began in this segment
	PageAddr    LSN
	SystemID    uint64
	SegmentSize int64
	Long        bool // it has SystemID and SegmentSize, as the first page of a segment must
}

// ReadHeader reads the header of the first page. It fails on what cannot be a
// first page of WAL: a short file, zeros, flags that do not exist, impossible
// sizes. A magic number that is not known is no failure as long as all else is
// sound: it belongs to a newer PostgreSQL, whose segments Push and Get can still
// keep and prove. Version tells; Reader, which must know the flags, refuses.
func ReadHeader(r io.Reader) (Header, error) {
	var b [longHeaderSize]byte
	if n, err := io.ReadFull(r, b[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Header{}, fmt.Errorf("it has only %d bytes, less than the header of a WAL page", n)
		}
		return Header{}, err
	}
	return parseHeader(b[:])
}

// ReadHeaderOf is ReadHeader of a file.
func ReadHeaderOf(path string) (Header, error) {
	f, err := openRegular(path)
	if err != nil {
		return Header{}, err
	}
	defer f.Close()
	return ReadHeader(f)
}

// Version is the major version of PostgreSQL that wrote the page; 0 when the
// magic number is not known.
func (h Header) Version() int { return version.OfWALPage(h.Magic) }

func parseHeader(b []byte) (Header, error) {
	p := parsePage(b)
	h := Header{Magic: p.magic, Timeline: p.timeline, PageAddr: p.addr, Long: p.info&isLongHeader != 0}
	switch {
	case p.magic>>8 != 0xD1:
		return h, fmt.Errorf("it does not begin with a WAL page of PostgreSQL %d or later (magic number %04X)", version.Oldest, p.magic)
	case p.info&^allPageFlags != 0:
		return h, fmt.Errorf("its first page has impossible flags %04X", p.info)
	case !h.Long:
		return h, errors.New("its first page is not the first of a segment: the long header is missing")
	}
	h.SystemID = binary.LittleEndian.Uint64(b[24:])
	h.SegmentSize = int64(binary.LittleEndian.Uint32(b[32:]))
	if block := binary.LittleEndian.Uint32(b[36:]); block != pageSize {
		return h, fmt.Errorf("its WAL pages have %d bytes; only %d are supported", block, pageSize)
	}
	if !ValidSegmentSize(h.SegmentSize) {
		return h, fmt.Errorf("its header names an impossible segment size of %d bytes", h.SegmentSize)
	}
	return h, nil
}

// check says why a segment file with this header is not what its name claims;
// a system identifier of 0 is not compared.
func (h Header) check(seg Segment, size int64, systemID uint64) error {
	switch {
	case systemID != 0 && h.SystemID != systemID:
		return fmt.Errorf("it belongs to another cluster: system identifier %d, not %d", h.SystemID, systemID)
	case h.SegmentSize != size:
		return fmt.Errorf("its header names segments of %d bytes, but they have %d", h.SegmentSize, size)
	case h.PageAddr != seg.Start(size):
		return fmt.Errorf("it holds the WAL at %s, not at %s", h.PageAddr, seg.Start(size))
	case h.Timeline == 0 || h.Timeline > seg.Timeline:
		return fmt.Errorf("it holds WAL of timeline %d, not of timeline %d", h.Timeline, seg.Timeline)
	}
	return nil
}

// page is the short header that every page begins with.
type page struct {
	magic, info uint16
	timeline    Timeline
	addr        LSN
	remaining   uint32 // bytes of a record that began on an earlier page, from here on
}

func parsePage(b []byte) page {
	return page{
		magic:     binary.LittleEndian.Uint16(b),
		info:      binary.LittleEndian.Uint16(b[2:]),
		timeline:  Timeline(binary.LittleEndian.Uint32(b[4:])),
		addr:      LSN(binary.LittleEndian.Uint64(b[8:])),
		remaining: binary.LittleEndian.Uint32(b[16:]),
	}
}

func (p page) headerSize() int {
	if p.info&isLongHeader != 0 {
		return longHeaderSize
	}
	return shortHeaderSize
}
