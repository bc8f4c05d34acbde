package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/zfs"
)

// heldSnapshot is a host one of whose snapshots is held, and a zfs of which each
// release fails as said; "" is it does not.
func heldSnapshot(t *testing.T, fails string) (h *Host, state State, ran *[]string) {
	t.Helper()
	site := givenSite(t)
	state = converged(t, site)
	state.ZFS.Snapshots[0].UserRefs = 1
	h, ran = lockingHost(t), &[]string{}
	h.ZFS = zfs.New(func(c *exec.Cmd) error {
		*ran = append(*ran, strings.Join(c.Args, " "))
		if fails == "" {
			return nil
		}
		_, _ = io.WriteString(c.Stderr, fails)
		return errors.New("exit status 1")
	})
	return h, state, ran
}

// Who has only the part of the lock that is for the standby takes no hold away:
// whoever gave that part up may be making the restore.
func TestHoldsAreReleasedUnderTheWholeLock(t *testing.T) {
	site := givenSite(t)
	h, state, ran := heldSnapshot(t, "")
	lock, err := h.LockStandby(t.Context(), site.Name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := h.releaseLeft(t.Context(), site, &state); left || err != nil || len(*ran) > 0 {
		t.Errorf("beside another run: %v, %v, after %q", left, err, *ran)
	}
	lock.Release()
	if lock, err = h.Lock(t.Context(), site.Name, 0); err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	want := []string{"zfs release " + restoreTag + " " + state.ZFS.Snapshots[0].Full()}
	if left, err := h.releaseLeft(t.Context(), site, &state); !left || err != nil || !slices.Equal(*ran, want) {
		t.Errorf("%v, %v, after %q", left, err, *ran)
	}
}

// What was made under a hold is made, also where the hold can't be released; a step
// that was interrupted leaves none; and without a hold there is no step.
func TestHolding(t *testing.T) {
	interrupted := errors.New("interrupted")
	for _, test := range []struct {
		name        string
		fails       string // the command
		words       string // of zfs
		step        error
		steps, runs int
		err         error
	}{
		{"all is well", "", "", nil, 1, 2, nil},
		{"left behind by another run", "hold", "cannot hold snapshot 'zp1/data@a': tag already exists on this dataset\n", nil, 1, 2, nil},
		{"the base is gone", "hold", "cannot hold snapshot 'zp1/data@a': dataset does not exist\n", nil, 0, 2, zfs.ErrNotFound},
		{"it can't be released", "release", "cannot release: permission denied\n", nil, 1, 2, nil},
		{"interrupted", "", "", interrupted, 1, 2, interrupted},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			h, steps, runs := lockingHost(t), 0, 0
			h.ZFS = zfs.New(func(c *exec.Cmd) error {
				runs++
				if c.Args[1] != test.fails {
					return nil
				}
				_, _ = io.WriteString(c.Stderr, test.words)
				return errors.New("exit status 1")
			})
			err := h.holding(ctx, Snapshot{Members: []zfs.Snapshot{{Dataset: "zp1/data", Name: "a"}}}, func() error {
				steps++
				if test.step != nil {
					cancel()
				}
				return test.step
			})
			cancel()
			if !errors.Is(err, test.err) || steps != test.steps || runs != test.runs {
				t.Errorf("%v after %d steps and %d commands", err, steps, runs)
			}
		})
	}
}

// That a hold is another's is no failure, and nothing was left.
func TestAHoldOfSomebodyElse(t *testing.T) {
	h, state, _ := heldSnapshot(t, "cannot release hold from snapshot 'zp1/data@x': no such tag on this dataset\n")
	if left, err := h.releaseLeft(t.Context(), givenSite(t), &state); left || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

// A hold that can't be released is told of, and everything else is done: it keeps
// one snapshot.
func TestAHoldThatStays(t *testing.T) {
	site := givenSite(t)
	site.Standby.OSUser = "nobody-of-this-name" // so that nothing else is looked at
	h := lockingHost(t)
	h.ZFS = zfs.New(func(c *exec.Cmd) error { return zfsWithAHold(c) })
	plan, _, err := h.apply(t.Context(), site, givenNow, Only{kindPool})
	if err != nil || !slices.ContainsFunc(plan.Failures, func(f string) bool { return strings.Contains(f, "zfs release zp1/data@zr-1: permission denied") }) {
		t.Errorf("%v, failures %q", err, plan.Failures)
	}
	if !slices.ContainsFunc(plan.Changes, func(c Change) bool { return c.Kind == kindPool && c.Result != "" }) {
		t.Errorf("the apply did not go on: %+v", plan.Changes)
	}
}

// zfsWithAHold shows a pool with a snapshot that is held, and can't release it.
func zfsWithAHold(c *exec.Cmd) error {
	say := func(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	switch line := strings.Join(c.Args, " "); {
	case len(c.Args) == 1:
		say(c.Stderr, "usage:\n\tget [-Hp] <\"all\" | property[,...]>\n")
		return errors.New("exit status 2")
	case strings.HasPrefix(line, "zpool get "):
		for _, p := range []string{"size\t100", "free\t50", "allocated\t50", "guid\t1", "health\tONLINE", "altroot\t-", "ashift\t12"} {
			say(c.Stdout, "zp1\t%s\tlocal\n", p)
		}
	case strings.HasPrefix(line, "zpool status "):
		say(c.Stdout, "  pool: zp1\n state: ONLINE\nconfig:\n\n\tNAME STATE READ WRITE CKSUM\n\tzp1 ONLINE 0 0 0\n\t  %s ONLINE 0 0 0\n\nerrors: No known data errors\n", givenDevice)
	case strings.HasPrefix(line, "zfs get -Hp -r "):
		for _, name := range []string{"zp1", "zp1/data", "zp1/data@zr-1"} {
			for _, property := range strings.Split(c.Args[len(c.Args)-2], ",") {
				value := map[string]string{"type": "filesystem", "guid": "1", "canmount": "off", markSite: "s1", markFormat: marksFormat, "userrefs": "1"}[property]
				say(c.Stdout, "%s\t%s\t%s\tlocal\n", name, property, value)
			}
		}
	default:
		say(c.Stderr, "cannot release: permission denied\n")
		return errors.New("exit status 1")
	}
	return nil
}
