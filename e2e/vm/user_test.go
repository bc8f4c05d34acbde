//go:build vm

package vm

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/vm/wire"
)

// patience is for what comes by itself: the machine is slow, and its host may be
// busy with others.
const patience = 4 * time.Minute

// The versions of the package that the user's machine sees, in their order.
const (
	olderVersion = "v0.1.0"
	newerVersion = "v0.1.1"
)

const (
	watchUnit   = "zreconcile.service"
	standbyUnit = "zreconcile-vm.service"
	restoreUnit = "zreconcile-vm@back.service"
	primaryPort = "5432"
	standbyPort = "5433"
	restorePort = "5434"
	password    = "s3cret of the primary"
	secretFile  = "/etc/zreconcile/primary.password"
	credential  = "primary-password"
)

// siteFile is what the user wrote; restores come later.
const siteFile = `version: 1
site: vm
pool:
  name: tank
  vdevs: [{devices: [/dev/disk/by-id/virtio-zr-disk0]}]
  rootProperties: {canmount: off}
datasets:
  - name: data
    properties: {mountpoint: /tank/data, recordsize: 8K, atime: off}
  - name: wal
    properties: {mountpoint: /tank/wal, compression: on}
standby:
  dataDir: /tank/data/pgdata
  port: ` + standbyPort + `
  primary: {host: 127.0.0.1, port: ` + primaryPort + `, user: replicator, passwordFrom: {credential: ` + credential + `}}
  conf: {set: {shared_buffers: 16MB}}
archive: {dir: /tank/wal/archive}
snapshots: {every: 1m, retention: {last: 3}}
restoreDefaults: {conf: {set: {shared_buffers: 16MB}}, grace: 0s}
`

// user is somebody at the machine who has installed the package.
type user struct {
	*Machine
	rows int // how many the primary has
}

// newUser boots a machine with a primary that comes back at boot, and installs
// the older version of the package.
func newUser(t *testing.T) *user {
	t.Helper()
	job := filepath.Join(t.TempDir(), "job")
	if err := PackageJob(t.Context(), "../..", job, olderVersion, newerVersion); err != nil {
		t.Fatal(err)
	}
	u := &user{Machine: bootWith(t, job, 1)}
	// The index of manual pages is of no use here, and takes a minute.
	u.does(t, "dpkg", "--no-triggers", "--install", "/job/"+olderVersion+".deb")
	version := filepath.Base(strings.TrimSpace(u.does(t, "sh", "-c", "ls -d /usr/lib/postgresql/*")))
	u.does(t, "pg_createcluster", "--port="+primaryPort, version, "primary", "--", "--no-sync")
	u.does(t, "systemctl", "enable", "--quiet", "--now", "postgresql@"+version+"-primary.service")
	u.onPrimary(t, "CREATE ROLE replicator LOGIN REPLICATION PASSWORD '"+password+"'")
	u.onPrimary(t, "CREATE TABLE steps (n int)")
	return u
}

// try runs a program in the machine.
func (u *user) try(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	// Where the watch of the unit reads its password, for runs by hand.
	err := u.Run(t.Context(), &out, wire.Request{Argv: argv, Env: []string{"CREDENTIALS_DIRECTORY=/run/credentials/" + watchUnit}})
	return strings.TrimSpace(out.String()), err
}

