package main

import (
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/reconcile"
)

// TestEjectCheck reads no site file and takes no lock: it is what a package asks.
func TestEjectCheck(t *testing.T) {
	both := []string{"archive_command", "restore_command"}
	r := &recorder{callers: []reconcile.Caller{
		{DataDir: "/data/pg", Running: true, Unit: "zreconcile-s.service", Calls: both},
		{DataDir: "/gone/pg", Unit: "zreconcile-g.service", Calls: []string{}, Unknown: "no such file or directory"},
	}}
	status, out, _ := invoke(t, r, "eject", "--check")
	want := `These servers of this host call zreconcile to archive or restore WAL:
  /data/pg (runs, starts at boot by zreconcile-s.service): archive_command, restore_command
  /gone/pg (starts at boot by zreconcile-g.service): its settings can't be read (no such file or directory); if it is gone for good: systemctl disable zreconcile-g.service
The way out, for each site: stop its watch, then zreconcile eject -f FILE. It leaves the
servers running, with settings that need zreconcile no more.
`
	if status != exitBlocked || out != want {
		t.Errorf("status %d, stdout:\n%s", status, out)
	}
	if got := strings.Join(r.asked, "; "); got != "who calls" {
		t.Errorf("the host was asked: %s", got)
	}
	if _, out, _ = invoke(t, &recorder{callers: []reconcile.Caller{}}, "eject", "--check", "-o", "json"); out != "{\n  \"format\": 1,\n  \"servers\": []\n}\n" {
		t.Errorf("stdout: %s", out)
	}
}
