package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// TestOtherMajors goes the way from a copy of the primary to a promoted restore
// with each major version of PostgreSQL but this host's own, which the other
// tests have: both servers are real.
//
// The packages hold initdb, pg_ctl and postgres. pg_basebackup and
// pg_verifybackup are this host's, which serve primaries of their own version
// and older ones; where the primary is newer, a stopped copy of it is adopted.
func TestOtherMajors(t *testing.T) {
	t.Parallel()
	own, ownDir, err := servers.Own()
	must(t, err)
	servers.Each(t, func(t *testing.T, major int, binDir string) {
		if major == own {
			return
		}
		programs := programsOf(t, binDir, ownDir)
		p, err := primary.NewPlain(primary.Options{BinDir: programs, SegmentMB: 1})
		t.Cleanup(func() {
			if err := p.Destroy(); err != nil {
				t.Error(err)
			}
		})
		must(t, err)
		s := newSite(t, p)
		s.BinDir = programs
		s.Slot = "zr"
		s.write(t)
		if major > own {
			s.seed(t)
		}
		s.converges(t)
		s.isServedBy(t, major)
		s.restoresAndPromotes(t)
		s.staysConverged(t)
	})
}

// readsOther is pg_controldata for a file of another version: the layout is the
// same from 12 to 17, and 18 has one more byte (default_char_signedness) behind
// all that is read here but the checksum, which this host's program then does
// not find. Reference: src/include/catalog/pg_control.h.
const readsOther = `#!/bin/sh
said=$(%s/pg_controldata "$@" 2>&1) || { code=$?; printf '%%s\n' "$said" >&2; exit "$code"; }
printf '%%s\n' "$said" | sed '/alculated CRC checksum does not match/d; /^pg_controldata: detail: /d; /^Either the file is corrupt/d; /^is expecting/d'
`

// programsOf is a folder with the programs of a server, and the rest from this
// host's own.
func programsOf(t *testing.T, server, own string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zrb")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		must(t, os.Symlink(filepath.Join(server, name), filepath.Join(dir, name)))
	}
	for _, name := range []string{"pg_basebackup", "pg_verifybackup"} {
		must(t, os.Symlink(filepath.Join(own, name), filepath.Join(dir, name)))
	}
	must(t, os.WriteFile(filepath.Join(dir, "pg_controldata"), fmt.Appendf(nil, readsOther, own), 0o755))
	return dir
}

// seed makes a standby by hand where the site's will be: a copy of the stopped
// primary, which has streamed once and was stopped.
func (s *site) seed(t *testing.T) {
	t.Helper()
	s.run(t, "apply", "-o", "json", "--only", "pool", "--only", "dataset").exits(t, exitDone)
	must(t, s.Primary.Stop())
	if out, err := exec.Command("cp", "-a", s.Primary.DataDir, s.DataDir()).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	must(t, s.Primary.Start())
	signal := filepath.Join(s.DataDir(), "standby.signal")
	must(t, os.WriteFile(signal, nil, 0o600))
	credential, err := primary.Credential(primary.OSUser)
	must(t, err)
	must(t, os.Chown(signal, int(credential.Uid), int(credential.Gid)))
	conninfo := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s", s.Primary.Port, s.Primary.User, s.Password)
	s.asOSUser(t, "pg_ctl", "start", "-D", s.DataDir(), "-w", "-l", filepath.Join(s.DataDir(), "byhand.log"),
		"-o", fmt.Sprintf("-c port=%d -c primary_conninfo='%s'", s.Port, conninfo))
	s.asOSUser(t, "pg_ctl", "stop", "-D", s.DataDir(), "-w")
	must(t, s.Primary.Exec("SELECT pg_create_physical_replication_slot('"+s.Slot+"', true)"))
}

func (s *site) isServedBy(t *testing.T, major int) {
	t.Helper()
	for of, number := range map[string]string{
		"primary": s.onPrimary(t, "SHOW server_version_num"),
		"standby": s.standbyText(t, "SHOW server_version_num"),
	} {
		if n, err := strconv.Atoi(number); err != nil || n/10000 != major {
			t.Errorf("the %s is of version %s", of, number)
		}
	}
	if slots := s.onPrimary(t, "SELECT string_agg(slot_name || ' ' || active, ',') FROM pg_replication_slots"); slots != s.Slot+" true" {
		t.Errorf("the slots of the primary are %q", slots)
	}
}

// restoresAndPromotes makes restores to an LSN, a time and a transaction. Each
// holds what it should and takes no writes, until one is promoted.
func (s *site) restoresAndPromotes(t *testing.T) {
	t.Helper()
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.commit(t, 2)
	moment := s.onPrimary(t, clockNow)
	third := s.commit(t, 3)
	lsn := s.onPrimary(t, insertedTo)
	must(t, s.Primary.Exec("SELECT pg_switch_wal()")) // so that one comes from the archive
	s.commit(t, 4)
	s.caughtUp(t)
	at := entry{Name: "at-lsn", Target: fmt.Sprintf("lsn: %s, stop: before", lsn), Port: freePort(t)}
	others := []entry{
		{Name: "at-time", Target: fmt.Sprintf("time: %q", moment), Port: freePort(t)},
		{Name: "at-xid", Target: fmt.Sprintf("xid: %s, stop: after", third), Port: freePort(t), More: []string{"action: promote"}},
	}
	s.declare(t, append(others, at)...)
	s.converges(t)
	const state = "CASE WHEN NOT pg_is_in_recovery() THEN 'promoted' WHEN pg_is_wal_replay_paused() THEN 'paused' ELSE 'replaying' END"
	for name, want := range map[string]string{"at-lsn": "1 2 3, paused", "at-time": "1 2, paused", "at-xid": "1 2 3, promoted"} {
		if got := s.on(t, name, "SELECT ("+steps+") || ', ' || "+state); got != want {
			t.Errorf("%s holds %s, want %s", name, got, want)
		}
	}
	s.harmless(t, "at-lsn")
	if got := s.on(t, "at-lsn", cannotLoad); got != "none" {
		t.Errorf("the files of the restore hold what its server can't load: %s", got)
	}
	at.More = []string{"action: promote"}
	s.declare(t, append(others, at)...)
	s.converges(t)
	if got := s.on(t, "at-lsn", "WITH i AS (INSERT INTO steps VALUES (9) RETURNING n) SELECT 'wrote ' || n FROM i"); got != "wrote 9" {
		t.Errorf("the promoted restore %s", got)
	}
	s.declare(t)
	s.converges(t)
}

// cannotLoad are the settings of the files that their server can't load.
const cannotLoad = "SELECT coalesce(string_agg(name || ': ' || error, ', '), 'none') FROM pg_file_settings WHERE error IS NOT NULL"

// staysConverged: what follows later needs no more than what was written first,
// and the archive has taken the WAL.
func (s *site) staysConverged(t *testing.T) {
	t.Helper()
	s.secondRunChangesNothing(t)
	st := s.status(t)
	if st.Archive.Segments == 0 || len(st.Archive.Gaps) != 0 || len(st.Standby.PendingRestart) != 0 {
		t.Errorf("the status is %+v %+v", st.Archive, st.Standby)
	}
	if got := s.standbyText(t, cannotLoad); got != "none" {
		t.Errorf("the standby's files hold what its server can't load: %s", got)
	}
}
