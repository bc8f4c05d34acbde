package postgres

import (
	"fmt"
	"os/exec"
	"syscall"
	"testing"
)

// Where process namespaces are not allowed, as in a container, the program runs
// all the same, and still ends with us. That nothing is left after a kill -9 is
// held by TestKilledApplyIsRunAgain of e2e.
func TestMortalWithoutNamespaces(t *testing.T) {
	var tried []uintptr
	var runner Runner = func(cmd *exec.Cmd) error {
		if cmd.SysProcAttr.Pdeathsig != syscall.SIGKILL {
			t.Error("it would outlive us")
		}
		tried = append(tried, cmd.SysProcAttr.Cloneflags)
		if cmd.SysProcAttr.Cloneflags != 0 {
			return fmt.Errorf("fork/exec: %w", syscall.EPERM)
		}
		return cmd.Run()
	}
	err := runner.runMortal(func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "true")
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		return cmd
	})
	if err != nil || len(tried) != 2 || tried[0] != syscall.CLONE_NEWPID {
		t.Errorf("%v, tried with %v", err, tried)
	}
}