// does runs a program that must succeed.
func (u *user) does(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := u.try(t, argv...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// writes replaces a file as an editor does.
func (u *user) writes(t *testing.T, path, content, mode string) {
	t.Helper()
	argv := []string{"install", "-D", "--mode=" + mode, "/dev/stdin", path + ".new"}
	if err := u.Run(t.Context(), &bytes.Buffer{}, wire.Request{Argv: argv, Stdin: []byte(content)}); err != nil {
		t.Fatal(err)
	}
	u.does(t, "mv", path+".new", path)
}

// eventually waits for what comes by itself.
func (u *user) eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	for ; !done(); time.Sleep(500 * time.Millisecond) {
		if time.Since(began) > patience {
			status, _ := u.try(t, "systemctl", "status", "--no-pager", "--lines=30", watchUnit, standbyUnit, restoreUnit)
			t.Fatalf("waited %v for %s\n%s", patience, what, status)
		}
	}
	t.Logf("%.0f s for %s", time.Since(began).Seconds(), what)
}

// ask is one value from a server on this machine, as the OS user.
func (u *user) ask(t *testing.T, socketDir, port, query string) (string, error) {
	t.Helper()
	return u.try(t, "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", socketDir, "-p", port, "-c", query)
}

func (u *user) onPrimary(t *testing.T, query string) string {
	t.Helper()
	out, err := u.ask(t, "/var/run/postgresql", primaryPort, query)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func (u *user) onStandby(t *testing.T, query string) (string, error) {
	t.Helper()
	return u.ask(t, "/run/zreconcile/vm", standbyPort, query)
}

const steps = "SELECT string_agg(n::text, ' ' ORDER BY n) FROM steps"

// commits one more row and waits until the standby has it, streamed.
func (u *user) commits(t *testing.T) {
	t.Helper()
	u.rows++
	u.onPrimary(t, fmt.Sprintf("INSERT INTO steps VALUES (%d)", u.rows))
	u.follows(t)
}

// follows wants that the standby streams and holds all that was committed.
func (u *user) follows(t *testing.T) {
	t.Helper()
	var rows []string
	for n := range u.rows {
		rows = append(rows, fmt.Sprint(n+1))
	}
	want := "streaming|" + strings.Join(rows, " ")
	u.eventually(t, "the standby to stream all rows", func() bool {
		got, err := u.onStandby(t, "SELECT status, ("+steps+") FROM pg_stat_wal_receiver")
		return err == nil && got == want
	})
	if got, err := u.onStandby(t, "SELECT pg_is_in_recovery()"); err != nil || got != "t" {
		t.Errorf("is the standby in recovery? %s %v", got, err)
	}
}

// restored wants that the restore runs with just what it had at its target.
func (u *user) restored(t *testing.T) {
	t.Helper()
	u.eventually(t, "the restore to answer as of its target", func() bool {
		got, err := u.ask(t, "/run/zreconcile/vm/back", restorePort, steps)
		return err == nil && got == "1 2"
	})
}

// converged wants a watch that has come to rest, and a plan by hand with nothing to
// do. Another snapshot may fall due just now, so both are asked again.
func (u *user) converged(t *testing.T) {
	t.Helper()
	u.eventually(t, "the watch to say that all is converged", func() bool {
		return u.property(t, watchUnit, "ActiveState") == "active" && strings.HasPrefix(u.property(t, watchUnit, "StatusText"), "converged")
	})
	u.eventually(t, "a plan without changes", func() bool {
		_, err := u.try(t, "zreconcile", "plan", "--detailed-exitcode")
		return err == nil
	})
}

// snapshots wants that one was taken since the machine booted.
func (u *user) snapshots(t *testing.T) {
	t.Helper()
	booted := strings.TrimPrefix(u.does(t, "grep", "btime", "/proc/stat"), "btime ")
	u.eventually(t, "a snapshot that is due", func() bool {
		taken := strings.Fields(u.does(t, "zfs", "list", "-Hp", "-t", "snapshot", "-o", "creation", "-S", "creation", "tank/data"))
		return len(taken) > 0 && taken[0] >= booted // seconds since 1970 are of one length
	})
}

func (u *user) property(t *testing.T, unit, name string) string {
	t.Helper()
	return u.does(t, "systemctl", "show", "--property="+name, "--value", unit)
}

// servers are the postmasters by their units, with when they were started: a process
// ID alone may be given again.
func (u *user) servers(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, unit := range []string{standbyUnit, restoreUnit} {
		pid := u.property(t, unit, "MainPID")
		all[unit] = u.does(t, "ps", "-o", "pid=,lstart=,comm=", "-p", pid)
	}
	return all
}

// leaves wants that something happens and that no server is another one after it,
// once a watch has come to rest.
func (u *user) leaves(t *testing.T, happens func()) {
	t.Helper()
	before := u.servers(t)
	happens()
	u.converged(t)
	if after := u.servers(t); !maps.Equal(before, after) {
		t.Errorf("servers were %v, and are %v", before, after)
	}
	u.commits(t)
	u.restored(t)
}
