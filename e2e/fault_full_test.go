//go:build vm

package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestFaultFullPool writes a pool full to the last block, so that the standby, too,
// can write nothing more: status and doctor say so, retention still frees what it
// may, and an apply after there is space brings all back.
func TestFaultFullPool(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Retention = "{last: 1}"
	s.write(t)
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	first := s.snapshotNames(t)[0]
	s.run(t, "snapshot").exits(t, exitDone)
	s.fill(t)
	must(t, s.Primary.Exec("SELECT pg_switch_wal()", "INSERT INTO steps VALUES (2)", "SELECT pg_switch_wal()"))
	eventually(t, "archiving to fail, or the standby to go down", func() bool {
		var st statusJSON
		s.run(t, "status", "-o", "json").decode(t, &st) // a server that restarts in vain answers nobody
		return st.Standby.ArchiverFailing != "" || !st.Standby.Running
	})

	s.answers(t, 2, "status", "--check").says(t, "CRITICAL: ", "can still be written to the pool "+s.Name)
	s.answers(t, exitFailed, "doctor").says(t, "no WAL can be written there", "zpool add")
	changes := s.run(t, "apply", "-o", "json").plan(t).Changes
	if !slices.ContainsFunc(changes, func(c changeJSON) bool {
		return c.Kind == "retention" && c.Name == first && c.Action == "delete" && c.Result == "done"
	}) {
		t.Errorf("retention did not free what it may: %+v", changes)
	}

	for _, ballast := range []string{"/written", "/reserved"} {
		eventually(t, "the ballast to go", func() bool { // pitfall 43
			_, err := tryCommand("zfs", "destroy", s.Name+ballast)
			return err == nil
		})
	}
	s.isWhole(t, "1 2")
}

// fill leaves no space: most of it is reserved, which is quick, the rest written.
func (s *site) fill(t *testing.T) {
	t.Helper()
	available, err := strconv.ParseInt(strings.TrimSpace(command(t, "zfs", "get", "-Hp", "-o", "value", "available", s.Name)), 10, 64)
	must(t, err)
	command(t, "zfs", "create", "-o", "reservation="+strconv.FormatInt(available-(48<<20), 10), s.Name+"/reserved")
	mountpoint := s.Dir + "/written"
	command(t, "zfs", "create", "-o", "compression=off", "-o", "mountpoint="+mountpoint, "-o", "canmount=on", s.Name+"/written")
	zeroes := make([]byte, 128<<10)
	f, err := os.Create(mountpoint + "/zeroes")
	must(t, err)
	defer f.Close()
	for err == nil {
		if _, err = f.Write(zeroes); err == nil {
			err = f.Sync()
		}
	}
	if !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
}
