package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// walPage is the size of a page of WAL (XLOG_BLCKSZ).
const walPage = 8192

// mutation is something that happened to an archived segment.
type mutation struct {
	name  string
	spoil func(good []byte) []byte // nil: the file is gone
	put   func(path string) error  // what lies there instead, if it is no file
	// checksum is what became of the one that wal push keeps beside the file.
	checksum checksumFate
	// inside is damage behind a sound first page, in a file of the right size:
	// status, which reads no more of it, can't know.
	inside bool
}

type checksumFate int

const (
	kept checksumFate = iota
	gone
	renewed // as if the file had been pushed so
)

// flipBytes damages a stretch in the middle of a segment that is full of records.
func flipBytes(offset, n int) func([]byte) []byte {
	return func(good []byte) []byte {
		b := bytes.Clone(good)
		for i := range n {
			b[len(b)/2+offset+i] ^= 0x55
		}
		return b
	}
}

// mutations of an archived segment; other is the content of another one.
func mutations(other []byte) []mutation {
	pageHeader, record := flipBytes(8, 8), flipBytes(4000, 100)
	otherCluster := func(good []byte) []byte {
		b := bytes.Clone(good)
		for i := 24; i < 32; i++ { // xlp_sysid of the long header
			b[i] ^= 0x55
		}
		return b
	}
	otherPage := func(good []byte) []byte {
		b, middle := bytes.Clone(good), len(good)/2
		copy(b[middle+16:middle+walPage], other[middle+16:]) // under the magic, timeline and address of its place
		return b
	}
	cutOff := func(good []byte) []byte { return append(bytes.Clone(good[:len(good)/2]), make([]byte, len(good)/2)...) }
	return []mutation{
		{name: "a hole", spoil: func([]byte) []byte { return nil }, checksum: gone},
		{name: "a short file", spoil: func(good []byte) []byte { return good[:len(good)/3] }},
		{name: "a zero-byte file", spoil: func([]byte) []byte { return []byte{} }, checksum: gone},
		{name: "zeros", spoil: func(good []byte) []byte { return make([]byte, len(good)) }, checksum: gone},
		{name: "a damaged page header", spoil: pageHeader, inside: true},
		{name: "a damaged page header, no checksum", spoil: pageHeader, checksum: gone, inside: true},
		{name: "a damaged record", spoil: record, inside: true},
		{name: "a damaged record, no checksum", spoil: record, checksum: gone, inside: true},
		{name: "a damaged record, archived so", spoil: record, checksum: renewed, inside: true},
		{name: "a page of other WAL", spoil: otherPage, checksum: gone, inside: true},
		{name: "an unfinished copy", spoil: cutOff, checksum: renewed, inside: true},
		{name: "another cluster's segment", spoil: otherCluster, checksum: renewed},
		{name: "another segment", spoil: func([]byte) []byte { return other }, checksum: renewed},
		{name: "a FIFO", put: func(path string) error { return syscall.Mkfifo(path, 0o600) }, checksum: gone},
		{name: "a directory", put: func(path string) error { return os.Mkdir(path, 0o700) }, checksum: gone},
	}
}

