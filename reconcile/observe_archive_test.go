package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

func TestWalkBack(t *testing.T) {
	list := wal.Inventory{Segments: append(append(segments(1, 3, 5), segments(1, 7, 8)...), segments(2, 8, 9)...)}
	for to, from := range map[wal.LSN]wal.LSN{
		lsn(9) + 5:  lsn(7), // the last segment is not full yet
		lsn(10):     lsn(7),
		lsn(8):      lsn(7),
		lsn(7):      0, // the segment before is the hole
		lsn(6):      lsn(3),
		lsn(3) + 1:  lsn(3),
		lsn(11) + 1: 0,
	} {
		if got := walkBack(list, to, givenSegment); got != from {
			t.Errorf("from %s it goes back to %s, want %s", to, got, from)
		}
	}
}
