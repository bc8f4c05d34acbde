package reconcile

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/zfs"
)

// kstatOf is a folder in which the kernel tells the state of a pool.
func kstatOf(t testing.TB, pool, state string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, pool), 0o755); err != nil {
		t.Fatal(err)
	}
	kernelSays(t, dir, pool, state)
	return dir
}

// kernelSays replaces the state in one step: nobody reads an empty file, which
// would be that of no pool.
func kernelSays(t testing.TB, kstat, pool, state string) {
	t.Helper()
	path := filepath.Join(kstat, pool, "state")
	if err := os.WriteFile(path+".new", []byte(state+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A look that began while all was well and hangs since is left alone.
func TestALookThatHangsOnASuspendedPoolIsLeft(t *testing.T) {
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	cleared := make(chan struct{})
	defer close(cleared)
	_, came := unlessSuspended(host, "zp1", func() int {
		kernelSays(t, host.ZFS.Kstat, "zp1", "SUSPENDED")
		<-cleared
		return 1
	})
	if came {
		t.Error("it came back")
	}
}

func TestALookThatComesBackCounts(t *testing.T) {
	host := lockingHost(t)
	for _, state := range []string{"ONLINE", "SUSPENDED"} { // of a pool that was cleared again, or is suspended since
		host.ZFS.Kstat = kstatOf(t, "zp1", state)
		if n, came := unlessSuspended(host, "zp1", func() int { return 1 }); n != 1 || !came {
			t.Errorf("%s: %d, %v", state, n, came)
		}
	}
}

// A fault of the program in a look is still one of the run that looks.
func TestAPanicOfALookIsPassedOn(t *testing.T) {
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	defer func() {
		if fault, _ := recover().(string); !strings.HasPrefix(fault, "broken\n") {
			t.Errorf("%q", fault)
		}
	}()
	unlessSuspended(host, "zp1", func() int { panic("broken") })
}

// What watch knows of a pool that was suspended since, it does not ask the files.
func TestSightOfAPoolThatIsSuspendedSince(t *testing.T) {
	site := givenSite(t)
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "SUSPENDED")
	s := Sight{host: host, site: site, state: converged(t, site)}
	status := s.Status(t.Context(), givenNow)
	if status.Pool.Health != zfs.Suspended || status.Verdict.Level != LevelCritical || status.Standby.State != StandbyUnknown || !strings.Contains(status.Failures[0], "zpool clear zp1") {
		t.Errorf("%+v", status)
	}
}

// Once a suspended pool is cleared, the light check says so.
func TestALightCheckOfAClearedPool(t *testing.T) {
	host := lockingHost(t)
	s := Sight{host: host, site: givenSite(t), err: zfs.ErrSuspended}
	for state, drift := range map[string]bool{"SUSPENDED": false, "ONLINE": true, "DEGRADED": true} {
		host.ZFS.Kstat = kstatOf(t, "zp1", state)
		if s.drifted(t.Context()) != drift {
			t.Errorf("%s: want drift %v", state, drift)
		}
	}
	host.ZFS.Kstat = t.TempDir()
	if s.drifted(t.Context()) {
		t.Error("of a ZFS that tells nothing it says that the pool was cleared")
	}
}

// The doctor tells of a suspended pool in zpool's words, and of nothing on it.
func TestDoctorOfASuspendedPool(t *testing.T) {
	host := NewHost(slog.New(slog.DiscardHandler))
	host.ZFS = zfs.New(func(c *exec.Cmd) error {
		if strings.Join(c.Args, " ") != "zpool status zp1" {
			t.Errorf("%q would hang", c.Args)
		}
		_, err := io.WriteString(c.Stdout, "  pool: zp1\n state: SUSPENDED\nstatus: One or more devices are faulted in response to IO failures.\naction: Make sure the affected devices are connected, then run 'zpool clear'.\nconfig:\n\n\tNAME STATE READ WRITE CKSUM\n\tzp1 UNAVAIL 0 0 0\n\t  /dev/disk/by-id/virtio-data-part1 REMOVED 0 0 0\n\nerrors: 4 data errors, use '-v' for a list\n")
		return err
	})
	host.ZFS.Kstat = kstatOf(t, "zp1", "SUSPENDED")
	p := &patient{site: givenSite(t), now: givenNow}
	host.lookAtState(context.Background(), p)
	checks := append(examinePoolHealth(p), examineZFSRuns(p)...)
	if checks[0].Level != DoctorFault || checks[0].Mend != "bring its devices back, then: zpool clear zp1" {
		t.Errorf("%+v", checks)
	}
	for _, words := range []string{"pool zp1 is SUSPENDED", "/dev/disk/by-id/virtio-data is REMOVED", "faulted in response to IO failures"} {
		if !strings.Contains(checks[0].What, words) {
			t.Errorf("%q is not said by %q", words, checks[0].What)
		}
	}
	for _, e := range examinations() { // none may take what was not looked at for what is not there
		for _, c := range e.check(p) {
			if e.group == groupZFS && e.name != "health" && (c.Level == DoctorFault || c.Level == DoctorWarning) && !strings.Contains(c.What, "PATH") {
				t.Errorf("%s says: %s", e.name, c.What)
			}
		}
	}
}

// A pool that is suspended when only its name is known is one as well: whoever
// takes it for any other fault goes on to look at its files.
func TestDoctorOfAPoolThatIsSuspendedMeanwhile(t *testing.T) {
	host := lockingHost(t)
	host.ZFS = zfs.New(func(c *exec.Cmd) error {
		_, _ = io.WriteString(c.Stderr, "cannot open 'zp1': pool I/O is currently suspended\n")
		return errors.New("exit status 1")
	})
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	p := &patient{site: givenSite(t), now: givenNow}
	host.lookAtState(t.Context(), p)
	if checks := examinePoolHealth(p); p.hung == nil || len(checks) != 1 || checks[0].Mend != "bring its devices back, then: zpool clear zp1" {
		t.Errorf("%+v, of %+v", checks, p.hung)
	}
}

// An observation that hangs since the pool was suspended is left, and what zpool says
// of the pool is all that is observed.
func TestAnObservationThatHangsOnASuspendedPool(t *testing.T) {
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	hung := make(chan struct{})
	defer close(hung)
	host.ZFS.Run = func(c *exec.Cmd) error {
		if strings.Join(c.Args, " ") == "zpool status zp1" {
			_, err := io.WriteString(c.Stdout, "  pool: zp1\n state: SUSPENDED\nconfig:\n\n\tNAME STATE READ WRITE CKSUM\n\tzp1 UNAVAIL 0 0 0\n\t  /disks/a REMOVED 0 0 0\n\nerrors: No known data errors\n")
			return err
		}
		kernelSays(t, host.ZFS.Kstat, "zp1", "SUSPENDED")
		<-hung
		return nil
	}
	state, err := host.Observe(t.Context(), givenSite(t), givenNow)
	if !isKind(err, zfs.ErrSuspended) || state.ZFS.Pool == nil || len(state.ZFS.Pool.Faults()) != 1 {
		t.Errorf("%v, %+v", err, state.ZFS.Pool)
	}
}

// Between two commands of an inventory the devices may go: the command that hangs
// is left, and the error names the mend.
func TestACommandThatHangsOnASuspendedPool(t *testing.T) {
	host := lockingHost(t)
	host.ZFS.Kstat = kstatOf(t, "zp1", "ONLINE")
	hung := make(chan struct{})
	defer close(hung)
	began := time.Now()
	host.ZFS.Run = func(*exec.Cmd) error {
		kernelSays(t, host.ZFS.Kstat, "zp1", "SUSPENDED")
		<-hung
		return nil
	}
	err := host.ZFS.SetProperties(t.Context(), "zp1/data", []zfs.Prop{{Name: "atime", Value: "off"}})
	if !isKind(err, zfs.ErrSuspended) || !strings.Contains(err.Error(), "zpool clear") || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
