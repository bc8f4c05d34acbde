package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

var testNow = time.Date(2026, 11, 23, 0, 0, 30, 0, time.UTC)

func shanghai(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// samplePlan holds each action once, attributes that are absent, long and
// unprintable, notes, a failure, and a moment to come.
func samplePlan() reconcile.Plan {
	return reconcile.Plan{
		Format: reconcile.Format, Site: "rds-prod",
		Changes: []reconcile.Change{
			{Kind: "restore", Name: "old", Action: reconcile.Delete, Why: "it left the file 1h ago", Attrs: []reconcile.Attr{}},
			{Kind: "pool", Name: "zp1", Action: reconcile.Block, Why: "ashift can only be set when a pool is created",
				File: "site.yaml", Line: 12, Attrs: []reconcile.Attr{{Name: "ashift", Before: "12", After: "13"}},
				Mend: "zpool create -o ashift=13 zp1 ...\nor write ashift: 12"},
			{Kind: "dataset", Name: "zp1/zpdata01", Action: reconcile.Create, Why: "it does not exist", File: "site.yaml", Line: 24,
				Attrs: []reconcile.Attr{{Name: "mountpoint", After: "/zpdata01"}, {Name: "recordsize", After: "8K"}}},
			{Kind: "dataset", Name: "zp1/zpdata02", Action: reconcile.Update, Why: "its properties differ", File: "site.yaml", Line: 33,
				Attrs: []reconcile.Attr{{Name: "atime", Before: "on", After: "off"}, {Name: "zr:note", Before: "a\x1b[31mb", After: strings.Repeat("x", 60)}}},
			{Kind: "standby", Name: "rds-prod", Action: reconcile.Start, Why: "it is not running", Line: 37, Attrs: []reconcile.Attr{}},
			{Kind: "restore", Name: "moved", Action: reconcile.Replace, Why: "its target changed", File: "site.d/x.yaml", Line: 2,
				Attrs: []reconcile.Attr{{Name: "target", Before: "2020-03-21 09:28:37.670338Z", After: "2020-03-21 09:30:00Z"}}},
			{Kind: "restore", Name: "gone", Action: reconcile.Stop, Why: "it left the file", Attrs: []reconcile.Attr{}},
		},
		Summary: reconcile.Summary{Create: 1, Update: 1, Replace: 1, Delete: 1, Start: 1, Stop: 1, Block: 1},
		Notes:   []string{"pool zp1 is DEGRADED"},
		Next:    &reconcile.Time{Time: time.Date(2026, 11, 23, 1, 1, 0, 0, time.UTC)},
	}
}

func TestShowPlan(t *testing.T) {
	failing := samplePlan()
	failing.Failures = []string{"the primary could not be asked:\nconnection refused"}
	blind := reconcile.Plan{Format: 1, Site: "rds-prod", Converged: true, Changes: []reconcile.Change{}, Failures: failing.Failures}
	converged := reconcile.Plan{Format: 1, Site: "rds-prod", Converged: true, Changes: []reconcile.Change{}, Next: samplePlan().Next}
	tests := []struct {
		golden string
		plan   reconcile.Plan
		colour palette
	}{
		{"plan.txt", samplePlan(), false},
		{"plan-colour.txt", samplePlan(), true},
		{"plan-failures.txt", failing, false},
		{"plan-blind.txt", blind, false},
		{"plan-converged.txt", converged, false},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			var out bytes.Buffer
			showPlan(view{w: &out, palette: test.colour, width: 80, now: testNow, zone: shanghai(t)}, test.plan)
			golden(t, test.golden, out.Bytes())
		})
	}
}

func TestPlanJSON(t *testing.T) {
	var out bytes.Buffer
	if err := writeJSON(&out, samplePlan()); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", out.Bytes())
}

func TestShowApply(t *testing.T) {
	mixed := samplePlan()
	results := []reconcile.Result{reconcile.Done, "", reconcile.Done, reconcile.Failed, reconcile.Skipped, reconcile.Done, ""}
	for i := range mixed.Changes {
		mixed.Changes[i].Result = results[i]
	}
	mixed.Changes[3].Error = "zfs set: out of space"
	mixed.Changes[4].Error = "it needs dataset zp1/zpdata02"
	allDone := reconcile.Plan{Format: 1, Site: "rds-prod", Changes: []reconcile.Change{mixed.Changes[2]}}
	tests := []struct {
		golden string
		plan   reconcile.Plan
		colour palette
	}{
		{"apply.txt", mixed, false},
		{"apply-colour.txt", mixed, true},
		{"apply-done.txt", allDone, false},
		{"apply-converged.txt", reconcile.Plan{Format: 1, Site: "rds-prod", Converged: true}, false},
		{"apply-nothing.txt", reconcile.Plan{Format: 1, Site: "rds-prod", Failures: []string{"zfs list failed"}}, false},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			var out bytes.Buffer
			showApply(view{w: &out, palette: test.colour, width: 80, now: testNow, zone: time.UTC}, test.plan, nil)
			golden(t, test.golden, out.Bytes())
		})
	}
	var out bytes.Buffer
	if err := writeJSON(&out, mixed); err != nil {
		t.Fatal(err)
	}
	golden(t, "apply.json", out.Bytes())
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                    "0s",
		100 * time.Millisecond:               "0.1s",
		time.Second:                          "1s",
		90 * time.Second:                     "1m 30s",
		time.Hour:                            "1h",
		time.Hour + 5*time.Second:            "1h",
		26*time.Hour + 30*time.Minute:        "1d 2h",
		24*time.Hour*365 + 23*time.Hour + 59: "365d 23h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %q, want %q", d, got, want)
		}
	}
}
