package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestDrift changes things behind the program's back, one after the other on
// one host: each is seen by plan, named, and mended by apply.
func TestDrift(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	tests := []struct {
		name         string
		drift        func(t *testing.T)
		action, kind string
		mended       func(t *testing.T)
	}{
		{"a dataset's property", // pitfall 6
			func(t *testing.T) { command(t, "zfs", "set", "atime=on", s.Name+"/data") },
			"update", "dataset",
			func(t *testing.T) {
				if got := command(t, "zfs", "get", "-H", "-o", "value", "atime", s.Name+"/data"); got != "off\n" {
					t.Errorf("atime is %s", got)
				}
			}},
		{"ALTER SYSTEM on the standby",
			func(t *testing.T) {
				s.asOSUser(t, "psql", "-h", s.Dir+"/s", "-p", text(s.Port), "-qXc", "ALTER SYSTEM SET work_mem = '9MB'", "postgres")
				s.asOSUser(t, "pg_ctl", "reload", "-D", s.DataDir())
				eventually(t, "work_mem to drift", func() bool { return s.standbyText(t, "SHOW work_mem") == "9MB" })
			},
			"update", "conf", s.workMemIsBack},
		{"a line in the file that holds our settings",
			func(t *testing.T) {
				source := s.standbyText(t, "SELECT sourcefile FROM pg_settings WHERE name = 'work_mem'")
				f, err := os.OpenFile(source, os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				defer f.Close()
				_, err = f.WriteString("work_mem = 11MB\n")
				must(t, err)
			},
			"update", "conf", s.workMemIsBack},
		{"the first line of pg_hba.conf",
			func(t *testing.T) {
				path := filepath.Join(s.DataDir(), "pg_hba.conf")
				content, err := os.ReadFile(path)
				must(t, err)
				_, rest, _ := strings.Cut(string(content), "\n")
				must(t, os.WriteFile(path, []byte("local all nobody reject\n"+rest), 0o600))
			},
			"update", "conf",
			func(t *testing.T) { s.standbyText(t, "SELECT ''") }},
		{"a standby that was killed", // pitfall 7
			func(t *testing.T) {
				pid := s.postmaster(t)
				must(t, syscall.Kill(pid, syscall.SIGQUIT))
				eventually(t, "end of the standby", func() bool { return syscall.Kill(pid, 0) != nil })
			},
			"start", "standby", s.standbyStreams},
		{"a standby that was stopped, pitfall 15",
			func(t *testing.T) { s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", s.DataDir()) },
			"start", "standby", s.standbyStreams},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.drift(t)
			r := s.plan(t).exits(t, exitPending)
			if p := r.plan(t); !p.has(test.action, test.kind) {
				t.Errorf("%s %s is not in %v", test.action, test.kind, r)
			}
			s.converges(t)
			test.mended(t)
		})
	}
	s.secondRunChangesNothing(t)
}

func (s *site) workMemIsBack(t *testing.T) {
	t.Helper()
	if got := s.standbyText(t, "SHOW work_mem"); got != "5MB" {
		t.Errorf("work_mem is %s", got)
	}
}

func (s *site) standbyStreams(t *testing.T) {
	t.Helper()
	s.caughtUp(t)
	if st := s.status(t); !st.Standby.Running || st.Standby.ReplayedLSN == "" {
		t.Errorf("status: %+v", st.Standby)
	}
}

// A standby that somebody promoted is a person's business: nothing starts,
// stops or rewinds it.
func TestPromotedStandbyIsBlocked(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.asOSUser(t, "pg_ctl", "promote", "-w", "-D", s.DataDir())
	before := s.traces(t)
	s.plan(t).exits(t, exitRefused).says(t, "promoted")
	r := s.apply(t).exits(t, exitRefused).says(t, "promoted")
	if !r.plan(t).has("block", "standby") {
		t.Errorf("the standby is not blocked in %v", r)
	}
	after := s.traces(t)
	for _, trace := range []string{"postmaster", "started", "zfs list"} {
		if before[trace] != after[trace] {
			t.Errorf("%s was %q, is %q", trace, before[trace], after[trace])
		}
	}
}

// Strangers' datasets, clones and snapshots below ours show our marks by
// inheritance, and survive whatever we do. Pitfall 54.
func TestPitfall54_StrangersSurvive(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Retention = "{last: 1}"
	s.write(t)
	s.converges(t)
	data := s.Name + "/data"
	command(t, "zfs", "create", "-o", "mountpoint=none", data+"/stranger")
	command(t, "zfs", "snapshot", data+"/stranger@theirs")
	command(t, "zfs", "snapshot", data+"@zr-20200101T000000Z")
	command(t, "zfs", "clone", "-o", "mountpoint=none", data+"@zr-20200101T000000Z", data+"/clone")
	strangers := []string{data + "/stranger", data + "/stranger@theirs", data + "@zr-20200101T000000Z", data + "/clone"}

	first := s.status(t).Snapshots[0].Name
	s.Restores = s.restoreTo("drill", "snapshot: "+first)
	s.write(t)
	s.converges(t)
	s.Restores = ""
	s.write(t)
	s.converges(t)
	s.run(t, "snapshot").exits(t, exitDone)
	s.converges(t) // last: 1 removes the first one

	left := s.datasets(t)
	for _, name := range strangers {
		if !has(left, name) {
			t.Errorf("%s is gone; there are %q", name, left)
		}
	}
	if has(left, data+"@"+first) {
		t.Errorf("%s outlived retention", first)
	}
}

// A standby that allows less than its primary pauses (from 14 on) or stops:
// what the primary raises is raised here, by the restart that it needs. Pitfall 40.
func TestPitfall40_FollowsTheRaisedMinimums(t *testing.T) {
	t.Parallel()
	p := ownPrimary(t, primary.Plain)
	s := newSite(t, p)
	s.converges(t)
	must(t, p.Exec("ALTER SYSTEM SET max_connections = 150", "ALTER SYSTEM SET max_worker_processes = 12"))
	must(t, p.Stop())
	must(t, p.Start())
	must(t, p.Exec("CREATE TABLE after_the_raise (n int)"))
	eventually(t, "plan to see the raise", func() bool { return s.plan(t).plan(t).has("update", "conf") })
	s.converges(t)
	s.standbyStreams(t)
	for name, want := range map[string]string{"max_connections": "150", "max_worker_processes": "12"} {
		if got := s.standbyText(t, "SHOW "+name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
