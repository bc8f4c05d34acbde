package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/reconcile"
)

// systemd plays the other end of sd_notify: what it hears is in the channel.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	heard := make(chan string, 100)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			select {
			case heard <- string(buf[:n]):
			default: // nobody listens any more
			}
		}
	}()
	return heard
}

// SIGTERM is how watch is meant to end, and SIGHUP how it is told to look again.
func TestWatchSignals(t *testing.T) {
	heard := systemd(t)
	r := &recorder{watch: func(ctx context.Context, o reconcile.WatchOptions) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		if s := <-o.Reload; s != syscall.SIGHUP {
			t.Errorf("reloads on %v", s)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		if got := <-heard; got != "STOPPING=1" { // before the step in hand has ended
			t.Errorf("systemd heard %q", got)
		}
		return ctx.Err()
	}}
	if status, _, stderr := invoke(t, r, "watch"); status != exitDone || stderr != "" {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

func TestWatchTellsSystemd(t *testing.T) {
	heard := systemd(t)
	r := &recorder{watch: func(_ context.Context, o reconcile.WatchOptions) error {
		for _, state := range []string{"READY=1\nSTATUS=converged", "RELOADING=1"} {
			if err := o.Notify(state); err != nil {
				return err
			}
		}
		return nil
	}}
	if status, _, stderr := invoke(t, r, "watch"); status != exitDone {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if got := <-heard; got != "READY=1\nSTATUS=converged" {
		t.Errorf("systemd heard %q", got)
	}
	if got := <-heard; !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") { // sd_notify(3)
		t.Errorf("systemd heard %q", got)
	}
}

func TestWatchPingsTheWatchdog(t *testing.T) {
	heard := systemd(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	r := &recorder{watch: func(context.Context, reconcile.WatchOptions) error {
		for range 3 {
			if got := <-heard; got != "WATCHDOG=1" {
				t.Errorf("systemd heard %q", got)
			}
		}
		return nil
	}}
	if status, _, stderr := invoke(t, r, "watch"); status != exitDone {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}