// TestArchiveMutations does to the archive what happens to archives. A restore
// to a moment behind it is exact where the live pg_wal or the pg_wal of a later
// snapshot has a good copy, and else refused, and status does not advertise the
// moment; the live standby goes on as if nothing were. Pitfalls 16, 17.
func TestArchiveMutations(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd)) // segments of 1 MB, and no table of another test
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	full := s.fillSegments(t)
	s.commit(t, 2)
	moment, at := s.moment(t)
	s.commit(t, 3)
	last := s.switchSegment(t)
	s.reachesArchive(t, last)
	v := s.victim(t, full)
	otherContent, err := os.ReadFile(s.inArchive(last))
	must(t, err)
	standby, first, made := s.postmaster(t), s.snapshotNames(t)[0], 0
	target := entry{Name: "r", Target: fmt.Sprintf("time: %q", moment), Port: s.RestorePort}

	goesOn := func(t *testing.T) {
		t.Helper()
		s.commit(t, 100)
		s.caughtUp(t)
		if s.postmaster(t) != standby {
			t.Error("the live standby was touched")
		}
	}
	exact := func(t *testing.T) {
		t.Helper()
		made++ // by another name the restore of the row before goes away in the same apply
		e := target
		e.Name = fmt.Sprintf("r%d", made)
		s.declare(t, e)
		s.apply(t).exits(t, exitDone)
		if got := s.on(t, e.Name, steps); got != "1 2" {
			t.Errorf("it holds %s", got)
		}
		if !s.advertises(t, at) {
			t.Error("status does not advertise the moment")
		}
		goesOn(t)
	}
	refused := func(t *testing.T, m mutation) {
		t.Helper()
		s.declare(t, target)
		s.refuses(t, target.Name, v.name, "nearest")
		if !m.inside && s.advertises(t, at) {
			t.Error("status advertises the moment")
		}
		goesOn(t)
	}
	t.Run("no good copy", func(t *testing.T) {
		for _, m := range mutations(otherContent) {
			t.Run(m.name, func(t *testing.T) {
				s.mutate(t, v, m)
				must(t, os.RemoveAll(s.inLive(v.name)))
				refused(t, m)
			})
		}
		s.declare(t, entry{Name: "r", Target: "snapshot: " + first, Port: s.RestorePort})
		s.apply(t).exits(t, exitDone) // what does not need it can be had
		if got := s.on(t, "r", "SELECT coalesce(to_regclass('filler')::text, 'none')"); got != "none" {
			t.Error("it holds what came later")
		}
	})
	t.Run("live", func(t *testing.T) {
		for _, m := range mutations(otherContent) {
			t.Run(m.name, func(t *testing.T) {
				s.mutate(t, v, m)
				s.putWAL(t, s.inLive(v.name), v.good)
				exact(t)
			})
		}
		if n, all := len(s.setAside(t)), len(mutations(otherContent)); n != all-1 { // but for the hole
			t.Errorf("%d files were set aside of %d", n, all-1)
		}
	})
	t.Run("the clone's own", func(t *testing.T) {
		name := fmt.Sprintf("r%d", made)
		clone := s.cloneDir(t, name)
		for _, m := range some(mutations(otherContent), "zeros", "a damaged record", "a damaged record, no checksum", "another segment", "a FIFO") {
			t.Run(m.name, func(t *testing.T) {
				s.mutate(t, v, m)
				must(t, os.RemoveAll(s.inLive(v.name)))
				s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", clone)
				s.apply(t).exits(t, exitDone)
				if got := s.on(t, name, steps); got != "1 2" {
					t.Errorf("started again it holds %s", got)
				}
			})
		}
	})
	t.Run("the base's own", func(t *testing.T) { s.baseWithDamage(t, first) })
	t.Run("both", func(t *testing.T) {
		for _, m := range some(mutations(otherContent), "a short file", "a damaged record, no checksum", "another cluster's segment") {
			t.Run(m.name, func(t *testing.T) {
				s.mutate(t, v, m)
				s.putWAL(t, s.inLive(v.name), m.spoil(v.good))
				s.declare(t, target)
				s.refuses(t, target.Name, v.name, "nearest")
				goesOn(t)
			})
		}
	})
	t.Run("later snapshot", func(t *testing.T) {
		s.mend(t, v)
		s.putWAL(t, s.inLive(v.name), v.good)
		s.run(t, "snapshot").exits(t, exitDone)
		must(t, os.Remove(s.inLive(v.name)))
		for _, m := range some(mutations(otherContent), "a hole", "a short file", "zeros", "a damaged page header", "a damaged record, no checksum",
			"an unfinished copy", "another cluster's segment", "another segment", "a FIFO") {
			t.Run(m.name, func(t *testing.T) {
				s.mutate(t, v, m)
				exact(t)
			})
		}
		s.declare(t)
		s.converges(t)
	})
	t.Run("duplicate with other content", func(t *testing.T) { s.duplicate(t, v) })
	t.Run("restart of the standby", func(t *testing.T) { s.restartsWithDamage(t, otherContent) })
}

// baseWithDamage restores a snapshot whose first WAL is damaged in the archive,
// and in no other place than its own pg_wal.
func (s *site) baseWithDamage(t *testing.T, snapshot string) {
	t.Helper()
	name := s.onPrimary(t, "SELECT pg_walfile_name('"+s.status(t).Snapshots[0].RedoLSN+"'::pg_lsn + 1)")
	if _, err := os.Stat(s.inArchive(name)); err != nil {
		// pg_basebackup did not mark it (see pitfall 19): the server has it archived
		// before it removes it, and here now.
		s.putWAL(t, s.DataDir()+"/pg_wal/archive_status/"+name+".ready", nil)
		s.switchSegment(t)
	}
	v := s.victim(t, name)
	header := func(good []byte) []byte {
		return append(make([]byte, walPage), good[walPage:]...)
	}
	for _, spoil := range []func([]byte) []byte{header, flipBytes(0, len(v.good)/2)} {
		s.mutate(t, v, mutation{spoil: spoil, checksum: gone})
		must(t, os.RemoveAll(s.inLive(v.name)))
		s.declare(t, entry{Name: "r", Target: "snapshot: " + snapshot, Port: s.RestorePort})
		s.plan(t).exits(t, exitPending).says(t, v.name)
		s.apply(t).exits(t, exitDone)
		if got := s.on(t, "r", "SELECT pg_is_in_recovery()::text"); got != "true" {
			t.Error("it left recovery")
		}
		s.declare(t)
		s.apply(t).exits(t, exitDone)
	}
	s.mend(t, v)
}

