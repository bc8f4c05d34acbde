package postgres

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zreconcile/zreconcile/postgres/conf"
)

// TestRunningServers finds a server by its postmaster alone, with its files, and
// no more once it was stopped.
func TestRunningServers(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	p, err := c.Process()
	if err != nil {
		t.Fatal(err)
	}
	ours := func() []RunningServer {
		list, err := RunningServers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list, func(s RunningServer) bool { return s.DataDir != c.DataDir })
	}
	list := ours()
	if len(list) != 1 || list[0].PID != p.PID || !strings.Contains(string(list[0].Files[conf.MainFile]), "max_connections") {
		t.Errorf("of process %d in %s were found: %+v", p.PID, c.DataDir, list)
	}
	if err := c.Stop(ctx, "fast"); err != nil {
		t.Fatal(err)
	}
	if list := ours(); len(list) != 0 {
		t.Errorf("a stopped server was found: %+v", list)
	}
}

// TestWrittenPostmasterPID waits for a file that was created and is not written
// yet, for no other fault, and not for ever. The time is that of synctest.
func TestWrittenPostmasterPID(t *testing.T) {
	const written = "4711\n/zp/data\n1600000000\n5432\n/run\n"
	for name, test := range map[string]struct {
		first, then string // in the file, and after a second; "-" is no file
		takes       time.Duration
		fails       string
		gone        bool
	}{
		"written":        {first: written},
		"created":        {first: "", then: written, takes: time.Second},
		"half a number":  {first: "47", then: written, takes: time.Second},
		"half a path":    {first: "4711\n/zp/da", then: written, takes: time.Second},
		"given up":       {first: "47", then: "-", takes: time.Second, gone: true},
		"not there":      {first: "-", gone: true},
		"never written":  {first: "47", then: "4711\n", takes: pidFileDeadline, fails: `"4711\n"`},
		"something else": {first: "lost\nfound\n", fails: `"lost"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				putPIDFile(t, dir, test.first)
				if test.takes > 0 {
					time.AfterFunc(time.Second-time.Millisecond, func() { putPIDFile(t, dir, test.then) })
				}
				p, err := writtenPostmasterPID(t.Context(), dir)
				switch took := time.Since(began); {
				case took != test.takes:
					t.Errorf("it took %s, want %s", took, test.takes)
				case errors.Is(err, fs.ErrNotExist) != test.gone:
					t.Errorf("is it gone? %v", err)
				case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)):
					t.Errorf("%v does not say %s", err, test.fails)
				case test.fails == "" && !test.gone && (err != nil || p.PID != 4711 || p.DataDir != "/zp/data"):
					t.Errorf("it is %+v (%v)", p, err)
				}
			})
		})
	}
}

// putPIDFile writes a postmaster.pid, or removes it.
func putPIDFile(t *testing.T, dir, content string) {
	file := filepath.Join(dir, "postmaster.pid")
	err := os.WriteFile(file, []byte(content), 0o600)
	if content == "-" {
		err = os.RemoveAll(file)
	}
	if err != nil {
		t.Error(err)
	}
}

// One that a power cut or a snapshot left is not waited for.
func TestWrittenPostmasterPIDThatIsLeft(t *testing.T) {
	dir := t.TempDir()
	putPIDFile(t, dir, "")
	old := time.Now().Add(-pidFileDeadline)
	if err := os.Chtimes(filepath.Join(dir, "postmaster.pid"), old, old); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pidFileDeadline/2)
	defer cancel()
	if _, err := writtenPostmasterPID(ctx, dir); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestWrittenPostmasterPIDIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	putPIDFile(t, dir, "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := writtenPostmasterPID(ctx, dir); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
