package postgres

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// zombie starts a process that ends and is not reaped before the test's end.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	for !isZombie(cmd.Process.Pid) {
		time.Sleep(time.Millisecond)
	}
	return cmd.Process.Pid
}

func TestClearZombie(t *testing.T) {
	pidFile := func(t *testing.T, pid int) (*Cluster, string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "postmaster.pid")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)+"\n"+dir+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return &Cluster{DataDir: dir}, file
	}
	t.Run("nobody works there", func(t *testing.T) {
		pid := zombie(t)
		c, file := pidFile(t, pid)
		sockets := t.TempDir()
		lock := filepath.Join(sockets, ".s.PGSQL.5499.lock")
		if err := os.WriteFile(lock, []byte(strconv.Itoa(pid)+"\n"+c.DataDir+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.clearZombie(context.Background(), Process{PID: pid, SocketDir: sockets, Port: 5499}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(lock); !os.IsNotExist(err) {
			t.Errorf("the lock of the socket is still there: %v", err)
		}
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("the pid file is still there: %v", err)
		}
	})
	t.Run("a child still works there", func(t *testing.T) {
		pid := zombie(t)
		c, file := pidFile(t, pid)
		child := exec.Command("sleep", "60")
		child.Dir = c.DataDir
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if err := c.clearZombie(ctx, Process{PID: pid}); err == nil {
			t.Error("no error while a process works there")
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the pid file was taken from under a living child: %v", err)
		}
	})
	t.Run("a living process", func(t *testing.T) {
		c, file := pidFile(t, os.Getpid())
		if err := c.clearZombie(context.Background(), Process{PID: os.Getpid()}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the pid file of a living process is gone: %v", err)
		}
	})
}
