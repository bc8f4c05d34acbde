package zfs

import (
	"bytes"
	"encoding/binary"
	"io"
)

// span is a part of a device, in bytes.
type span struct{ start, size int64 }

// Bounds of a plausible table: the standard asks for room for 128 entries of 128 bytes.
const (
	gptMaxEntries   = 1024
	gptMaxEntrySize = 4096
)

// gptPartitions lists the partitions of a GPT (UEFI specification, 5.3) without the kernel, which may not
// have looked for them yet, or not know the format. OpenZFS puts one onto every whole disk it is given.
// Checksums are not looked at: a damaged table that leads to a label is reason enough to keep off.
func gptPartitions(device io.ReaderAt, size int64) []span {
	for _, sector := range []int64{512, 4096} {
		header := make([]byte, 92)
		if _, err := device.ReadAt(header, sector); err != nil || !bytes.HasPrefix(header, []byte("EFI PART")) {
			continue
		}
		little := binary.LittleEndian
		table := int64(little.Uint64(header[72:]))
		count, entrySize := int64(little.Uint32(header[80:])), int64(little.Uint32(header[84:]))
		if table < 0 || table > size/sector || count > gptMaxEntries || entrySize < 48 || entrySize > gptMaxEntrySize {
			continue
		}
		var found []span
		entry := make([]byte, 48)
		for i := range count {
			if _, err := device.ReadAt(entry, table*sector+i*entrySize); err != nil {
				break
			}
			first, last := int64(little.Uint64(entry[32:])), int64(little.Uint64(entry[40:]))
			if first > 0 && last >= first && last < size/sector {
				found = append(found, span{first * sector, (last - first + 1) * sector})
			}
		}
		return found
	}
	return nil
}
