package wal

import (
	"bytes"
	"context"
	"io"
	"os"
)

// sparse writes a file from its beginning, and leaves holes where there are zeros,
// which read as such. A segment that was ended early (pg_switch_wal) or is being
// written is zeros from there on.
type sparse struct {
	file *os.File
	end  int64
}

// holeSize is the least run of zeros that is left out, at a multiple of it.
const holeSize = 128 << 10

var zeros [holeSize]byte

// Write writes each run of pieces that are not zeros at once.
func (s *sparse) Write(p []byte) (n int, err error) {
	for n < len(p) {
		run := 0
		for run < len(p)-n && !startsWithHole(p[n+run:]) {
			run += min(holeSize, len(p)-n-run)
		}
		if run == 0 {
			run = min(holeSize, len(p)-n)
		} else if _, err := s.file.WriteAt(p[n:n+run], s.end); err != nil {
			return n, err
		}
		n, s.end = n+run, s.end+int64(run)
	}
	return n, nil
}

func startsWithHole(p []byte) bool {
	piece := p[:min(holeSize, len(p))]
	return bytes.Equal(piece, zeros[:len(piece)])
}

// copyFile is copyAll to a file that is empty.
func copyFile(ctx context.Context, dst *os.File, src io.Reader) (checksum, error) {
	s := &sparse{file: dst}
	sum, err := copyAll(ctx, s, src)
	if err == nil {
		err = dst.Truncate(s.end) // a hole at the end is no part of the file yet
	}
	return sum, err
}
