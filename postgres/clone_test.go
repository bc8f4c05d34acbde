package postgres

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeClone is a folder with what a snapshot of a running standby holds, seen
// from outside; no server is needed to make it harmless.
func fakeClone(t *testing.T) (c *Cluster, mount string) {
	u := testUser(t)
	mount = testFolder(t)
	c = &Cluster{DataDir: filepath.Join(mount, "data"), User: u}
	for _, dir := range []string{"", "pg_tblspc", "pg_wal", "pg_replslot/live_slot", "pg_stat_tmp", "base"} {
		testMkdir(t, u, filepath.Join(c.DataDir, dir))
	}
	for name, content := range map[string]string{
		"PG_VERSION":     "15\n",
		"postmaster.pid": fmt.Sprintf("%d\n/zpdata01/data\n1600000000\n1922\n", os.Getpid()), "postmaster.opts": "postgres -D /zpdata01/data\n",
		"standby.signal": "", "promote": "", "current_logfiles": "stderr log/x\n",
		"pg_replslot/live_slot/state": "x", "pg_stat_tmp/global.stat": "x",
		"postgresql.conf": "archive_command = 'live'\n", "postgresql.auto.conf": "primary_conninfo = 'live'\n",
		".s.PGSQL.1922.lock": "1\n",
	} {
		testWrite(t, u, filepath.Join(c.DataDir, name), content)
	}
	l, err := net.Listen("unix", filepath.Join(c.DataDir, ".s.PGSQL.1922"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	return c, mount
}

var cloneFiles = map[string][]byte{
	"postgresql.conf": []byte("archive_mode = off\n"), "postgresql.auto.conf": nil,
	"pg_hba.conf": []byte("local all all peer\n"), "pg_ident.conf": nil,
}

func testSymlink(t *testing.T, target, path string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

func TestPitfall26_CloneIsMadeHarmless(t *testing.T) {
	c, mount := fakeClone(t)
	for range 2 { // the second time changes nothing
		if err := c.MakeHarmless(t.Context(), CloneOptions{Mountpoint: mount, Files: cloneFiles}); err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"postmaster.pid", "postmaster.opts", "standby.signal", "promote", "current_logfiles",
			"pg_replslot/live_slot", "pg_stat_tmp/global.stat", ".s.PGSQL.1922", ".s.PGSQL.1922.lock"} {
			if _, err := os.Lstat(filepath.Join(c.DataDir, gone)); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", gone, err)
			}
		}
		for name, content := range cloneFiles {
			isFile(t, c, name, string(content))
		}
		isFile(t, c, "recovery.signal", "")
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, "pg_replslot")); err != nil {
		t.Error(err) // the server needs the folder
	}
}

func isFile(t *testing.T, c *Cluster, name, content string) {
	t.Helper()
	path := filepath.Join(c.DataDir, name)
	info, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != content || info.Mode() != 0o600 || !owned(info, c.User) {
		t.Errorf("%s: mode %v, content %q, %v", name, info.Mode(), b, err)
	}
}

func TestPlantedLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{"postmaster.pid", "postgresql.conf", "recovery.signal", "pg_hba.conf", "pg_replslot", "log", "current_logfiles"} {
		t.Run(name, func(t *testing.T) {
			c, mount := fakeClone(t)
			victims := testFolder(t)
			victim := filepath.Join(victims, "victim")
			if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
				t.Fatal(err)
			}
			target := victim
			if name == "pg_replslot" || name == "log" {
				target = victims
			}
			testSymlink(t, target, filepath.Join(c.DataDir, name))
			err := c.MakeHarmless(t.Context(), CloneOptions{Mountpoint: mount, Files: cloneFiles})
			if err != nil && name != "postmaster.pid" { // there a refusal is as good
				t.Error(err)
			}
			info, err := os.Stat(victim)
			if err != nil || info.Mode() != 0o644 || owned(info, c.User) || info.Size() != 8 {
				t.Errorf("the file that the link leads to is now %v, %v", info, err)
			}
			if info, err := os.Lstat(filepath.Join(c.DataDir, name)); err == nil && info.Mode()&os.ModeSymlink != 0 && name != "postmaster.pid" {
				t.Errorf("%s is still a link", name)
			}
		})
	}
	t.Run("the data directory itself", func(t *testing.T) {
		c, mount := fakeClone(t)
		live, _ := fakeClone(t)
		testSymlink(t, live.DataDir, c.DataDir)
		if err := c.MakeHarmless(t.Context(), CloneOptions{Mountpoint: mount, Files: cloneFiles}); err == nil {
			t.Error("the link was followed")
		}
		if _, err := os.Stat(filepath.Join(live.DataDir, "standby.signal")); err != nil {
			t.Errorf("the live directory was changed: %v", err)
		}
	})
}

