package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Inventory is what a directory of WAL holds, by name; the files are not opened.
type Inventory struct {
	Segments  []SegmentFile // by timeline and number
	Damaged   []SegmentFile // those of another size than a segment's: short, empty, too long
	Histories []string      // never removed (pitfall 22)
	Partials  []string
	Aside     []AsideFile // damaged ones that were set aside (SetAside)
	Others    []string    // base backup notes, left-over temporary files, checksums of files that are gone, strangers
	size      int64
	paths     []Path // of the timelines whose history is there
}

// SegmentFile is the file of a complete segment.
type SegmentFile struct {
	Segment
	Size    int64 // bytes
	ModTime time.Time
}

// AsideFile is what was archived as a segment and set aside since.
type AsideFile struct {
	Segment
	Name string
	Size int64 // bytes
}

// Range is a run of segments of one timeline, both ends included.
type Range struct {
	Timeline Timeline
	From, To Segment
}

// List reads a directory of segments of a size. A directory that cannot be read
// is an error, never an empty inventory (pitfall 51).
//
// Names are read one after the other while segments come and go: one that came
// behind the place that is being read is missed though its successor is not. A gap
// is thus looked for twice.
func List(dir string, size int64) (Inventory, error) {
	return list(dir, size, func() ([]string, error) { return readNames(dir) })
}

func list(dir string, size int64, read func() ([]string, error)) (Inventory, error) {
	if !ValidSegmentSize(size) {
		return Inventory{}, fmt.Errorf("%d bytes is no size of WAL segments", size)
	}
	names, err := read()
	if err != nil {
		return Inventory{}, err
	}
	inv, err := inventory(dir, size, names)
	if err != nil || len(inv.Gaps()) == 0 {
		return inv, err
	}
	again, err := read()
	if err != nil || slices.Equal(names, again) {
		return inv, err
	}
	return inventory(dir, size, again)
}

func inventory(dir string, size int64, names []string) (Inventory, error) {
	inv := Inventory{size: size}
	for _, name := range names {
		if err := inv.add(dir, name, names); err != nil {
			return Inventory{}, err
		}
	}
	for _, list := range [][]SegmentFile{inv.Segments, inv.Damaged} {
		slices.SortFunc(list, func(a, b SegmentFile) int { return compareSegments(a.Segment, b.Segment) })
	}
	return inv, nil
}

// Headers takes the segments whose first page is not that of their name, or of
// another cluster, out of Segments and into Damaged. It opens each file; what
// is behind the first page is for a Reader to prove.
func (inv *Inventory) Headers(dir string, systemID uint64) error {
	var sound []SegmentFile
	damaged := slices.Clone(inv.Damaged)
	for _, s := range inv.Segments {
		f, err := openSegment(context.Background(), Dir(dir), s.Segment, inv.size, systemID)
		var bad *flaw
		switch {
		case err == nil:
			_ = f.Close() // it was only looked at
			sound = append(sound, s)
		case errors.As(err, &bad):
			damaged = append(damaged, s)
		case !errors.Is(err, fs.ErrNotExist): // removed since the directory was read
			return err
		}
	}
	inv.Segments, inv.Damaged = sound, damaged
	slices.SortFunc(inv.Damaged, func(a, b SegmentFile) int { return compareSegments(a.Segment, b.Segment) })
	return nil
}

func (inv *Inventory) add(dir, name string, names []string) error {
	seg, isSegment := ParseSegment(name, inv.size)
	switch kind := Classify(name); {
	case isSegment:
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // recycled or removed since the directory was read
		}
		if err != nil {
			return err
		}
		file := SegmentFile{seg, info.Size(), info.ModTime()}
		if file.Size != inv.size {
			inv.Damaged = append(inv.Damaged, file)
			return nil
		}
		inv.Segments = append(inv.Segments, file)
	case kind == KindHistory:
		inv.Histories = append(inv.Histories, name)
		return inv.addPath(dir, name)
	case kind == KindPartial:
		inv.Partials = append(inv.Partials, name)
	case kind == KindChecksum && contains(names, strings.TrimSuffix(name, checksumSuffix)):
	case strings.Contains(name, damagedSuffix):
		return inv.addAside(dir, name)
	default:
		inv.Others = append(inv.Others, name)
	}
	return nil
}

