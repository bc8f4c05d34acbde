package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

func text(n int) string { return strconv.Itoa(n) }

func has(list []string, s string) bool { return slices.Contains(list, s) }

// TestBasebackupRefusals tries to seed a standby where it can't or must not be:
// the reason is said, the code is the contract's, and the data directory
// afterwards is what it was before. All share one host with pool and datasets.
func TestBasebackupRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.run(t, "apply", "--only", "pool", "--only", "dataset").exits(t, exitDone)
	tests := []struct {
		name  string
		spoil func(t *testing.T, s *site)
		code  int
		says  []string
	}{
		{"wrong password", func(_ *testing.T, s *site) { s.Password = "wrong" }, exitFailed, []string{"password", text(s.Primary.Port)}},
		{"the primary is down", func(t *testing.T, s *site) {
			down := *s.Primary
			down.Port = freePort(t)
			s.Primary = &down
		}, exitFailed, []string{"127.0.0.1", "refused"}},
		{"no right to replicate", func(_ *testing.T, s *site) { s.User = "reader" }, exitFailed, []string{"replication"}},
		{"a dataset that the backup does not fit on", func(t *testing.T, s *site) {
			command(t, "zfs", "set", "refquota=8M", s.Name+"/data")
			t.Cleanup(func() { command(t, "zfs", "set", "refquota=none", s.Name+"/data") })
		}, exitRefused, []string{"fit"}},
		{"port in use", func(t *testing.T, s *site) {
			l, err := net.Listen("tcp", "127.0.0.1:"+text(s.Port))
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}, exitRefused, []string{text(s.Port), "use"}},
		{"another major version", wrongMajor, exitRefused, []string{"14", "major"}},
		{"a data directory of another cluster", func(t *testing.T, s *site) {
			s.asOSUser(t, "initdb", "-N", "-D", s.otherDataDir(t))
		}, exitRefused, []string{"system identifier"}},
		{"a data directory with strangers' files", func(t *testing.T, s *site) {
			must(t, os.WriteFile(filepath.Join(s.otherDataDir(t), "thesis.txt"), []byte("three years of work"), 0o644))
		}, exitRefused, []string{s.DataDir()}},
		{"the archive's dataset is not mounted", func(t *testing.T, s *site) { // pitfall 56
			command(t, "zfs", "set", "canmount=noauto", s.Name+"/wal")
			command(t, "zfs", "unmount", s.Name+"/wal")
			t.Cleanup(func() {
				command(t, "zfs", "set", "canmount=on", s.Name+"/wal")
				_, _ = tryCommand("zfs", "mount", s.Name+"/wal")
			})
		}, exitRefused, []string{"mounted", s.Name + "/wal"}},
		{"the data dataset is not mounted", func(t *testing.T, s *site) { // pitfall 56
			command(t, "zfs", "set", "canmount=noauto", s.Name+"/data")
			command(t, "zfs", "unmount", s.Name+"/data")
			t.Cleanup(func() {
				command(t, "zfs", "set", "canmount=on", s.Name+"/data")
				_, _ = tryCommand("zfs", "mount", s.Name+"/data")
			})
		}, exitRefused, []string{"mounted", s.Name + "/data"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spoilt := *s
			t.Cleanup(func() {
				s.write(t)
				must(t, os.RemoveAll(s.DataDir()))
			})
			test.spoil(t, &spoilt)
			spoilt.write(t)
			before := filesBelow(t, s.DataDir())
			r := spoilt.apply(t).exits(t, test.code).says(t, test.says...)
			for _, c := range r.plan(t).Changes {
				if c.Result == "done" && (c.Kind == "basebackup" || c.Kind == "standby") {
					t.Errorf("%s %s/%s was done all the same", c.Action, c.Kind, c.Name)
				}
			}
			if diff := cmp.Diff(before, filesBelow(t, s.DataDir())); diff != "" {
				t.Errorf("the data directory changed:\n%s", diff)
			}
		})
	}
}

// otherDataDir makes the data directory for somebody else, before us.
func (s *site) otherDataDir(t *testing.T) string {
	t.Helper()
	must(t, os.MkdirAll(s.DataDir(), 0o700))
	command(t, "chown", "postgres:postgres", s.DataDir())
	return s.DataDir()
}

// wrongMajor names a folder of server programs that call themselves 14.
func wrongMajor(t *testing.T, s *site) {
	t.Helper()
	s.BinDir = filepath.Join(s.Dir, "pg14")
	must(t, os.MkdirAll(s.BinDir, 0o755))
	for _, name := range []string{"postgres", "pg_ctl", "pg_basebackup", "pg_controldata", "pg_verifybackup", "pg_waldump", "psql"} {
		says := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) 14.9'\n", name)
		must(t, os.WriteFile(filepath.Join(s.BinDir, name), []byte(says), 0o755))
	}
}

// filesBelow maps each file of a folder that may be missing to its size.
func filesBelow(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil
		case err != nil:
			return err
		case !info.IsDir():
			files[path] = info.Size()
		default:
			files[path] = -1
		}
		return nil
	})
	must(t, err)
	return files
}

