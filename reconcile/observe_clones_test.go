package reconcile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

// A server of the site that systemd starts between two looks is no stranger on its
// port; another program is. The server is a sleep of that name in its directory.
func TestAServerThatStartedMeanwhile(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "postgres")
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server := exec.Command(program, "600")
	server.Dir = dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = server.Process.Kill(), server.Wait() }()
	pidFile := fmt.Sprintf("%d\n%s\n1600000000\n1922\n/run\n", server.Process.Pid, dir)
	if err := os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte(pidFile), 0o600); err != nil {
		t.Fatal(err)
	}
	standby := &spec.Site{Standby: &spec.Standby{DataDir: dir}}
	elsewhere := &spec.Site{Standby: &spec.Standby{DataDir: t.TempDir()}}
	for _, test := range []struct {
		name  string
		site  *spec.Site
		state State
		port  int
		own   bool
		seen  func(State) postgres.Process
	}{
		{"the standby", standby, State{Cluster: Cluster{Content: DirCluster}}, 1922, true, func(s State) postgres.Process { return s.Cluster.Process }},
		{"a restore", elsewhere, State{Clones: []Clone{{DataDir: dir}}}, 1922, true, func(s State) postgres.Process { return s.Clones[0].Process }},
		{"another port", standby, State{Cluster: Cluster{Content: DirCluster}}, 1923, false, nil},
		{"another directory", elsewhere, State{Cluster: Cluster{Content: DirCluster}}, 1922, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := &view{site: test.site, state: &test.state}
			if own := in.startedMeanwhile(test.port); own != test.own {
				t.Fatalf("is it the site's own? %v", own)
			}
			if test.own && test.seen(test.state).PID != server.Process.Pid {
				t.Errorf("seen is %+v", test.seen(test.state))
			}
		})
	}
}
