package zfs

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kernel is a folder in which the kernel tells of the pool zp1.
type kernel struct {
	t   *testing.T
	dir string
}

func newKernel(t *testing.T) kernel {
	k := kernel{t: t, dir: t.TempDir()}
	must(t, os.Mkdir(filepath.Join(k.dir, "zp1"), 0o755))
	return k
}

// tells replaces a file in one step: nobody reads an empty one, which would be that of no pool.
func (k kernel) tells(file, text string) {
	k.t.Helper()
	path := filepath.Join(k.dir, "zp1", file)
	must(k.t, os.WriteFile(path+".new", []byte(text), 0o600))
	must(k.t, os.Rename(path+".new", path))
}

// longSync are transaction groups of which one has been on its way since before this machine was started.
const longSync = "1 -600000000000 S 0 0 0 0 0 0 0 0 0\n"

// Nothing that needs the disks of a suspended pool is run, whether zpool or the kernel alone says so.
func TestOnlyTheStatusOfASuspendedPoolIsAskedFor(t *testing.T) {
	for state, want := range map[string]struct{ kernel, zpool, txgs, says string }{
		"suspended":      {kernel: "SUSPENDED", zpool: "SUSPENDED", says: "zpool status shows SUSPENDED"},
		"stalled":        {kernel: "ONLINE", zpool: "ONLINE", txgs: longSync, says: "The kernel has been trying for"},
		"of no answer":   {kernel: "SUSPENDED", says: "zpool status shows SUSPENDED"},
		"of another one": {kernel: "SUSPENDED", zpool: "pool: zp2", says: "zpool status shows SUSPENDED"},
	} {
		t.Run(state, func(t *testing.T) {
			k := newKernel(t)
			k.tells("state", want.kernel)
			k.tells("txgs", want.txgs)
			var ran []string
			c := New(func(cmd *exec.Cmd) error {
				ran = append(ran, strings.Join(cmd.Args, " "))
				if want.zpool == "" {
					return exitStatus(1)
				}
				_, err := io.WriteString(cmd.Stdout, strings.NewReplacer("ONLINE", want.zpool, "pool: zp1", "pool: zp1").Replace(openZPoolStatus))
				return err
			})
			c.Kstat = k.dir
			inv, err := c.Inventory(t.Context(), "zp1", Query{})
			if !errors.Is(err, ErrSuspended) || !strings.Contains(err.Error(), want.says) || !strings.Contains(err.Error(), "zpool clear") {
				t.Errorf("%v", err)
			}
			if inv.Pool == nil || !inv.Pool.Suspended || inv.Pool.Health != Suspended {
				t.Errorf("%+v", inv.Pool)
			}
			if !slices.Equal(ran, []string{"zpool status zp1"}) {
				t.Errorf("%q", ran)
			}
		})
	}
}

// What was written by a command that is left may be half of it, and more may come.
func TestNothingIsReadOfACommandThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKernel(t)
		k.tells("state", "ONLINE")
		c := New(func(cmd *exec.Cmd) error {
			k.tells("state", "SUSPENDED")
			_, err := io.WriteString(cmd.Stdout, "half")
			time.Sleep(time.Minute)
			return err
		})
		c.Kstat = k.dir
		if out, err := c.list(t.Context(), "zp1/data@s", "zfs", "holds", "zp1/data@s"); out != "" || !errors.Is(err, ErrSuspended) {
			t.Errorf("%q, %v", out, err)
		}
		time.Sleep(time.Minute)
	})
}

// A command that hangs on a pool which is suspended meanwhile is left, and one on a pool that comes back in time is
// not, however often.
func TestACommandIsLeftOnceItsPoolIsSuspendedForLong(t *testing.T) {
	for what, test := range map[string]struct {
		states string // of each second: O is ONLINE, S is SUSPENDED
		left   bool
	}{
		"for good":         {states: "OSSSSSSSSSSSSSSSSSSSSSSSS", left: true},
		"again and again":  {states: "OSSSSOSSSSOSSSSOSSSSOSSSS"},
		"after a recovery": {states: "OSSSSOSSSSSSSSSSSSSSSSSSS", left: true},
		"never":            {states: "OOOOOOOOOOOOOOOOOOOOOOOOO"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKernel(t)
				tell := func(state rune) {
					k.tells("state", map[rune]string{'O': "ONLINE", 'S': "SUSPENDED"}[state])
				}
				tell('O')
				c := New(func(*exec.Cmd) error { // it can't be killed
					time.Sleep(time.Second / 2)
					for _, state := range test.states {
						tell(state)
						time.Sleep(time.Second)
					}
					return nil
				})
				c.Kstat = k.dir
				err := c.SetPoolProperties(t.Context(), "zp1", []Prop{{"autotrim", "on"}})
				if errors.Is(err, ErrSuspended) != test.left || err != nil != test.left {
					t.Errorf("%v", err)
				}
				time.Sleep(time.Minute) // for what was left
			})
		})
	}
}
