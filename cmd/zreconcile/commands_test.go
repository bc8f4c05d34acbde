package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// recorder is a host that writes down what it is asked and answers as it is told.
type recorder struct {
	asked   []string
	plan    reconcile.Plan
	status  reconcile.Status
	draft   reconcile.Draft
	doctor  reconcile.Diagnosis
	err     error
	callers []reconcile.Caller
	lockErr error
	drill   reconcile.Drill
	held    bool                     // ReleaseSnapshot finds a hold
	restore *reconcile.RestoreStatus // nil: there is none
	sees    bool                     // ApplyRestore tells it as well
	lookErr error                    // of RestoreStatus
	renewed bool                     // RenewRestore finds one that expired
	during  func(*spec.Site)         // is called by Apply
	watch   func(context.Context, reconcile.WatchOptions) error
}

func (r *recorder) ask(format string, args ...any) {
	r.asked = append(r.asked, fmt.Sprintf(format, args...))
}

func (r *recorder) Plan(_ context.Context, site *spec.Site, now time.Time, only reconcile.Only) (reconcile.Plan, error) {
	r.ask("plan %s at %s only %v", site.Name, reconcile.FormatTime(now), only)
	return r.plan, r.err
}

func (r *recorder) Apply(_ context.Context, site *spec.Site, now time.Time, only reconcile.Only) (reconcile.Plan, error) {
	r.ask("apply %s at %s only %v", site.Name, reconcile.FormatTime(now), only)
	if r.during != nil {
		r.during(site)
	}
	return r.plan, r.err
}

func (r *recorder) Status(_ context.Context, site *spec.Site, now time.Time) (reconcile.Status, error) {
	r.ask("status %s at %s", site.Name, reconcile.FormatTime(now))
	return r.status, r.err
}

func (r *recorder) Init(_ context.Context, o reconcile.InitOptions, _ time.Time) (reconcile.Draft, error) {
	r.ask("init %+v", o)
	return r.draft, r.err
}

func (r *recorder) Doctor(_ context.Context, site *spec.Site, _ time.Time) reconcile.Diagnosis {
	if site == nil {
		site = &spec.Site{Name: "(none)"}
	}
	r.ask("doctor %s", site.Name)
	return r.doctor
}

func (r *recorder) TakeSnapshot(_ context.Context, site *spec.Site, o reconcile.SnapshotOptions) (reconcile.SnapshotStatus, error) {
	r.ask("snapshot %s label %q hold %v", site.Name, o.Label, o.Hold)
	return reconcile.SnapshotStatus{Name: "zr-20261123T000030Z"}, r.err
}

func (r *recorder) ReleaseSnapshot(_ context.Context, site *spec.Site, name string) (bool, error) {
	r.ask("release %s %s", site.Name, name)
	return r.held, r.err
}

func (r *recorder) Verify(_ context.Context, site *spec.Site, o reconcile.VerifyOptions) (reconcile.Drill, error) {
	r.ask("verify %s %q keep failed %v", site.Name, o.Snapshot, o.KeepFailed)
	return r.drill, r.err
}

func (r *recorder) ApplyRestore(ctx context.Context, site *spec.Site, now time.Time, name string) (reconcile.Plan, *reconcile.RestoreStatus, error) {
	plan, err := r.Apply(ctx, site, now, reconcile.Only{"restore/" + name})
	if !r.sees {
		return plan, nil, err
	}
	return plan, r.restore, err
}

func (r *recorder) RestoreStatus(_ context.Context, _ *spec.Site, _ time.Time, name string) (reconcile.RestoreStatus, bool, error) {
	r.ask("restore %s", name)
	if r.restore == nil {
		return reconcile.RestoreStatus{}, false, r.lookErr
	}
	return *r.restore, true, r.lookErr
}

func (r *recorder) RenewRestore(_ context.Context, _ *spec.Site, _ time.Time, name string) (func(context.Context) error, error) {
	r.ask("renew %s", name)
	if !r.renewed {
		return nil, nil
	}
	return func(context.Context) error { r.ask("take the renewal back"); return nil }, nil
}