// addAside takes a name such as SEGMENT.damaged-1, which SetAside gives.
func (inv *Inventory) addAside(dir, name string) error {
	base, _, _ := strings.Cut(name, damagedSuffix+"-")
	segment, ok := ParseSegment(base, inv.size)
	info, err := os.Lstat(filepath.Join(dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // removed since the directory was read
	case err != nil:
		return err
	case !ok || !info.Mode().IsRegular():
		inv.Others = append(inv.Others, name)
		return nil
	}
	inv.Aside = append(inv.Aside, AsideFile{segment, name, info.Size()})
	return nil
}

// addPath reads a history file for what Gaps needs of it. A broken one is no
// reason to know nothing: its timeline then stands alone.
func (inv *Inventory) addPath(dir, name string) error {
	b, err := readRegular(filepath.Join(dir, name))
	if errors.Is(err, errIrregular) {
		return nil
	}
	if err != nil {
		return err
	}
	tli, ok := ParseHistoryName(name)
	history, err := ParseHistory(b)
	if ok && err == nil && len(history) > 0 {
		inv.paths = append(inv.paths, PathOf(tli, history))
	}
	return nil
}

// PathTo is the path to a timeline whose history file is there and can be read.
func (inv Inventory) PathTo(tli Timeline) (Path, bool) {
	for _, path := range inv.paths {
		if path[len(path)-1].Timeline == tli {
			return path, true
		}
	}
	return nil, false
}

// Ranges lists the runs of segments without a hole.
func (inv Inventory) Ranges() []Range {
	var runs []Range
	for _, s := range inv.Segments {
		if n := len(runs); n > 0 && runs[n-1].To.Timeline == s.Timeline && runs[n-1].To.Number+1 == s.Number {
			runs[n-1].To = s.Segment
			continue
		}
		runs = append(runs, Range{s.Timeline, s.Segment, s.Segment})
	}
	return runs
}

// Gaps lists the missing segments: holes within each timeline, and, where the
// history file of a timeline is there, those between its parent's last segment
// and its own first.
func (inv Inventory) Gaps() []Range {
	var gaps []Range
	runs := inv.Ranges()
	for i, run := range runs {
		if i > 0 && runs[i-1].Timeline == run.Timeline {
			gaps = append(gaps, hole(run.Timeline, runs[i-1].To.Number+1, run.From.Number-1))
		}
	}
	for _, path := range inv.paths {
		gaps = append(gaps, inv.gapsAtSwitch(path)...)
	}
	slices.SortFunc(gaps, func(a, b Range) int { return compareSegments(a.From, b.From) })
	return slices.Compact(gaps)
}

// gapsAtSwitch lists what is missing on both sides of the last switch of a
// path: the parent up to the segment before the switch, whose beginning the new
// timeline's file holds, and the new timeline from the switch on.
func (inv Inventory) gapsAtSwitch(path Path) []Range {
	parent, child := path[len(path)-2], path[len(path)-1]
	_, last, ok := inv.extent(parent.Timeline)
	first, _, okChild := inv.extent(child.Timeline)
	if !ok || !okChild {
		return nil
	}
	var gaps []Range
	at := SegmentAt(child.Timeline, child.From, inv.size).Number
	if last+1 < at {
		gaps = append(gaps, hole(parent.Timeline, last+1, at-1))
	}
	if first > at {
		gaps = append(gaps, hole(child.Timeline, at, first-1))
	}
	return gaps
}

// extent is the first and last segment number of a timeline.
func (inv Inventory) extent(tli Timeline) (first, last uint64, ok bool) {
	for _, s := range inv.Segments {
		if s.Timeline == tli {
			if !ok {
				first = s.Number
			}
			last, ok = s.Number, true
		}
	}
	return first, last, ok
}

func hole(tli Timeline, from, to uint64) Range {
	return Range{tli, Segment{tli, from}, Segment{tli, to}}
}

func contains(sorted []string, name string) bool {
	_, found := slices.BinarySearch(sorted, name)
	return found
}

func compareSegments(a, b Segment) int {
	return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.Number, b.Number))
}

// lookInto fails unless the directory can be read: only then is it a proof of
// absence that it has no file of a name. An archive may have thousands; one is read.
func lookInto(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.Readdirnames(1); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