// TestDeviceRefusals offers devices that hold something: not a byte of them
// changes, and no pool is made.
func TestDeviceRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(t *testing.T, s *site)
		says  []string
	}{
		{"a file system", func(t *testing.T, s *site) { command(t, "mkfs.ext4", "-q", "-F", s.Vdev) }, []string{"ext4", "overwrite"}},
		{"another pool's label", labelled, []string{"label"}}, // pitfall 55
		{"another pool's label, named in overwrite", func(t *testing.T, s *site) { // pitfall 55
			labelled(t, s)
			s.PoolMore = "  overwrite: [" + s.Vdev + "]\n"
			s.write(t)
		}, []string{"label"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, sharedPrimary(t, primary.Plain))
			resizeVdev(t, s.Vdev, 128<<20) // each of its bytes is read twice
			test.spoil(t, s)
			before := command(t, "sha256sum", s.Vdev)
			s.plan(t).exits(t, exitRefused)
			r := s.apply(t).exits(t, exitRefused).says(t, append(test.says, s.Vdev)...)
			if !r.plan(t).has("block", "pool") {
				t.Errorf("the pool is not blocked in %v", r)
			}
			if command(t, "sha256sum", s.Vdev) != before {
				t.Errorf("%s was written to", s.Vdev)
			}
			if _, err := tryCommand("zpool", "list", s.Name); err == nil {
				t.Error("the pool was made")
			}
		})
	}
}

func labelled(t *testing.T, s *site) {
	t.Helper()
	other := s.Name + "other"
	made.pool(t, other)
	command(t, "zpool", "create", "-m", "none", other, s.Vdev)
	command(t, "zpool", "export", other)
}

func TestOverwriteIsConsent(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	command(t, "mkfs.ext4", "-q", "-F", s.Vdev)
	s.PoolMore = "  overwrite: [" + s.Vdev + "]\n"
	s.write(t)
	s.run(t, "apply", "--only", "pool").exits(t, exitDone)
	command(t, "zpool", "list", s.Name)
}

// TestCreationOnlyRefusals changes in the file what only a new pool or dataset
// can have; a person decides, with the two values before them.
func TestCreationOnlyRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.run(t, "apply", "--only", "pool", "--only", "dataset").exits(t, exitDone)
	tests := []struct {
		name  string
		spoil func(s *site)
		kind  string
		says  []string
	}{
		{"a dataset's creation-only property", func(s *site) { s.DataProperties = ", normalization: formD" }, "dataset", []string{"normalization", "formD", "none"}},
		{"other vdevs", func(s *site) { s.Vdev += "2" }, "pool", []string{s.Vdev, s.Vdev + "2", "zpool"}},
		{"the pool's sector size", func(s *site) { s.PoolMore = "  properties: {ashift: 13}\n" }, "pool", []string{"ashift", "13"}}, // pitfall 6
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			spoilt := *s
			t.Cleanup(func() { s.write(t) })
			test.spoil(&spoilt)
			spoilt.write(t)
			history := command(t, "zpool", "history", s.Name)
			r := spoilt.run(t, "apply", "-o", "json", "--only", test.kind).exits(t, exitRefused).says(t, test.says...)
			if !r.plan(t).has("block", test.kind) {
				t.Errorf("no %s is blocked in %v", test.kind, r)
			}
			if command(t, "zpool", "history", s.Name) != history {
				t.Error("the pool was changed")
			}
		})
	}
}

// TestABlockOfThePoolHoldsNothingUp: a pool that is not as the file has it holds the
// standby all the same. Stopping for that would cost snapshots.
func TestABlockOfThePoolHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.run(t, "apply", "--only", "pool").exits(t, exitDone)
	s.PoolMore = "  properties: {ashift: 13}\n"
	s.write(t)
	s.apply(t).exits(t, exitRefused)
	if changes := s.plan(t).exits(t, exitRefused).plan(t).changes(); !slices.Equal(changes, []string{"block pool/" + s.Name}) {
		t.Errorf("the plan after an apply is %q", changes)
	}
	if len(s.snapshotNames(t)) != 1 {
		t.Error("no snapshot was taken")
	}
}

// TestHostRefusals needs no pool: what is wrong is found before one is made.
func TestHostRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		run  func(t *testing.T, s *site) result
		code []int
		says []string
	}{
		{"not root", func(t *testing.T, s *site) result {
			return zreconcileAs(t, "nobody", "apply", "-f", s.File())
		}, []int{exitFailed}, []string{"root"}},
		{"the password file is missing", func(t *testing.T, s *site) result {
			must(t, os.Remove(filepath.Join(s.Dir, "password")))
			return s.run(t, "apply")
		}, []int{exitFailed}, []string{"password", "no such file"}},
		{"the spec is missing", func(t *testing.T, _ *site) result {
			return zreconcile(t, "apply", "-f", "/nonexistent/site.yaml")
		}, []int{exitFailed, exitInvalid}, []string{"/nonexistent/site.yaml"}},
		{"the spec is invalid", func(t *testing.T, s *site) result {
			s.DataProperties = "}\n    propertys: {a: b"
			s.write(t)
			return s.run(t, "apply")
		}, []int{exitInvalid}, []string{"propertys", "properties", "site.yaml:"}},
		{"the mountpoint holds files", func(t *testing.T, s *site) result {
			must(t, os.MkdirAll(s.DataMount, 0o755))
			must(t, os.WriteFile(filepath.Join(s.DataMount, "thesis.txt"), []byte("three years of work"), 0o644))
			return s.run(t, "apply")
		}, []int{exitFailed, exitRefused}, []string{"/data"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, sharedPrimary(t, primary.Plain))
			test.run(t, s).exits(t, test.code...).says(t, test.says...)
			if _, err := os.Stat(filepath.Join(s.DataDir(), "PG_VERSION")); err == nil {
				t.Error("a base backup was made")
			}
		})
	}
}
