//go:build vm

package vm

import (
	"bufio"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/vm/wire"
)

// ground tells the tests where they are (e2e/ground_test.go).
var ground = []string{"CI=true", "ZRECONCILE_E2E_PROGRAM=/job/" + jobProgram, "ZRECONCILE_E2E_DISKS=/dev/disk/by-id/virtio-zr-disk*[0-9]", "ZRECONCILE_E2E_PATIENCE=4"}

// share is what one machine runs of the suite: a package's tests by a pattern.
type share struct{ name, pkg, pattern string }

// inTime are the shares that CI has time for: tests are about ten times slower
// here than on the host, where zfs-fuse and an older PostgreSQL have run them all.
var inTime = []share{ // the longest first
	{"clusters", "e2e", "^(TestWalkApart|TestOracleApart)"},
	{"faults", "e2e", "^TestFault"},
	{"zfs", "zfs", "."},
	{"storage", "e2e", "^TestOpenZFS"},
}

// TestSuite runs the tests of e2e that the pattern ZRECONCILE_VM_TESTS names, or
// those of ZRECONCILE_VM_PACKAGE, or else inTime. One that skips itself in the
// machine is a failure.
func TestSuite(t *testing.T) {
	t.Parallel()
	shares := inTime
	if pattern := os.Getenv("ZRECONCILE_VM_TESTS"); pattern != "" {
		shares = []share{{"e2e", "e2e", pattern}}
		if pkg := os.Getenv("ZRECONCILE_VM_PACKAGE"); pkg != "" {
			shares = []share{{pkg, pkg, pattern}}
		}
	}
	for _, s := range shares {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // a machine waits much
			m := boot(t, 8)
			t.Logf("%s", strings.TrimSpace(in(t, m, "zfs", "version")))
			s.run(t, m)
		})
	}
}

// timeThere ends before the time of the tests here does: it is in the machine that
// the goroutines tell what hangs. 0 is no limit.
func timeThere(t *testing.T) time.Duration {
	end, limited := t.Deadline()
	if !limited {
		return 0
	}
	return max(time.Until(end)-2*time.Minute, time.Second)
}

var outcome = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)

// run runs a share and shows what its tests print.
func (s share) run(t *testing.T, m *Machine) {
	t.Helper()
	lines, to := io.Pipe()
	count := map[string]int{}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for from := bufio.NewReader(lines); ; {
			line, err := from.ReadString('\n')
			if found := outcome.FindStringSubmatch(line); found != nil {
				count[found[1]]++
			}
			if err != nil {
				return
			}
		}
	}()
	argv := []string{"/job/" + TestBinary(s.pkg), "-test.v", "-test.timeout=" + timeThere(t).String(), "-test.parallel=1", "-test.run=" + s.pattern,
		"-test.skip=^(" + strings.Join(slices.Sorted(maps.Keys(elsewhere)), "|") + ")$"}
	err := m.Run(t.Context(), io.MultiWriter(t.Output(), to), wire.Request{Argv: argv, Dir: "/job/src/" + s.pkg, Env: ground})
	_ = to.Close()
	<-counted
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s: %d passed, %d failed, %d skipped", s.name, count["PASS"], count["FAIL"], count["SKIP"])
	if count["SKIP"] > 0 || count["PASS"] == 0 {
		t.Errorf("%d tests skipped themselves, %d passed", count["SKIP"], count["PASS"])
	}
}
