package e2e

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// switchSegment ends the primary's segment behind what was written and gives its name.
func (s *site) switchSegment(t testing.TB) string {
	t.Helper()
	name := s.onPrimary(t, "SELECT pg_walfile_name(pg_switch_wal())")
	must(t, s.Primary.Exec("SELECT pg_create_restore_point('a record in the next')"))
	s.caughtUp(t)
	return name
}

func (s *site) inArchive(name string) string { return filepath.Join(s.WALMount, "archive", name) }

// inLive is a segment's file in the standby's own pg_wal.
func (s *site) inLive(name string) string { return filepath.Join(s.DataDir(), "pg_wal", name) }

// reachesArchive waits until the archiver has brought a segment.
func (s *site) reachesArchive(t testing.TB, name string) {
	t.Helper()
	eventually(t, name+" in the archive", func() bool {
		_, err := os.Stat(s.inArchive(name))
		return err == nil
	})
}

// victim is an archived segment, full of records, that restores to a moment must pass.
type victim struct {
	name           string
	good, checksum []byte
}

func (s *site) victim(t testing.TB, name string) victim {
	t.Helper()
	s.reachesArchive(t, name)
	good, err := os.ReadFile(s.inArchive(name))
	must(t, err)
	checksum, err := os.ReadFile(s.inArchive(name) + ".crc32c")
	must(t, err)
	return victim{name, good, checksum}
}

// mutate does that to the archived segment, of which nothing was amiss.
func (s *site) mutate(t testing.TB, v victim, m mutation) {
	t.Helper()
	path := s.inArchive(v.name)
	s.mend(t, v)
	if m.checksum == gone {
		must(t, os.Remove(path+".crc32c"))
	}
	must(t, os.Remove(path))
	if m.put != nil {
		must(t, m.put(path))
		return
	}
	bad := m.spoil(v.good)
	if bad == nil {
		return
	}
	s.putWAL(t, path, bad)
	if m.checksum == renewed {
		sum := crc32.Checksum(bad, crc32.MakeTable(crc32.Castagnoli))
		s.putWAL(t, path+".crc32c", fmt.Appendf(nil, "%08x %d\n", sum, len(bad)))
	}
}

// mend puts the archived segment back.
func (s *site) mend(t testing.TB, v victim) {
	t.Helper()
	path := s.inArchive(v.name)
	must(t, os.RemoveAll(path))
	s.putWAL(t, path, v.good)
	s.putWAL(t, path+".crc32c", v.checksum)
}

// putWAL writes a file of the OS user's.
func (s *site) putWAL(t testing.TB, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o600))
	user, err := primary.Credential("postgres")
	must(t, err)
	must(t, os.Chown(path, int(user.Uid), int(user.Gid)))
}

// fillSegments writes so much that a whole segment of 1 MB holds nothing but
// records of it, and names that segment.
func (s *site) fillSegments(t testing.TB) string {
	t.Helper()
	s.switchSegment(t)
	full := s.onPrimary(t, "SELECT pg_walfile_name(pg_current_wal_insert_lsn() + 1024 * 1024)")
	must(t, s.Primary.Exec("DROP TABLE IF EXISTS filler", "CREATE TABLE filler AS SELECT repeat('x', 700) FROM generate_series(1, 4000)"))
	s.caughtUp(t)
	return full
}

// moment is a time on the primary, as a target and to compare with.
func (s *site) moment(t testing.TB) (string, time.Time) {
	t.Helper()
	text := s.onPrimary(t, clockNow)
	at, err := time.Parse("2006-01-02 15:04:05.999999-07", text)
	must(t, err)
	return text, at
}

// advertises is true where a window of status holds the moment.
func (s *site) advertises(t testing.TB, at time.Time) bool {
	t.Helper()
	for _, w := range s.status(t).Windows {
		if !at.Before(w.From) && !at.After(w.To) {
			return true
		}
	}
	return false
}

// setAside are the archived files that a sound copy took the place of.
func (s *site) setAside(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(s.inArchive("*.damaged-*"))
	must(t, err)
	return slices.DeleteFunc(files, func(path string) bool { return strings.HasSuffix(path, ".crc32c") })
}
