package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func TestCheckLine(t *testing.T) {
	s := sampleStatus(t)
	want := "CRITICAL: the last restore drill failed, that of zr-20261122T010100Z; a restart is needed for max_connections; " +
		"the restore too-old: refused, no snapshot is that old; any moment from 2026-11-22 01:01:00Z to 1s ago, " +
		"and parts of what was before, back to 2026-11-21 01:01:01Z; the last drill failed 19h 30m ago | " +
		"lag=0.1s;300;;0 lag_bytes=2048B;;;0 free=60.0%;15:;;0;100 snapshot_age=82770s;93600;;0 drill_age=70230s;691200;;0 " +
		"newest_moment_age=1s;;;0 window_age=82770s;;;0"
	if got := checkLine(judgedSite(), s, testNow); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	unlimited := judgedSite()
	unlimited.Health = spec.Health{}
	if got := checkLine(unlimited, s, testNow); !strings.Contains(got, " lag=0.1s;;;0 ") || !strings.Contains(got, " free=60.0%;;;0;100 ") {
		t.Errorf("without limits: %s", got)
	}
}

// One line, and one bar: what a server or a file name slips in is no
// performance data.
func TestCheckLineIsOneLine(t *testing.T) {
	s := reconcile.BlankStatus("rds-prod", "zfs list | grep failed:\n\tcannot open \x1b[31m|x")
	line := checkLine(&spec.Site{}, s, testNow)
	if strings.ContainsAny(line, "\n\x1b|") || !strings.HasPrefix(line, "UNKNOWN: ") {
		t.Errorf("%q", line)
	}
}

// performanceData is the grammar of the Monitoring Plugins Development Guidelines.
var performanceData = regexp.MustCompile(`^[a-z_]+=-?[0-9.]+(s|B|%)?;[0-9.]*:?;[0-9.]*;[0-9.]*(;[0-9.]*)?$`)

func TestPerformanceDataIsWellFormed(t *testing.T) {
	for _, word := range performance(judgedSite(), sampleStatus(t), testNow) {
		if !performanceData.MatchString(word) {
			t.Errorf("%q", word)
		}
	}
	if got := performance(&spec.Site{}, reconcile.Status{}, testNow); len(got) != 0 {
		t.Errorf("of a host that could not be observed: %q", got)
	}
}

// stuck is a host that does not answer before its time is up.
type stuck struct{ *recorder }

func (stuck) Status(ctx context.Context, _ *spec.Site, _ time.Time) (reconcile.Status, error) {
	panic("the disk is on fire | truly")
}

func TestCheckExits(t *testing.T) {
	verdict := func(l reconcile.Level) *recorder {
		return &recorder{status: reconcile.Status{Site: "rds-prod", Verdict: reconcile.Judgement{Level: l, Headline: "h", Reasons: []string{}}}}
	}
	invalid := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(invalid, []byte("version: 1\nsite: rds-prod\npol: {name: zp1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		host host
		file string // "": a valid one
		want int
		says string
	}{
		"ok":             {host: verdict(reconcile.LevelOK), want: 0, says: "OK: h"},
		"warning":        {host: verdict(reconcile.LevelWarning), want: 1, says: "WARNING: h"},
		"critical":       {host: verdict(reconcile.LevelCritical), want: 2, says: "CRITICAL: h"},
		"unknown":        {host: verdict(reconcile.LevelUnknown), want: 3, says: "UNKNOWN: h"},
		"not observed":   {host: &recorder{err: errors.New("zfs list failed")}, want: 3, says: "UNKNOWN: zfs list failed"},
		"invalid file":   {host: verdict(reconcile.LevelOK), file: invalid, want: 3, says: "UNKNOWN: the site file is invalid: " + invalid + ":1:1: "},
		"no file":        {host: verdict(reconcile.LevelOK), file: "/nonexistent/site.yaml", want: 3, says: "UNKNOWN: "},
		"a fault of its": {host: stuck{}, want: 3, says: "UNKNOWN: a fault of zreconcile itself, please report it: the disk is on fire / truly"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) (int, string, string) {
				if test.file != "" {
					return invokeOn(t, test.file, test.host, args...)
				}
				return invoke(t, test.host, args...)
			}
			status, stdout, stderr := run("status", "--check")
			if status != test.want || !strings.HasPrefix(stdout, test.says) || strings.Count(stdout, "\n") != 1 || !strings.HasSuffix(stdout, "\n") {
				t.Errorf("exit status %d with %q, want %d with %q\n%s", status, stdout, test.want, test.says, stderr)
			}
			status, stdout, _ = run("status", "--check", "-o", "json")
			var got checkJSON
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != test.want || checkStatus(got.Verdict.Level) != test.want || strings.Count(stdout, "\n") != 1 {
				t.Errorf("exit status %d with %q (%v)", status, stdout, err)
			}
		})
	}
}

// Who is not root is told that this may be why.
func TestCheckAsAnOrdinaryUser(t *testing.T) {
	s := reconcile.BlankStatus("rds-prod", "permission denied")
	var out strings.Builder
	p := &program{stdout: stream{Writer: &out}, stderr: stream{Writer: &out}, euid: 1000,
		getenv: func(string) string { return filepath.Join(t.TempDir(), "site.yaml") },
		clock:  func() time.Time { return testNow }, newHost: func() host { return &recorder{status: s} }}
	file := p.getenv("")
	if err := os.WriteFile(file, []byte(validSite), 0o644); err != nil {
		t.Fatal(err)
	}
	p.getenv = func(string) string { return file }
	if status := exitStatus(p.execute(t.Context(), []string{"status", "--check"})); status != checkUnknown || !strings.Contains(out.String(), "run it with sudo") {
		t.Errorf("exit status %d: %s", status, &out)
	}
}

func TestBringBack(t *testing.T) {
	got := bringBack("host=/run/x port=1", login{role: "o'b", database: "shop", primary: "host=db port=5432"})
	want := `{ echo 'BEGIN;'; pg_dump --table=TABLE 'host=/run/x port=1 user='\''o\'\''b'\'' dbname=shop' && echo 'COMMIT;'; } | ` +
		`psql --no-psqlrc --set=ON_ERROR_STOP=1 'host=db port=5432 user='\''o\'\''b'\'' dbname=shop'`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPrimaryOf(t *testing.T) {
	for want, p := range map[string]spec.Primary{
		"host=db port=5432 sslmode=require": {Hosts: []string{"db"}, Port: 5432, SSLMode: "require"},
		"host=a,b port=6000 target_session_attrs=read-write sslmode=verify-full sslrootcert='/etc/my ca.pem'": {
			Hosts: []string{"a", "b"}, Port: 6000, SSLMode: "verify-full", SSLRootCert: "/etc/my ca.pem"},
	} {
		if got := primaryOf(p); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
