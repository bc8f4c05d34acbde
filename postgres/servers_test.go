package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A data directory is known by its files, and tells how its server was started.
func TestDataDirectoryTellsOfItself(t *testing.T) {
	dir := t.TempDir()
	if IsCluster(dir) {
		t.Error("an empty folder is taken for a data directory")
	}
	for _, folder := range []string{"global", "pg_tblspc", "pg_tblspc/1663"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"PG_VERSION": "15\n", "global/pg_control": "",
		"postmaster.opts": `/usr/lib/postgresql/15/bin/postgres "-D" "` + dir + `" "-c" "config_file=/etc/a b.conf"` + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"pg_wal": "/wal/", "pg_tblspc/16384": "/ts"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cluster{DataDir: dir}
	if !IsCluster(dir) || c.ConfigFile() != "/etc/a b.conf" {
		t.Errorf("its configuration file is %q", c.ConfigFile())
	}
	if diff := cmp.Diff([]string{"/usr/lib/postgresql/15/bin/postgres", "-D", dir, "-c", "config_file=/etc/a b.conf"}, c.StartedWith()); diff != "" {
		t.Error(diff)
	}
	storage, err := c.Storage()
	if diff := cmp.Diff(Storage{WALDir: "/wal", Tablespaces: map[string]string{"16384": "/ts"}}, storage); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if u, err := Owner(dir); err != nil || u.UID != uint32(os.Geteuid()) {
		t.Errorf("it belongs to %+v (%v)", u, err)
	}
	if (&Cluster{DataDir: dir + "/global"}).StartedWith() != nil {
		t.Error("without the file, it is known how the server was started")
	}
}

// The files of a server say what it was started with, included files and all.
func TestFileSettings(t *testing.T) {
	c := newServer(t)
	testWrite(t, c.User, filepath.Join(c.DataDir, "more.conf"), "cluster_name = 'a b'\n")
	main, err := os.ReadFile(filepath.Join(c.DataDir, "postgresql.conf"))
	if err != nil {
		t.Fatal(err)
	}
	testWrite(t, c.User, filepath.Join(c.DataDir, "postgresql.conf"), string(main)+"\ninclude 'more.conf'\n")
	want := map[string]string{"cluster_name": "a b", "archive_mode": "off"}
	if diff := cmp.Diff(want, c.FileSettings(testContext(t), "cluster_name", "archive_mode", "no_such_setting")); diff != "" {
		t.Error(diff)
	}
}
