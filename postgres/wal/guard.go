package wal

import (
	"log/slog"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Guard runs wal get so that no crash of the program reads as "there is no such
// file": Go exits 2 after a panic, which ends recovery and promotes a clone
// (pitfall 17). A panic becomes the exit code of any other failure. What cannot
// be recovered from, such as a lack of memory, aborts a clone's command by a
// signal, which PostgreSQL takes as fatal; for the live standby Go's own 2 is
// harmless.
func Guard(clone bool, f func() int) (code int) {
	if clone {
		debug.SetTraceback("crash")
		// An abort must not leave a core file in the data directory.
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	}
	defer func() {
		if p := recover(); p != nil {
			slog.Error("wal get crashed", "panic", p, "stack", string(debug.Stack()))
			code = 1
			if clone {
				code = 255
			}
		}
	}()
	return f()
}
