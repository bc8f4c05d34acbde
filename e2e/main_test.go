// Package e2e is the real thing: zreconcile's program on real ZFS pools (on
// sparse files) against real PostgreSQL primaries, held to what the contract
// promises and to nothing of its insides. It needs root; `make test` prepares
// the machine.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// program is the zreconcile that the tests run.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: run as root: pools are made and servers started as other users")
		return 1
	}
	forget, err := prepare()
	defer forget()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(primaries.Destroy(), made.isGone()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

// primaries live to the end; a test that stops or spoils one makes its own.
var primaries = primary.Lender{Make: primary.New}

// sharedPrimary is the test's until it ends, and then another's. One that a test
// failed with is not: who knows what is amiss with it.
func sharedPrimary(t testing.TB, kind primary.Kind) *primary.Primary {
	t.Helper()
	p, err := primaries.Lend(kind)
	must(t, err)
	t.Cleanup(func() {
		if !t.Failed() {
			primaries.GiveBack(p)
		}
	})
	return p
}

// ownPrimary is for a test that spoils it.
func ownPrimary(t testing.TB, kind primary.Kind) *primary.Primary {
	t.Helper()
	p, err := primary.New(kind)
	t.Cleanup(func() {
		if err := p.Destroy(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
