package postgres

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestUnit(t *testing.T) {
	standby := UnitOptions{
		Description: "PostgreSQL standby of rds-prod", BinDir: "/usr/pgsql-12/bin", DataDir: "/zpdata01/pg12_1921_data",
		LogFile: "/var/log/zreconcile/rds-prod/standby.log", SocketDir: "/run/zreconcile/rds-prod", User: "postgres",
		RequiresMountsFor: []string{"/zpdata02", "/zpdata01", "/zpdata02"}, OOMScoreAdj: -900, Notify: true, Restart: true,
	}
	forking := standby
	forking.Notify, forking.SocketDir = false, "/var/run/postgresql"
	odd := standby
	odd.DataDir, odd.Description, odd.OOMScoreAdj, odd.Restart = `/z 1/100%/$a "b"\c`, "clone 100%\nof rds-prod", 500, false
	odd.SocketDir, odd.SocketMode = "/run/zreconcile/rds-prod/clone", 0o700
	oddForking := odd
	oddForking.Notify, oddForking.DataDir = false, "/z  1/100%"
	for name, o := range map[string]UnitOptions{"notify": standby, "forking": forking, "odd-path": odd, "odd-forking": oddForking} {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata", "unit", name+".service")
			if *update {
				if err := os.WriteFile(golden, []byte(Unit(o)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), Unit(o)); diff != "" {
				t.Error(diff)
			}
			if got := UnitDataDir(Unit(o)); got != o.DataDir {
				t.Errorf("the unit is for the data directory %q, and %q is read from it", o.DataDir, got)
			}
		})
	}
}

// fakeSystemd records what is asked of systemctl and journalctl, and does to
// the unit folder what enable and disable do.
type fakeSystemd struct {
	dir     string
	asked   []string
	journal string // what journalctl prints; set: start fails
}

func (f *fakeSystemd) run(cmd *exec.Cmd) error {
	args := cmd.Args[1:]
	f.asked = append(f.asked, filepath.Base(cmd.Args[0])+" "+args[0])
	link := filepath.Join(f.dir, "multi-user.target.wants", args[len(args)-1])
	switch {
	case cmd.Args[0] == "journalctl":
		_, err := cmd.Stdout.Write([]byte(f.journal))
		return err
	case args[0] == "enable":
		return errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../x", link))
	case args[0] == "disable":
		return os.Remove(link)
	case args[0] == "start" && f.journal != "":
		_, _ = cmd.Stderr.Write([]byte("Job for zreconcile-x.service failed"))
		return errors.New("exit status 1")
	}
	return nil
}

func (f *fakeSystemd) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(f.asked, "\n")); diff != "" {
		t.Error(diff)
	}
	f.asked = nil
}

func TestSystemdService(t *testing.T) {
	ctx := testContext(t)
	u := testUser(t)
	dir := testFolder(t)
	fake := &fakeSystemd{dir: filepath.Join(dir, "system")}
	testMkdir(t, u, fake.dir)
	c := &Cluster{DataDir: testMkdir(t, u, filepath.Join(dir, "data")), BinDir: testBinDir(t), User: u, LogFile: filepath.Join(dir, "log", "x"), Run: fake.run}
	o := ServiceOptions{Supervisor: "systemd", Unit: "zreconcile-x.service", UnitDir: fake.dir, Enable: true}
	s, err := c.Service(o)
	if err != nil {
		t.Fatal(err)
	}
	if installed, err := s.Installed(); installed || err != nil {
		t.Errorf("installed before: %v, %v", installed, err)
	}
	if changed, err := s.Install(ctx); !changed || err != nil {
		t.Errorf("install: %v, %v", changed, err)
	}
	fake.expect(t, "systemctl daemon-reload", "systemctl enable")
	if changed, err := s.Install(ctx); changed || err != nil {
		t.Errorf("second install: %v, %v", changed, err)
	}
	fake.expect(t) // nothing
	if installed, err := s.Installed(); !installed || err != nil {
		t.Errorf("installed after: %v, %v", installed, err)
	}
	if err := s.Start(ctx); err != nil {
		t.Error(err)
	}
	fake.expect(t, "systemctl start")
	if err := s.Restart(ctx); err != nil {
		t.Error(err)
	}
	fake.expect(t, "systemctl stop", "systemctl start")

	fake.journal = "LOG:  starting\nFATAL:  lock file exists\nHINT:  think\n"
	var failed *StartError
	if err := s.Start(ctx); !errors.As(err, &failed) || failed.LastWords != "FATAL:  lock file exists\nHINT:  think" {
		t.Errorf("the failed start is %v", err)
	}
	fake.expect(t, "systemctl start", "journalctl --unit=zreconcile-x.service")

	o.Enable = false
	if s, err = c.Service(o); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Install(ctx); !changed || err != nil {
		t.Errorf("install, not enabled: %v, %v", changed, err)
	}
	fake.expect(t, "systemctl disable")
	o.Enable = true
	if s, err = c.Service(o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(ctx); err != nil {
		t.Error(err)
	}
	fake.asked = nil
	for range 2 {
		if err := s.Remove(ctx); err != nil {
			t.Error(err)
		}
	}
	fake.expect(t, "systemctl disable", "systemctl daemon-reload")
}

func TestServiceChoice(t *testing.T) {
	c := &Cluster{}
	want := "process"
	if _, err := os.Stat(systemdRuns); err == nil {
		want = "systemd"
	}
	if s, err := c.Service(ServiceOptions{Supervisor: "auto", Unit: "x.service"}); err != nil || s.Supervisor() != want {
		t.Errorf("auto: %v, %v", s, err)
	}
	for _, o := range []ServiceOptions{{Supervisor: "upstart"}, {Supervisor: "systemd"}, {Supervisor: "systemd", Unit: "../x.service"}, {Supervisor: "systemd", Unit: "x.timer"}} {
		if _, err := c.Service(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestProcessService(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	s, err := c.Service(ServiceOptions{Supervisor: "process"})
	if err != nil {
		t.Fatal(err)
	}
	if installed, err := s.Installed(); !installed || err != nil {
		t.Error(installed, err)
	}
	before, _ := c.Process()
	if err := s.Start(ctx); err != nil { // it runs: nothing
		t.Error(err)
	}
	if err := s.Reload(ctx); err != nil {
		t.Error(err)
	}
	if now, _ := c.Process(); now.PID != before.PID {
		t.Error("a running server was restarted")
	}
	if err := s.Restart(ctx); err != nil {
		t.Error(err)
	}
	if now, _ := c.Process(); !now.Running || now.PID == before.PID {
		t.Errorf("after a restart: %+v", now)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Reload(ctx); err == nil {
		t.Error("a stopped server was reloaded")
	}
}
