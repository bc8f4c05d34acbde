package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// judgeInTheDark restores while the primary is down.
func (tr *trial) judgeInTheDark() {
	tr.Helper()
	tr.lookOn()
	p := tr.s.Primary
	tr.judgeAmid(circumstance{dark: len(tr.history.records)}, func() {
		must(tr, p.Stop())
		eventually(tr, "the standby to lose its primary", func() bool {
			return tr.s.standbyText(tr, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0"
		})
	}, func() {
		must(tr, p.Start())
		tr.edge()
	})
}

// judgeAroundAHole restores while a segment is neither in the archive nor in the
// live pg_wal nor in a snapshot. Where there is none that could be, the snapshots
// holding all between them, it does without.
func (tr *trial) judgeAroundAHole() {
	tr.Helper()
	tr.lookOn()
	name, at := tr.drawHole()
	if name == "" {
		tr.judgeSome()
		return
	}
	aside := filepath.Join(tr.s.Dir, "aside")
	must(tr, os.MkdirAll(aside, 0o700))
	edges := tr.edges
	tr.edges = []lsn{at, at, at + tr.history.segment} // draw around it
	tr.Logf("a hole from %s on: %s", at, name)
	tr.judgeAmid(circumstance{from: at, to: at + tr.history.segment}, func() {
		for i, path := range tr.copies(name) {
			command(tr, "mv", path, filepath.Join(aside, fmt.Sprintf("%s.%d", name, i)))
		}
	}, func() {
		for i, path := range []string{tr.s.inArchive(name), tr.s.inLive(name)} {
			if from := filepath.Join(aside, fmt.Sprintf("%s.%d", name, i)); exists(from) {
				command(tr, "mv", from, path)
			}
		}
	})
	tr.edges = edges
}

// copies are the files of a segment, by place.
func (tr *trial) copies(name string) map[int]string {
	found := map[int]string{}
	for i, path := range []string{tr.s.inArchive(name), tr.s.inLive(name)} {
		if exists(path) {
			found[i] = path
		}
	}
	return found
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// drawHole chooses an archived segment behind the first snapshot that no
// snapshot holds and the standby does not need to start; "" is none.
func (tr *trial) drawHole() (name string, at lsn) {
	tr.Helper()
	out := command(tr, filepath.Join(tr.s.Primary.BinDir, "pg_controldata"), tr.s.DataDir())
	size := tr.history.segment
	end := tr.controlLSN(out, "Latest checkpoint's REDO location:") / size * size
	var names []string
	starts := map[string]lsn{}
	for at := (tr.bases[0].consistent/size + 1) * size; at+size <= end; at += size {
		if tr.holds(at) {
			continue
		}
		for timeline := 1; timeline <= tr.timeline; timeline++ {
			if name := segmentName(timeline, at, size); exists(tr.s.inArchive(name)) {
				names = append(names, name)
				starts[name] = at
			}
		}
	}
	if len(names) == 0 {
		return "", 0
	}
	name = pick(tr.rng, names)
	return name, starts[name]
}

// holds is true of WAL that a snapshot holds a part of, and of a segment in which
// the timeline changes, which has two names.
func (tr *trial) holds(at lsn) bool {
	size := tr.history.segment
	for _, b := range tr.bases {
		if b.redo < at+size && b.replayedAfter > at {
			return true
		}
		for timeline := 1; timeline <= tr.timeline; timeline++ {
			if strings.Contains(b.segments, segmentName(timeline, at, size)) {
				return true
			}
		}
	}
	for _, edge := range tr.edges {
		if edge >= at && edge <= at+size {
			return true
		}
	}
	return false
}

// segmentName is the file that holds the WAL of a timeline at an LSN. Reference:
// PostgreSQL, "Write-Ahead Logging, WAL Internals".
func segmentName(timeline int, at, size lsn) string {
	number, perName := uint64(at/size), uint64(1)<<32/uint64(size)
	return fmt.Sprintf("%08X%08X%08X", timeline, number/perName, number%perName)
}

// segmentsIn lists a pg_wal.
func segmentsIn(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