func (r *recorder) PlanEject(_ context.Context, site *spec.Site) (reconcile.Plan, error) {
	r.ask("plan the ejection of %s", site.Name)
	return r.plan, r.err
}

func (r *recorder) Eject(_ context.Context, site *spec.Site) (reconcile.Plan, error) {
	r.ask("eject %s", site.Name)
	return r.plan, r.err
}

func (r *recorder) Callers(context.Context) ([]reconcile.Caller, error) {
	r.ask("who calls")
	return r.callers, r.err
}

func (r *recorder) Watch(ctx context.Context, o reconcile.WatchOptions) error {
	r.ask("watch with lock timeout %s", o.LockTimeout)
	return r.watch(ctx, o)
}

func (r *recorder) Lock(_ context.Context, site string, timeout time.Duration) (func(), error) {
	r.ask("lock %s for %s", site, timeout)
	return func() { r.ask("unlock") }, r.lockErr
}

func (r *recorder) LockUrgently(_ context.Context, site string, timeout time.Duration) (func(), error) {
	r.ask("lock urgently %s for %s", site, timeout)
	return func() { r.ask("unlock") }, r.lockErr
}

func (r *recorder) LockStandby(_ context.Context, site string, timeout time.Duration) (func(), error) {
	r.ask("lock standby of %s for %s", site, timeout)
	return func() { r.ask("unlock") }, r.lockErr
}

const validSite = `version: 1
site: rds-prod
pool: {name: zp1}
`

// invoke runs a command line against a host, as root, with a valid site file.
func invoke(t *testing.T, h host, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte(validSite), 0o644); err != nil {
		t.Fatal(err)
	}
	return invokeOn(t, file, h, args...)
}

// invokeOn is invoke with a site file of the test's own.
func invokeOn(t *testing.T, file string, h host, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{
		stdout: stream{Writer: &out, width: defaultWidth}, stderr: stream{Writer: &errs, width: defaultWidth},
		getenv:  func(name string) string { return map[string]string{fileVariable: file}[name] },
		clock:   func() time.Time { return testNow },
		newHost: func() host { return h },
	}
	status = exitStatus(p.execute(t.Context(), args))
	return status, out.String(), errs.String()
}

