package postgres

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// runMortal runs a program whose work is lost when we are gone, and lets it end
// with us, by a kill -9 of ours as well. So must what it started itself:
// pg_basebackup's child that receives WAL never notices that its parent died,
// and would hold our lock and a connection of the primary for good. In a
// process namespace of its own the program is the first process, with which the
// kernel ends all others (manual page pid_namespaces).
//
// prepare is asked once more where namespaces are not allowed, as in a
// container; then only the program itself ends with us.
func (r Runner) runMortal(prepare func() *exec.Cmd) error {
	// The signal comes with the end of the thread that started the program
	// (manual page PR_SET_PDEATHSIG): ours must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := prepare()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	err := r.run(cmd)
	if cmd.Process != nil || !errors.Is(err, syscall.EPERM) {
		return err
	}
	cmd = prepare()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return r.run(cmd)
}