func TestPitfall27_StorageLinksLeadIntoTheClone(t *testing.T) {
	c, mount := fakeClone(t)
	testSymlink(t, "/live/wal/pg_wal", filepath.Join(c.DataDir, "pg_wal"))
	testSymlink(t, "/live/ts/a", filepath.Join(c.DataDir, "pg_tblspc/16384"))
	testSymlink(t, "/live/ts", filepath.Join(c.DataDir, "pg_tblspc/16385"))
	testMkdir(t, c.User, filepath.Join(c.DataDir, "pg_tblspc/16386")) // in place
	o := CloneOptions{Mountpoint: mount, Files: cloneFiles, Links: map[string]string{
		"/live": "/clone/other", "/live/wal": "/clone/wal", "/live/ts": "/live/clones/ts",
	}}
	for range 2 {
		if err := c.MakeHarmless(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"pg_wal": "/clone/wal/pg_wal", "pg_tblspc/16384": "/live/clones/ts/a", "pg_tblspc/16385": "/live/clones/ts"} {
			if got, err := os.Readlink(filepath.Join(c.DataDir, name)); err != nil || got != want {
				t.Errorf("%s leads to %s, want %s; %v", name, got, want, err)
			}
		}
	}
}

func TestClonesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(t *testing.T, c *Cluster)
		words string
	}{
		"pitfall 27: a tablespace that was not cloned": {func(t *testing.T, c *Cluster) {
			testSymlink(t, "/live/tsother", filepath.Join(c.DataDir, "pg_tblspc/1"))
		}, "/live/tsother"},
		"a relative tablespace":      {func(t *testing.T, c *Cluster) { testSymlink(t, "../x", filepath.Join(c.DataDir, "pg_tblspc/1")) }, "../x"},
		"a linked folder of data":    {func(t *testing.T, c *Cluster) { testSymlink(t, "/etc", filepath.Join(c.DataDir, "base")) }, "/etc"},
		"pitfall 14: a backup_label": {func(t *testing.T, c *Cluster) { testWrite(t, c.User, filepath.Join(c.DataDir, "backup_label"), "x") }, "backup_label"},
	} {
		t.Run(name, func(t *testing.T) {
			c, mount := fakeClone(t)
			test.plant(t, c)
			err := c.MakeHarmless(t.Context(), CloneOptions{Mountpoint: mount, Files: cloneFiles, Links: map[string]string{"/live/ts": "/clone/ts"}})
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("the error is %v, and should tell %q", err, test.words)
			}
			if _, err := os.Lstat(filepath.Join(c.DataDir, "postmaster.pid")); err != nil {
				t.Errorf("it was changed before it was refused: %v", err)
			}
		})
	}
	t.Run("a running server", func(t *testing.T) {
		c := newServer(t)
		if err := c.MakeHarmless(t.Context(), CloneOptions{Files: cloneFiles}); err == nil || !strings.Contains(err.Error(), "stop it first") {
			t.Errorf("the error is %v", err)
		}
		if p, err := c.Process(); err != nil || !p.Running {
			t.Errorf("the server is %+v, %v", p, err)
		}
	})
	t.Run("a file outside", func(t *testing.T) {
		c, mount := fakeClone(t)
		if err := c.MakeHarmless(t.Context(), CloneOptions{Mountpoint: mount, Files: map[string][]byte{"../x": nil}}); err == nil {
			t.Error("../x was written")
		}
	})
}
