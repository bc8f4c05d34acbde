//go:build vm

package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestFaultMirror pulls a disk of a mirror, brings it back damaged, and replaces
// it: each is told with its mend, nothing of it blocks, and all else goes on.
func TestFaultMirror(t *testing.T) {
	dir := t.TempDir() // the disks come before the site, so that they are wiped after its pool is gone
	bad, spare := newVdev(t, filepath.Join(dir, "bad"), 1<<30), newVdev(t, filepath.Join(dir, "spare"), 1<<30)
	s := newSite(t, sharedPrimary(t, primary.Plain))
	good := s.Vdev
	s.Vdev, s.VdevType, s.Retention = good+", "+bad, "mirror", "{last: 1}"
	s.write(t)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	first := s.snapshotNames(t)[0]

	unplug(t, bad)
	s.run(t, "snapshot").exits(t, exitDone) // what is written shows ZFS that the disk is gone
	eventually(t, "ZFS to notice", func() bool { return s.poolState(t) == "DEGRADED" })
	gone := bad + " is REMOVED"
	s.answers(t, exitPending, "plan", "--detailed-exitcode").says(t, "pool "+s.Name+" is DEGRADED", gone, "zpool online")
	s.answers(t, exitDone, "status").says(t, "pool "+s.Name+": DEGRADED", gone, "zpool online")
	s.answers(t, 2, "status", "--check").says(t, "CRITICAL: the pool "+s.Name+" is DEGRADED: "+gone)
	s.answers(t, exitFailed, "doctor").says(t, "pool "+s.Name+" is DEGRADED: "+gone, "zpool online "+s.Name+" DEVICE")
	changes := s.answers(t, exitDone, "apply", "-o", "json").plan(t).Changes
	if !slices.ContainsFunc(changes, func(c changeJSON) bool { return c.Kind == "retention" && c.Name == first && c.Result == "done" }) {
		t.Errorf("retention does not go on: %+v", changes)
	}
	s.commit(t, 2)
	s.standbyStreams(t)

	plugIn(t, bad)
	command(t, "zpool", "online", s.Name, bad)
	eventually(t, "the mirror to be whole", func() bool { return s.poolState(t) == "ONLINE" })
	command(t, "zpool", "wait", "-t", "resilver", s.Name)
	s.answers(t, exitDone, "status", "--check").says(t, "OK: ")
	s.isConverged(t)

	// behind the labels and the boot block (zpool-labelclear(8)), on one side alone
	command(t, "dd", "if=/dev/zero", "of="+bad+"-part1", "bs=1M", "seek=8", "count=120", "conv=notrunc", "oflag=direct")
	eventually(t, "a scrub, for which a resilver that began again must end", func() bool {
		_, err := tryCommand("zpool", "scrub", "-w", s.Name)
		return err == nil
	})
	s.answers(t, exitDone, "plan", "--detailed-exitcode").says(t, "pool "+s.Name+" is ONLINE, "+bad+" had errors (read 0, write 0, checksum ", "zpool clear")
	s.answers(t, 1, "status", "--check").says(t, "WARNING: the pool "+s.Name+" is ONLINE, but "+bad+" had errors")
	s.answers(t, exitDone, "doctor").says(t, bad+" had errors", "zpool replace "+s.Name+" DEVICE NEW")

	command(t, "zpool", "replace", "-w", s.Name, bad, spare)
	replaced := spare + "-part1 stands where the file names " + bad
	s.answers(t, exitRefused, "plan").says(t, replaced, "write the vdevs that it has into the spec")
	s.answers(t, exitFailed, "doctor").says(t, replaced)
	s.run(t, "snapshot").exits(t, exitDone) // nothing waits for the file
	if !slices.ContainsFunc(s.apply(t).exits(t, exitRefused).plan(t).Changes, func(c changeJSON) bool { return c.Kind == "retention" && c.Result == "done" }) {
		t.Error("retention waits for the file")
	}
	s.Vdev = good + ", " + spare
	s.write(t)
	command(t, "zpool", "clear", s.Name) // as plan advises: OpenZFS was seen to count errors of the new disk, too, while it was filled
	s.answers(t, exitDone, "status", "--check").says(t, "OK: ")
	s.isWhole(t, "1 2")
}
