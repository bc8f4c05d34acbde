package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

func sampleDrill(t *testing.T) reconcile.Drill {
	return reconcile.Drill{
		Snapshot: "zr-20261122T010100Z", At: *at(t, "2026-11-22T04:35:00Z"),
		Checks: []reconcile.Check{
			{Name: "recovery", OK: true, Findings: []string{}},
			{Name: "collations", OK: true, Findings: []string{"database postgres: 2 collation(s), such as de-x-icu, were made with version 1"}},
			{Name: "amcheck", Findings: []string{"database postgres: index public.orders_pkey: item order invariant violated\n\x1b[2J"}},
			{Name: "query select 1", OK: true, Findings: []string{}},
		},
		Kept: &reconcile.KeptDrill{Dataset: "zp1/zreconcile/rds-prod/:drill", DataDir: "/zp1/zreconcile/rds-prod/:drill/pg",
			Log: "/var/log/zreconcile/rds-prod/restore-:drill.log", Connect: "host=/run/zreconcile/rds-prod/:drill port=1922", Role: "boss"},
	}
}

func TestShowDrill(t *testing.T) {
	var out bytes.Buffer
	v := view{w: &out, width: 80, now: testNow, zone: time.UTC}
	showDrill(v, sampleDrill(t), login{role: "postgres", database: "postgres"})
	showDrill(v, reconcile.Drill{Snapshot: "zr-x", OK: true, Checks: []reconcile.Check{{Name: "recovery", OK: true}}}, login{})
	golden(t, "drill.txt", out.Bytes())
}

func TestVerifyJSON(t *testing.T) {
	_, stdout, _ := invoke(t, &recorder{drill: sampleDrill(t)}, "verify", "-o", "json")
	golden(t, "verify.json", []byte(stdout))
	_, stdout, _ = invoke(t, &recorder{err: errors.New("zfs clone failed")}, "verify", "-o", "json")
	golden(t, "verify-error.json", []byte(stdout))
}

// An outcome is told also where the clone could not be destroyed afterwards.
func TestVerifyTellsTheOutcomeBesideAnError(t *testing.T) {
	good := sampleDrill(t)
	good.OK, good.Kept = true, nil
	status, stdout, _ := invoke(t, &recorder{drill: good, err: errors.New("dataset is busy")}, "verify", "-o", "json")
	var out verifyJSON
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatal(err)
	}
	if status != exitFailed || !out.OK || out.Snapshot != good.Snapshot || len(out.Errors) != 1 {
		t.Errorf("exit status %d: %s", status, stdout)
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{0: " 0s ago", 6 * time.Hour: " 6h ago", -time.Hour: ""} {
		if got := ago(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