// duplicate: the archiver is asked once more for a segment whose archived copy
// is other. It does not overwrite, and status says what fails, until an apply
// has put the sound one there.
func (s *site) duplicate(t *testing.T, v victim) {
	t.Helper()
	s.mutate(t, v, mutation{spoil: flipBytes(4000, 100), checksum: renewed})
	other, err := os.ReadFile(s.inArchive(v.name))
	must(t, err)
	s.putWAL(t, s.inLive(v.name), v.good)
	status := s.DataDir() + "/pg_wal/archive_status/" + v.name
	_ = os.Remove(status + ".done")
	s.putWAL(t, status+".ready", nil)
	later := s.switchSegment(t)
	eventually(t, "archiving to fail", func() bool {
		return s.standbyText(t, "SELECT last_failed_wal FROM pg_stat_archiver") == v.name
	})
	s.run(t, "status").exits(t, exitDone).says(t, "archiving fails at "+v.name)
	if now, err := os.ReadFile(s.inArchive(v.name)); err != nil || !bytes.Equal(now, other) {
		t.Error("it was overwritten", err)
	}
	s.mend(t, v)
	s.reachesArchive(t, later) // PostgreSQL tries again, and goes on
}

// restartsWithDamage kills and starts the standby while an archived segment that
// it replays once more is not what it should be.
func (s *site) restartsWithDamage(t *testing.T, other []byte) {
	t.Helper()
	for _, m := range some(mutations(other), "a hole", "zeros", "a damaged record, no checksum", "another cluster's segment", "a FIFO") {
		t.Run(m.name, func(t *testing.T) {
			v := s.victim(t, s.fillSegments(t))
			s.mutate(t, v, m)
			s.restartsStandby(t)
			s.commit(t, 200)
			s.caughtUp(t)
			s.mend(t, v)
		})
	}
}

// restartsStandby kills it and has it started by an apply.
func (s *site) restartsStandby(t *testing.T) {
	t.Helper()
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "immediate", "-D", s.DataDir())
	s.apply(t).exits(t, exitDone)
}

// some are the mutations of those names.
func some(list []mutation, names ...string) []mutation {
	return slices.DeleteFunc(list, func(m mutation) bool { return !slices.Contains(names, m.name) })
}

// TestRogueHistory: the history of a timeline that the primary never had lies in
// the archive. The standby stays with its primary, also when it starts anew, and
// follows it to the real timeline of that number. Pitfall 34.
func TestRogueHistory(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Odd))
	s.converges(t)
	early := s.onPrimary(t, insertedTo)
	s.stepTable(t)
	s.commit(t, 1)
	before := s.onPrimary(t, clockNow)
	s.commit(t, 2)
	s.switchSegment(t)
	rogue := "1\t" + early + "\ta stranger's\n"
	s.putWAL(t, s.inArchive("00000002.history"), []byte(rogue))
	s.putWAL(t, s.inArchive("00000003.history"), []byte(rogue+"2\tFF/0\ta stranger's\n"))
	s.restartsStandby(t)
	s.commit(t, 3)
	s.caughtUp(t)
	if got := s.status(t).Standby.Timeline; got != 1 {
		t.Errorf("the standby follows timeline %d", got)
	}
	var m moments
	m.add(t, "before", at(before), "1")
	m.add(t, "latest", "latest: true", "1 2 3")
	s.restored(t, m)

	next := s.follower(t)
	s.caughtUp(t)
	must(t, s.Primary.Kill())
	must(t, next.Promote())
	s.Primary = next
	s.write(t)
	s.apply(t)
	s.commit(t, 4)
	s.caughtUp(t)
	must(t, os.Remove(s.inArchive("00000002.history"))) // by a person: what is archived is never overwritten
	must(t, os.Remove(s.inArchive("00000003.history")))
	s.converges(t)
	s.reachesArchive(t, "00000002.history")
	m.only("before")
	m.add(t, "after", "latest: true", "1 2 3 4")
	s.restored(t, m)
}
