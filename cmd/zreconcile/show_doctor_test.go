package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
)

// examined is a diagnosis with an answer of each level.
func examined() reconcile.Diagnosis {
	return reconcile.Diagnosis{Format: 1, Site: "rds-prod", Checks: []reconcile.DoctorCheck{
		{Group: "host", Name: "root", Level: reconcile.DoctorOK, What: "this is root"},
		{Group: "host", Name: "memory", Level: reconcile.DoctorWarning, What: "ZFS may take all", Mend: "limit that cache"},
		{Group: "primary", Name: "WAL senders", Level: reconcile.DoctorUnknown, What: "how many are at work\x1b[2J can't be told", Mend: "ask there"},
		{Group: "standby", Name: "ports", Level: reconcile.DoctorFault, What: "port 1922 is in use; looked at:\n  here\n  there", Mend: "stop nginx"},
	}, Summary: reconcile.DoctorSummary{OK: 1, Warning: 1, Fault: 1, Unknown: 1}}
}

func TestShowDiagnosis(t *testing.T) {
	var b bytes.Buffer
	showDiagnosis(view{w: &b, width: 80, now: time.Unix(0, 0), zone: time.UTC}, examined())
	golden(t, "doctor.txt", b.Bytes())
	b.Reset()
	showDiagnosis(view{w: &b, palette: true}, examined())
	if text := b.String(); !strings.Contains(text, "\x1b[31mfault   \x1b[0m ports") || strings.Contains(text, "[2J can") && !strings.Contains(text, `\x1b[2J`) {
		t.Errorf("on a terminal:\n%q", text)
	}
}

// A fault is a 1; warnings and what is unknown are none.
func TestDoctorStatus(t *testing.T) {
	d := examined()
	h := &recorder{doctor: d}
	status, stdout, _ := invoke(t, h, "doctor", "-o", "json")
	var read reconcile.Diagnosis
	if err := json.Unmarshal([]byte(stdout), &read); err != nil || status != exitFailed || len(read.Checks) != 4 || read.Summary != d.Summary {
		t.Errorf("exit %d, %v:\n%s", status, err, stdout)
	}
	if len(h.asked) != 1 || h.asked[0] != "doctor rds-prod" {
		t.Errorf("%q", h.asked)
	}
	h.doctor.Summary.Fault = 0
	if status, stdout, stderr := invoke(t, h, "doctor"); status != exitDone || !strings.HasSuffix(stdout, "0 faults, 1 warning, 1 unknown, 1 ok.\n") {
		t.Errorf("exit %d:\n%s%s", status, stdout, stderr)
	}
}
