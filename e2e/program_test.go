package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// Exit codes of the contract.
const (
	exitDone    = 0
	exitFailed  = 1
	exitPending = 2
	exitInvalid = 3
	exitRefused = 4
	exitLocked  = 5
)

// patience bounds one run of the program, and each wait for something that
// happens by itself. A run that takes this long hangs.
var patience = primary.Patience(3 * time.Minute)

// result is what one run of the program left.
type result struct {
	Args   []string
	Stdout string
	Stderr string
	Code   int
}

func (r result) String() string {
	return fmt.Sprintf("zreconcile %s: exit %d\n--- stdout\n%s--- stderr\n%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
}

// zreconcile runs the program as root; zreconcileAs as somebody else.
func zreconcile(t testing.TB, args ...string) result {
	t.Helper()
	return zreconcileAs(t, "root", args...)
}

func zreconcileAs(t testing.TB, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := prepared(ctx, args...)
	if name != "root" {
		credential, err := primary.Credential(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second // a server that held our pipes open is a fault of its own
	err := cmd.Run()
	r := result{Args: args, Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", r, err)
	}
	return r
}

// prepared is the program in the environment of a rescue system: next to none.
func prepared(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "NO_COLOR=1"}
	return cmd
}

// background is a run of the program that goes on beside the test.
type background struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // to be read after ended
	ended  chan struct{} // closed when it has
}

// start starts a command on this site; what still runs after the test is killed.
func (s *site) start(t testing.TB, command string, args ...string) *background {
	t.Helper()
	return s.startWith(t, nil, command, args...)
}

// startWith is start with a file for stdout; nil leaves it to the output.
func (s *site) startWith(t testing.TB, stdout *os.File, command string, args ...string) *background {
	t.Helper()
	return s.startTo(t, stdout, nil, command, args...)
}

// startLogging is start with a file for the log.
func (s *site) startLogging(t testing.TB, log *os.File, command string, args ...string) *background {
	t.Helper()
	return s.startTo(t, nil, log, command, args...)
}

func (s *site) startTo(t testing.TB, stdout, stderr *os.File, command string, args ...string) *background {
	t.Helper()
	b := &background{ended: make(chan struct{})}
	b.cmd = prepared(context.Background(), append([]string{command, "-f", s.File()}, args...)...)
	b.cmd.Stdout, b.cmd.Stderr = &b.output, &b.output
	if stdout != nil {
		b.cmd.Stdout = stdout
	}
	if stderr != nil {
		b.cmd.Stderr = stderr
	}
	b.cmd.WaitDelay = 10 * time.Second
	must(t, b.cmd.Start())
	go func() {
		_ = b.cmd.Wait() // its code is in ProcessState
		close(b.ended)
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		<-b.ended
		if t.Failed() {
			t.Logf("%s said:\n%s", command, b.output.String())
		}
	})
	return b
}

// over says whether it has ended.
func (b *background) over() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// ends waits for the end and fails the test unless it is with the code.
func (b *background) ends(t testing.TB, code int) {
	t.Helper()
	eventually(t, "end of "+b.cmd.String(), b.over)
	if got := b.cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("%s: exit %d, want %d", b.cmd, got, code)
	}
}

// exits fails the test unless the run ended with one of the codes.
func (r result) exits(t testing.TB, codes ...int) result {
	t.Helper()
	for _, c := range codes {
		if r.Code == c {
			return r
		}
	}
	t.Fatalf("want exit %v of %v", codes, r)
	return r
}

// says fails the test unless each text stands in what was printed.
func (r result) says(t testing.TB, texts ...string) result {
	t.Helper()
	all := strings.ToLower(r.Stdout + r.Stderr)
	for _, text := range texts {
		if !strings.Contains(all, strings.ToLower(text)) {
			t.Errorf("%q is not said by %v", text, r)
		}
	}
	return r
}

// planJSON is `plan -o json` and `apply -o json`, as the contract words them.
type planJSON struct {
	Format    int
	Site      string
	Converged *bool
	Changes   []changeJSON
	Summary   map[string]int
	Next      *time.Time
}

type changeJSON struct {
	Kind, Name, Action, Why string
	Line                    int
	Attrs                   []struct{ Name, Before, After string }
	Result, Error           string
}

// changes lists what differs as "action kind/name".
func (p planJSON) changes() []string {
	list := []string{}
	for _, c := range p.Changes {
		list = append(list, c.Action+" "+c.Kind+"/"+c.Name)
	}
	return list
}

// has says whether a change of that action and kind is in the plan.
func (p planJSON) has(action, kind string) bool {
	for _, c := range p.Changes {
		if c.Action == action && c.Kind == kind {
			return true
		}
	}
	return false
}

func (r result) plan(t testing.TB) planJSON {
	t.Helper()
	var p planJSON
	r.decode(t, &p)
	if p.Format != 1 || p.Changes == nil || p.Summary == nil || p.Converged == nil {
		t.Fatalf("a part of the plan is missing in %v", r)
	}
	count := map[string]int{}
	for _, c := range p.Changes {
		count[c.Action]++
		if c.Why == "" {
			t.Errorf("%s %s/%s says no why", c.Action, c.Kind, c.Name)
		}
	}
	for _, action := range []string{"create", "update", "replace", "delete", "start", "stop", "block"} {
		if n, ok := p.Summary[action]; !ok || n != count[action] {
			t.Errorf("the summary says %d of %s, the changes are %d", n, action, count[action])
		}
	}
	return p
}

// statusJSON is the part of `status -o json` that the tests read.
type statusJSON struct {
	Format  int
	Site    string
	Standby struct {
		Running          bool
		SystemIdentifier string
		Timeline         int
		ReceivedLSN      string
		ReplayedLSN      string
		LagBytes         *int64
		PendingRestart   []string
		ArchiverFailing  string

		Slot              string
		SlotRetainedBytes *int64
	}
	Archive struct {
		Segments int
		Gaps     []json.RawMessage
	}
	Snapshots []struct {
		Name, GUID, RedoLSN string
		TakenAt             time.Time
		KeptBy              []string
		Earliest, Latest    *struct {
			LSN  string
			Time *time.Time
		}
		LatestWhy string
		Verified  *struct {
			At       time.Time
			OK       bool
			Findings []string
		}
	}
	LastDrill *struct {
		At       time.Time
		OK       bool
		Snapshot string
	}
	Windows  []struct{ From, To time.Time }
	Restores []struct {
		Name, State, Snapshot, Connect string
		Port                           int
		Reached                        *struct {
			LSN  string
			Time *time.Time
		}
	}
}

func (r result) decode(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		t.Fatalf("stdout is not JSON alone: %v: %v", err, r)
	}
}