func TestFlagsReachTheHost(t *testing.T) {
	now := reconcile.FormatTime(testNow)
	tests := []struct {
		args string
		want []string
	}{
		{"plan", []string{"plan rds-prod at " + now + " only []"}},
		{"plan --at 2026-12-01T01:01:00+08:00", []string{"plan rds-prod at 2026-11-30T17:01:00.000000Z only []"}},
		{"init --pool a --data-dir /b --site c", []string{"init {Pool:a DataDir:/b Site:c File:}"}},
		{"plan --only wal --only restore/a", []string{"plan rds-prod at " + now + " only [wal restore/a]"}},
		{"apply", []string{"lock rds-prod for 1m0s", "apply rds-prod at " + now + " only []", "unlock"}},
		{"apply --only conf --lock-timeout 5s", []string{"lock rds-prod for 5s", "apply rds-prod at " + now + " only [conf]", "unlock"}},
		{"status", []string{"status rds-prod at " + now}},
		{"snapshot", []string{"lock standby of rds-prod for 1m0s", `snapshot rds-prod label "" hold false`, "unlock"}},
		{"snapshot --label a --hold --lock-timeout 0s", []string{"lock standby of rds-prod for 0s", `snapshot rds-prod label "a" hold true`, "unlock"}},
		{"verify", []string{"lock rds-prod for 1m0s", `verify rds-prod "" keep failed false`, "unlock"}},
		{"verify zr-x --keep-failed --lock-timeout 0s", []string{"lock rds-prod for 0s", `verify rds-prod "zr-x" keep failed true`, "unlock"}},
		{"eject", []string{"lock rds-prod for 1m0s", "eject rds-prod", "unlock"}},
		{"eject --plan", []string{"plan the ejection of rds-prod"}},
		{"snapshot --release zr-x", []string{"lock standby of rds-prod for 1m0s", "release rds-prod zr-x", "unlock"}},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			r := &recorder{plan: reconcile.Plan{Converged: true}, draft: reconcile.Draft{Converged: true}, drill: reconcile.Drill{OK: true}}
			if status, _, stderr := invoke(t, r, strings.Fields(test.args)...); status != exitDone {
				t.Errorf("exit status %d: %s", status, stderr)
			}
			if diff := cmp.Diff(test.want, r.asked); diff != "" {
				t.Errorf("the host was asked otherwise (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommandsExitAsTheContractSays(t *testing.T) {
	changes := reconcile.Plan{Format: 1, Changes: []reconcile.Change{{Action: reconcile.Create, Result: reconcile.Done}}, Summary: reconcile.Summary{Create: 1}}
	blocked := reconcile.Plan{Format: 1, Changes: []reconcile.Change{{Action: reconcile.Block}}, Summary: reconcile.Summary{Block: 1}}
	failed := reconcile.Plan{Format: 1, Changes: []reconcile.Change{{Action: reconcile.Create, Result: reconcile.Failed}}}
	locked := fmt.Errorf("site rds-prod: %w", reconcile.ErrLocked)
	tests := []struct {
		args string
		host recorder
		want int
	}{
		{"init", recorder{draft: reconcile.Draft{Converged: true}}, exitDone},
		{"init", recorder{draft: reconcile.Draft{Plan: blocked}}, exitBlocked},
		{"init", recorder{draft: reconcile.Draft{Plan: changes}}, exitFailed}, // its promise is not kept
		{"init", recorder{err: fmt.Errorf("%w: two pools", reconcile.ErrRefused)}, exitBlocked},
		{"init", recorder{err: errors.New("zfs list failed")}, exitFailed},
		{"plan", recorder{plan: changes}, exitDone},
		{"plan --detailed-exitcode", recorder{plan: changes}, exitChanges},
		{"plan --detailed-exitcode", recorder{plan: blocked}, exitBlocked},
		{"plan", recorder{err: errors.New("zfs list failed")}, exitFailed},
		{"apply", recorder{plan: changes}, exitDone},
		{"apply", recorder{plan: blocked}, exitBlocked},
		{"apply", recorder{plan: failed}, exitFailed},
		{"verify", recorder{drill: reconcile.Drill{OK: true}}, exitDone},
		{"verify", recorder{drill: reconcile.Drill{}}, exitFailed},
		{"verify", recorder{err: fmt.Errorf("%w: no snapshot", reconcile.ErrRefused)}, exitBlocked},
		{"verify", recorder{lockErr: locked}, exitLocked},
		{"verify", recorder{err: errors.New("zfs clone failed")}, exitFailed},
		{"apply", recorder{lockErr: locked}, exitLocked},
		{"snapshot", recorder{lockErr: locked}, exitLocked},
		{"snapshot", recorder{err: errors.New("x")}, exitFailed},
		{"eject --plan", recorder{plan: changes}, exitDone},
		{"eject --plan", recorder{plan: blocked}, exitBlocked},
		{"eject", recorder{plan: changes}, exitDone},
		{"eject", recorder{plan: blocked}, exitBlocked},
		{"eject", recorder{plan: failed}, exitFailed},
		{"eject", recorder{lockErr: locked}, exitLocked},
		{"eject --check", recorder{}, exitDone},
		{"eject --check", recorder{callers: []reconcile.Caller{{DataDir: "/data"}}}, exitBlocked},
		{"eject --check", recorder{err: errors.New("x")}, exitFailed},
		{"eject", recorder{err: fmt.Errorf("%w: watch runs", reconcile.ErrRefused)}, exitBlocked},
		{"status", recorder{}, exitDone},
		{"status", recorder{status: reconcile.Status{Failures: []string{"x"}}}, exitFailed},
		{"status", recorder{err: errors.New("x")}, exitFailed},
	}
	for _, test := range tests {
		for _, output := range []string{"text", "json"} {
			t.Run(test.args+" -o "+output, func(t *testing.T) {
				status, stdout, stderr := invoke(t, &test.host, append(strings.Fields(test.args), "-o", output)...)
				if status != test.want {
					t.Errorf("exit status %d, want %d: %s", status, test.want, stderr)
				}
				if output == "json" && !json.Valid([]byte(stdout)) {
					t.Errorf("stdout is not JSON: %q", stdout)
				}
			})
		}
	}
}

// The runtime's own exit status for a panic would be that of pending changes.
func TestFaultOfTheProgram(t *testing.T) {
	status, _, stderr := invoke(t, nil, "plan", "--detailed-exitcode")
	if status != exitFailed || !strings.Contains(stderr, "a fault of zreconcile itself") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
}

// pitfall 52: a result that could not be written is a failure.
func TestPitfall52_FullDiskBelowStdout(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"schema"}, {"--help"}} {
		var errs bytes.Buffer
		p := &program{stdout: stream{Writer: full}, stderr: stream{Writer: &errs}, getenv: os.Getenv, clock: time.Now}
		if status := exitStatus(p.execute(t.Context(), args)); status != exitFailed || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%q: exit status %d: %s", args, status, &errs)
		}
	}
}

