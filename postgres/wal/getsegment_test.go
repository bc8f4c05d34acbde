package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// How far a segment was received is where its last sound page ends, whatever is
// behind it, and though there is damage before it.
func TestSoundToIsTheEndOfTheLastSoundPage(t *testing.T) {
	_, seg, good := fullBed(t)
	size := int64(len(good))
	pages := len(good) / pageSize
	rapid.Check(t, func(t *rapid.T) {
		content := bytes.Clone(good)
		received := rapid.IntRange(1, pages).Draw(t, "received")
		recycled := rapid.Bool().Draw(t, "recycled")
		for n := received; n < pages; n++ {
			page := content[n*pageSize : (n+1)*pageSize]
			if recycled { // the addresses are those of a segment long ago
				page[8+2] ^= 0xFF
			} else {
				clear(page)
			}
		}
		at := rapid.IntRange(1, pages-1).Draw(t, "damaged")
		for n := at; n < min(at+rapid.IntRange(0, pages).Draw(t, "pages"), received-1); n++ {
			clear(content[n*pageSize : (n+1)*pageSize])
		}
		f := &segmentFile{Closer: io.NopCloser(nil), segment: seg, origin: "test"}
		if err := f.begin(bytes.NewReader(content), size, 0); err != nil {
			t.Fatal(err)
		}
		want := seg.Start(size) + LSN(received*pageSize)
		if end, err := f.soundTo(); err != nil || end != want {
			t.Fatalf("sound to %s, %v, and %d of %d pages are there, to %s", end, err, received, pages, want)
		}
	})
}

// A server may fill a segment and begin the next while the first is copied: that is
// no damage, and the copy is made again.
func TestASegmentThatWasFilledMeanwhile(t *testing.T) {
	req, seg, good := fullBed(t)
	next := Segment{seg.Timeline, seg.Number + 1}
	after := bytes.Clone(good)
	binary.NativeEndian.PutUint64(after[8:], uint64(next.Start(req.SegmentSize))) // xlp_pageaddr of its first page
	write(t, filepath.Join(req.Live, next.Name(req.SegmentSize)), after)
	half, last := bytes.Clone(good), bytes.Clone(good)
	clear(half[len(half)/2:])
	clear(last[len(last)-pageSize/2:]) // its last page is begun
	for _, test := range []struct {
		name        string
		read, there []byte
		refused     error
	}{{"filled", half, good, errMoved}, {"its last page filled", last, good, errMoved},
		{"as it was", half, half, nil}, {"its last page as it was", last, last, nil}} {
		p := place{dir: req.Live, name: req.Name, server: true}
		write(t, p.path(), test.read)
		copied, err := os.Open(p.path())
		if err != nil {
			t.Fatal(err)
		}
		f, err := req.opened(copied, p, seg)
		if err != nil {
			t.Fatal(err)
		}
		if f.zeros, err = f.soundTo(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(p.path()); err != nil {
			t.Fatal(err)
		}
		write(t, p.path(), test.there)
		_, err = req.proved(t.Context(), f, p, seg)
		var bad *flaw
		if test.refused == nil && !errors.As(err, &bad) || test.refused != nil && !errors.Is(err, test.refused) {
			t.Errorf("%s: %v", test.name, err)
		}
		_ = copied.Close()
	}
}

// A segment that a server archives and removes while it is looked for is not absent.
func TestASegmentThatMovesToTheArchiveMeanwhile(t *testing.T) {
	req, _, good := fullBed(t)
	live, archived := filepath.Join(req.Live, req.Name), filepath.Join(req.Archive, req.Name)
	rng := rand.New(rand.NewPCG(1, 1))
	half := bytes.Clone(good)
	clear(half[len(half)/2:])
	for i := range 400 {
		_ = os.Remove(archived)
		write(t, live, good)
		if i%2 == 1 { // as in a clone, whose snapshot was taken in the middle of it
			write(t, filepath.Join(filepath.Dir(req.Dest), req.Name), half)
		}
		moved := make(chan error)
		go func() {
			time.Sleep(time.Duration(rng.IntN(400)) * time.Microsecond)
			moved <- os.Rename(live, archived)
		}()
		err := Get(t.Context(), req)
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(req.Dest); err != nil || !bytes.Equal(got, good) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		_ = os.Remove(req.Dest)
	}
}
