package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// doctorJSON is `doctor -o json`, as the contract of the command words it.
type doctorJSON struct {
	Format  int
	Site    string
	Checks  []struct{ Group, Name, Level, What, Mend string }
	Summary map[string]int
}

// doctor asks for the diagnosis, and holds it to what always holds: it never
// shows a password, its status follows from it, and each fault has a mend.
func (s *site) doctor(t testing.TB) doctorJSON {
	t.Helper()
	r := s.run(t, "doctor", "-o", "json")
	var d doctorJSON
	r.decode(t, &d)
	if want := map[bool]int{false: exitDone, true: exitFailed}[d.Summary["fault"] > 0]; r.Code != want || d.Format != 1 || d.Site != s.Name {
		t.Errorf("want exit %d of %v", want, r)
	}
	if strings.Contains(r.Stdout+r.Stderr, s.Password) {
		t.Errorf("the password is shown by %v", r)
	}
	for _, c := range d.Checks {
		if (c.Level == "fault" || c.Level == "warning") && c.Mend == "" {
			t.Errorf("no mend of %+v", c)
		}
	}
	return d
}

// at are the answers of a level, as "group/name: what; mend".
func (d doctorJSON) at(level string) []string {
	var list []string
	for _, c := range d.Checks {
		if c.Level == level {
			list = append(list, c.Group+"/"+c.Name+": "+c.What+"; "+c.Mend)
		}
	}
	return list
}

// faulty wants a fault of that check that says all the texts.
func (s *site) faulty(t testing.TB, check string, texts ...string) {
	t.Helper()
	found := s.doctor(t).at("fault")
	for _, f := range found {
		said := strings.HasPrefix(f, check+": ")
		for _, text := range texts {
			said = said && strings.Contains(f, text)
		}
		if said {
			return
		}
	}
	t.Errorf("no fault %s says %q: %q", check, texts, found)
}

// faultless wants none.
func (s *site) faultless(t testing.TB) doctorJSON {
	t.Helper()
	d := s.doctor(t)
	if found := d.at("fault"); found != nil {
		t.Errorf("faults: %q", found)
	}
	return d
}

// TestDoctor spoils a site in many ways, and is told of each, and of its mend.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.faultless(t) // what apply is going to make is missing, and no fault
	s.run(t, "doctor").exits(t, exitDone).says(t, "there is no pool "+s.Name+" yet", "there is no standby yet", "lets us replicate")

	s.converges(t)
	s.caughtUp(t)
	before := s.traces(t)
	d := s.faultless(t)
	if d.Summary["ok"] < 25 {
		t.Errorf("few checks: %+v", d)
	}
	s.run(t, "doctor").exits(t, exitDone).says(t, "the standby streams from 127.0.0.1", "postgres can write to "+s.WALMount, "fsync = off")
	if diff := cmp.Diff(before, s.traces(t)); diff != "" {
		t.Errorf("doctor changed something:\n%s", diff)
	}
	zreconcileAs(t, "nobody", "doctor", "-f", s.File()).exits(t, exitDone).says(t, "ordinary user", "run it with sudo")

	t.Run("archive", s.spoilArchive)
	t.Run("primary", s.spoilPrimary)
	t.Run("standby", s.spoilStandby)
	s.converges(t)
	s.faultless(t)
}

func (s *site) spoilArchive(t *testing.T) {
	archive := s.WALMount + "/archive"
	command(t, "chown", "root:", archive)
	s.faulty(t, "standby/archive", "postgres can't write to the archive "+archive, "chown postgres: "+archive)
	command(t, "chown", "postgres:", archive)

	used, err := strconv.ParseInt(strings.TrimSpace(command(t, "zfs", "get", "-Hp", "-o", "value", "referenced", s.Name+"/wal")), 10, 64)
	must(t, err)
	command(t, "zfs", "set", "refquota="+strconv.FormatInt(used+8<<20, 10), s.Name+"/wal")
	s.faulty(t, "zfs/datasets", s.Name+"/wal has ", "no WAL can be written", "refquota")
	command(t, "zfs", "set", "refquota=none", s.Name+"/wal")

	command(t, "zfs", "unmount", "-f", s.Name+"/wal")
	s.faulty(t, "zfs/mounts", s.Name+"/wal", "zfs mount")
	command(t, "zfs", "mount", s.Name+"/wal")
	s.faultless(t)
}

func (s *site) spoilPrimary(t *testing.T) {
	password := filepath.Join(s.Dir, "password")
	must(t, os.WriteFile(password, []byte("no such password"), 0o600))
	s.faulty(t, "primary/reachable", "login failed", "passwordFrom")
	must(t, os.Chmod(password, 0o644))
	s.faulty(t, "primary/password", "others can read it", "chmod 600 "+password)
	must(t, os.Remove(password))
	s.faulty(t, "primary/password", "no such file", "passwordFrom")
	s.write(t)

	s.Slot = "nobody_made_it"
	s.write(t)
	s.faulty(t, "primary/slot", "no slot nobody_made_it", "pg_create_physical_replication_slot('nobody_made_it', true)")
	s.Slot = ""
	s.write(t)

	must(t, s.Primary.Stop())
	s.faulty(t, "primary/reachable", "unreachable", "check standby.primary.host and port")
	eventually(t, "the standby to notice", func() bool {
		for _, f := range s.doctor(t).at("fault") {
			if strings.HasPrefix(f, "standby/streaming: ") {
				return true
			}
		}
		return false
	})
	must(t, s.Primary.Start())
	eventually(t, "the standby to come back", func() bool { return s.doctor(t).at("fault") == nil })
}

func (s *site) spoilStandby(t *testing.T) {
	s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir())
	s.faulty(t, "standby/server", "the standby does not run", "zreconcile apply")

	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.Port))
	must(t, err)
	s.faulty(t, "standby/ports", "port "+strconv.Itoa(s.Port)+", which the standby should have, is in use by e2e.test", "choose another port")
	must(t, listener.Close())

	command(t, "chown", "-R", "nobody", s.DataDir())
	s.faulty(t, "standby/owner", s.DataDir()+" belongs to the uid 65534", "chown -R postgres: "+s.DataDir())
	command(t, "chown", "-R", "postgres", s.DataDir())
}