// An apply that was ended on the way tells what it had done until then.
func TestApplyThatEndsOnTheWay(t *testing.T) {
	r := &recorder{
		plan: reconcile.Plan{Format: 1, Changes: []reconcile.Change{{Kind: "pool", Name: "zp1", Action: reconcile.Create, Result: reconcile.Done}}},
		err:  errors.New("zfs list failed"),
	}
	status, stdout, _ := invoke(t, r, "apply")
	if status != exitFailed || !strings.Contains(stdout, "pool zp1: done") || !strings.Contains(stdout, "zfs list failed") {
		t.Errorf("exit status %d:\n%s", status, stdout)
	}
}

func TestSnapshotSaysItsName(t *testing.T) {
	_, text, _ := invoke(t, &recorder{}, "snapshot")
	if want := "took zr-20261123T000030Z\n"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if _, text, _ = invoke(t, &recorder{held: true}, "snapshot", "--release", "zr-x"); !strings.HasPrefix(text, "released zr-x") {
		t.Errorf("got %q", text)
	}
	if _, text, _ = invoke(t, &recorder{}, "snapshot", "--release", "zr-x"); !strings.HasPrefix(text, "zr-x was not held") {
		t.Errorf("got %q", text)
	}
	_, text, _ = invoke(t, &recorder{}, "snapshot", "--release", "zr-x", "-o", "json")
	var released snapshotJSON
	if err := json.Unmarshal([]byte(text), &released); err != nil || released.Released != "zr-x" || released.Format != 1 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestLogFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		json bool
		said bool
	}{
		{nil, false, true},
		{[]string{"--log-format", "json"}, true, true},
		{[]string{"--log-level", "error"}, false, false}, // a note is a warning
	} {
		r := &recorder{watch: func(_ context.Context, o reconcile.WatchOptions) error {
			o.OnPlan(reconcile.Plan{Notes: []string{"pool zp1 is degraded"}})
			return nil
		}}
		_, stdout, stderr := invoke(t, r, append([]string{"watch"}, test.args...)...)
		if stdout != "" {
			t.Errorf("%v: the log went to stdout: %q", test.args, stdout)
		}
		if strings.Contains(stderr, "zp1") != test.said || test.said && json.Valid([]byte(stderr)) != test.json {
			t.Errorf("%v: stderr is %q", test.args, stderr)
		}
	}
}

func TestWatchWritesPlansAsLinesOfJSON(t *testing.T) {
	r := &recorder{watch: func(_ context.Context, o reconcile.WatchOptions) error {
		o.OnPlan(reconcile.Plan{Site: "one"})
		o.OnPlan(reconcile.Plan{Site: "two"})
		return nil
	}}
	_, stdout, _ := invoke(t, r, "watch", "-o", "json")
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 2 || !json.Valid([]byte(lines[0])) {
		t.Errorf("want two lines of JSON, got %q", stdout)
	}
}

func TestWatchEndsWithAFailure(t *testing.T) {
	r := &recorder{watch: func(context.Context, reconcile.WatchOptions) error { return errors.New("x") }}
	if status, _, _ := invoke(t, r, "watch", "--lock-timeout", "7s"); status != exitFailed {
		t.Errorf("exit status %d", status)
	}
	if r.asked[0] != "watch with lock timeout 7s" {
		t.Errorf("asked %q", r.asked)
	}
}
