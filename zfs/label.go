package zfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A device of a pool holds four copies of its label, 256 KiB each: two at its start and two at its end,
// which is counted in whole labels ("ZFS On-Disk Specification", 1.2; OpenZFS, include/sys/vdev_impl.h,
// vdev_label_t). After 16 KiB for boot blocks comes the list of name-value pairs that describes the vdev.
const (
	labelSize   = 256 << 10
	labelCount  = 4
	pairsOffset = 16 << 10
	pairsSize   = 112<<10 - 40 // the last 40 bytes are a checksum
)

// VdevLabel is what a device says of the pool that it belongs to.
type VdevLabel struct {
	PoolName, PoolGUID string // empty on spares and cache devices, whose labels name no pool
	HostName           string // the host that had the pool last
	State              string // active, exported, destroyed, spare, l2cache
	TXG                uint64
}

// labelStates are the values of pool_state_t (include/sys/fs/zfs.h).
var labelStates = map[uint64]string{0: "active", 1: "exported", 2: "destroyed", 3: "spare", 4: "l2cache"}

// ReadLabel reads the newest readable copy of a device's label. It returns nil when none of the four
// places holds one; reading that fails is an error, since then nobody knows.
func ReadLabel(device io.ReaderAt, size int64) (*VdevLabel, error) {
	var best *VdevLabel
	buf := make([]byte, pairsSize)
	for i := range labelCount {
		at, ok := labelOffset(size, i)
		if !ok {
			continue
		}
		n, err := device.ReadAt(buf, at+pairsOffset)
		if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
			return nil, fmt.Errorf("read ZFS label %d: %w", i, err)
		}
		label, ok := parseLabel(buf[:n])
		if ok && (best == nil || label.TXG > best.TXG) {
			best = &label
		}
	}
	return best, nil
}

// labelOffset is vdev_label_offset of OpenZFS.
func labelOffset(size int64, i int) (int64, bool) {
	size -= size % labelSize
	if size < labelSize*labelCount {
		return 0, false // vdevs are 64 MiB at least
	}
	if i < labelCount/2 {
		return int64(i) * labelSize, true
	}
	return size - int64(labelCount-i)*labelSize, true
}

// parseLabel reads the pairs that it needs and steps over the others.
func parseLabel(pairs []byte) (VdevLabel, bool) {
	p := pairList{rest: pairs}
	if !p.header() {
		return VdevLabel{}, false
	}
	var label VdevLabel
	known := false
	for {
		name, kind, data, ok := p.next()
		if !ok {
			break
		}
		number, isNumber := uint64Of(kind, data)
		text, isText := stringOf(kind, data)
		switch {
		case name == "name" && isText:
			label.PoolName = text
		case name == "hostname" && isText:
			label.HostName = text
		case name == "pool_guid" && isNumber:
			label.PoolGUID = fmt.Sprint(number)
		case name == "txg" && isNumber:
			label.TXG = number
		case name == "state" && isNumber:
			known = true
			label.State = labelStates[number]
			if label.State == "" {
				label.State = fmt.Sprintf("state %d", number)
			}
		}
	}
	// Spares and cache devices say no more than version, state and guid.
	return label, known || label.PoolGUID != ""
}

// pairList walks a name-value list in XDR form (RFC 4506: big-endian, padded to four bytes), as
// module/nvpair/nvpair.c of OpenZFS encodes it. It reads bytes of any origin.
type pairList struct{ rest []byte }

const (
	xdrEncoding = 1
	typeUint64  = 8
	typeString  = 9
)

// header checks the encoding, and steps over it, the version and the flags.
func (p *pairList) header() bool {
	if len(p.rest) < 12 || p.rest[0] != xdrEncoding || p.rest[1] > 1 || binary.BigEndian.Uint32(p.rest[4:]) != 0 {
		return false
	}
	p.rest = p.rest[12:]
	return true
}

// next returns one pair; its data starts after type and count. ok is false at the end and at nonsense.
func (p *pairList) next() (name string, kind uint32, data []byte, ok bool) {
	if len(p.rest) < 12 {
		return "", 0, nil, false
	}
	size := binary.BigEndian.Uint32(p.rest)
	nameLen := binary.BigEndian.Uint32(p.rest[8:])
	if size < 20 || uint64(size) > uint64(len(p.rest)) {
		return "", 0, nil, false
	}
	pair := p.rest[12:size]
	padded := (uint64(nameLen) + 3) &^ 3
	if padded+8 > uint64(len(pair)) {
		return "", 0, nil, false
	}
	name = string(pair[:nameLen])
	kind = binary.BigEndian.Uint32(pair[padded:])
	data = pair[padded+8:]
	p.rest = p.rest[size:]
	return name, kind, data, true
}

func uint64Of(kind uint32, data []byte) (uint64, bool) {
	if kind != typeUint64 || len(data) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(data), true
}

func stringOf(kind uint32, data []byte) (string, bool) {
	if kind != typeString || len(data) < 4 {
		return "", false
	}
	n := uint64(binary.BigEndian.Uint32(data))
	if n > uint64(len(data)-4) {
		return "", false
	}
	return string(data[4 : 4+n]), true
}
