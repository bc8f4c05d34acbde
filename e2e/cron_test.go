package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// cronCommand is the command of examples/cron that holds a text, for this site: its
// own program and file, a lock of its own, and a file in place of syslog.
func (s *site) cronCommand(t *testing.T, holds string) string {
	t.Helper()
	text, err := os.ReadFile("../examples/cron/zreconcile")
	must(t, err)
	for _, m := range regexp.MustCompile(`(?m)^#?(?:\S+ ){5}root (.+)$`).FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], holds) {
			return strings.NewReplacer(
				"zreconcile watch", program+" watch", "zreconcile status", program+" status", "zreconcile apply", program+" apply",
				"/etc/zreconcile/site.yaml", s.File(), "/run/zreconcile.cron", s.Dir+"/cron.lock",
				"| logger --tag zreconcile", "| cat >>"+s.Dir+"/syslog",
			).Replace(m[1])
		}
	}
	t.Fatalf("no line of the crontab holds %q", holds)
	return ""
}

// cron runs a command as cron does: by sh, and what it prints would be mailed.
func cron(ctx context.Context, command string, mail *bytes.Buffer) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SHELL=/bin/sh", "HOME=/root", "LOGNAME=root"}
	cmd.Stdout, cmd.Stderr = mail, mail
	return cmd
}

// TestCron runs the lines of examples/cron: a watch is kept alive, one at a time,
// though the servers that it started outlive it; and mail comes only where something
// is wrong.
func TestCron(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	keep, check, apply := s.cronCommand(t, "watch"), s.cronCommand(t, "status"), s.cronCommand(t, "apply")

	start := func() (over func() bool) {
		t.Helper()
		var mail bytes.Buffer
		cmd := cron(context.Background(), keep, &mail)
		must(t, cmd.Start())
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // of flock, which passes on what watch ended with
			close(ended)
		}()
		t.Cleanup(func() {
			s.killOrphans(t)
			<-ended
			if mail.Len() > 0 {
				t.Errorf("the watch mails: %s", &mail)
			}
		})
		return func() bool {
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}
	}
	watches := func() (pids []int) {
		for pid, arguments := range s.programs(t) {
			if strings.HasPrefix(arguments, program+" watch") {
				pids = append(pids, pid)
			}
		}
		return pids
	}

	over := start()
	eventually(t, "the first snapshot", func() bool { return s.snapshots(t) == 1 || over() })
	for range 2 { // each minute
		var mail bytes.Buffer
		if err := cron(t.Context(), keep, &mail).Run(); err != nil || mail.Len() > 0 {
			t.Errorf("beside a watch that runs: %v: %s", err, &mail)
		}
	}
	if pids := watches(); len(pids) != 1 {
		t.Fatalf("%d watches run", len(pids))
	}
	server := s.postmaster(t)
	must(t, syscall.Kill(watches()[0], syscall.SIGKILL))
	eventually(t, "the end of the killed watch", over)
	again := start()
	eventually(t, "another watch", func() bool { return len(watches()) == 1 || again() })
	if again() {
		t.Fatal("no watch is started while the servers of a killed one run")
	}
	if s.postmaster(t) != server {
		t.Error("the standby went with the watch")
	}
	eventually(t, "its first round", func() bool {
		return exec.Command("flock", "--nonblock", "/run/zreconcile/"+s.Name+".lock", "true").Run() == nil || again()
	})
	must(t, syscall.Kill(watches()[0], syscall.SIGTERM))
	eventually(t, "the end of the watch", again)

	s.caughtUp(t)
	var mail bytes.Buffer
	if err := cron(t.Context(), apply, &mail).Run(); err != nil || mail.Len() > 0 {
		t.Errorf("apply on a converged host: %v: %s", err, &mail)
	}
	if err := cron(t.Context(), check, &mail).Run(); err != nil || mail.Len() > 0 {
		t.Errorf("all is well: %v: %s", err, &mail)
	}
	must(t, syscall.Kill(server, syscall.SIGQUIT))
	eventually(t, "the end of the standby", func() bool { return syscall.Kill(server, 0) != nil })
	if err := cron(t.Context(), check, &mail).Run(); err != nil || !strings.Contains(mail.String(), "CRITICAL") {
		t.Errorf("with the standby down: %v: %s", err, &mail)
	}

	// An apply goes to the log where it did anything, and mails nothing.
	mail.Reset()
	before := syslogLines(t, s)
	if err := cron(t.Context(), apply, &mail).Run(); err != nil || mail.Len() > 0 {
		t.Errorf("apply that starts the standby: %v: %s", err, &mail)
	}
	if said := syslogLines(t, s)[len(before):]; !strings.Contains(said, "changed kind=standby") {
		t.Errorf("the apply logged %q", said)
	}
	before = syslogLines(t, s)
	must(t, cron(t.Context(), apply, &mail).Run())
	if said := syslogLines(t, s)[len(before):]; strings.Contains(said, "kind=") || mail.Len() > 0 {
		t.Errorf("an apply with nothing to do logged %q, mailed %q", said, &mail)
	}
}

func syslogLines(t *testing.T, s *site) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "syslog"))
	must(t, err)
	return string(text)
}
