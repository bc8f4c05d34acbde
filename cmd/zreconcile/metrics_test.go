package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zreconcile/zreconcile/reconcile"
)

// get asks a handler as Prometheus or a load balancer does.
func get(t *testing.T, handler http.Handler, path string) (status int, body string) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	response, err := http.Get(server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// The metrics of a status are those that alert rules and dashboards are written
// for: their names and values are held by a golden file.
func TestMetricsOfAStatus(t *testing.T) {
	sample := sampleStatus(t)
	failures := int64(3)
	sample.Standby.ArchiveFailures, sample.Standby.LastArchivedAt = &failures, at(t, "2026-11-22T23:59:00Z")
	for name, s := range map[string]reconcile.Status{
		"metrics.txt":         sample,
		"metrics-unknown.txt": reconcile.BlankStatus("rds-prod", "the pool can't be read"),
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(collector{func() (reconcile.Status, bool) { return s, true }})
			_, body := get(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/")
			golden(t, name, []byte(body))
		})
	}
}

// What could not be seen is left out of a scrape: 0 would be a lie, and fire alerts.
func TestUnknownMetricsAreLeftOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(*reconcile.Status)
		absent []string
		there  []string
	}{
		{"nothing is wrong", func(*reconcile.Status) {}, nil,
			[]string{"standby_connected", "archive_failing", "archive_gaps", "snapshots", "restores", "pool_online", "standby_received_bytes", "recoverable_lost_gaps"}},
		{"a server that answers nobody", func(s *reconcile.Status) {
			s.Standby = reconcile.StandbyStatus{State: reconcile.StandbySilent, Running: true, PendingRestart: []string{}}
		}, []string{"standby_connected", "standby_pending_restart", "archive_failing", "standby_lag_bytes", "standby_lag_seconds", "standby_received_bytes", "archive_failures_total"},
			[]string{"standby_running"}},
		{"a server that is down", func(s *reconcile.Status) { s.Standby = reconcile.StandbyStatus{State: reconcile.StandbyStopped} },
			[]string{"standby_pending_restart", "archive_failing", "standby_lag_seconds"}, []string{"standby_running", "standby_connected"}},
		{"no pool", func(s *reconcile.Status) {
			*s = reconcile.Status{Standby: reconcile.StandbyStatus{State: reconcile.StandbyMissing}}
		}, []string{"snapshots", "restores", "archive_gaps", "archive_segments", "pool_online", "pool_free_bytes", "snapshot_newest_timestamp_seconds"}, []string{"health_level", "standby_running"}},
		{"an archive that is not mounted", func(s *reconcile.Status) { s.Archive = reconcile.ArchiveStatus{Missing: "its dataset is not mounted"} },
			[]string{"archive_gaps", "archive_segments", "archive_bytes", "archive_damaged_segments"}, []string{"snapshots"}},
		{"nothing", func(s *reconcile.Status) { *s = reconcile.BlankStatus("a", "zfs list failed") },
			[]string{"snapshots", "restores", "archive_gaps", "recoverable_windows", "recoverable_lost_gaps", "standby_running", "standby_connected", "pool_online", "drill_last_ok"}, []string{"health_level", "observation_errors"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sampleStatus(t)
			test.spoil(&s)
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(collector{func() (reconcile.Status, bool) { return s, true }})
			_, body := get(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/")
			served := func(name string) bool {
				return strings.Contains(body, "\nzreconcile_"+name+" ") || strings.Contains(body, "\nzreconcile_"+name+"{")
			}
			for _, name := range test.absent {
				if served(name) {
					t.Errorf("zreconcile_%s is served", name)
				}
			}
			for _, name := range test.there {
				if !served(name) {
					t.Errorf("zreconcile_%s is not served", name)
				}
			}
		})
	}
}

func TestExporter(t *testing.T) {
	now := testNow
	e := newExporter("1.2.3", func() time.Time { return now }, &reconcile.Life{})
	handler := e.handler()
	check := func(path string, status int, says ...string) {
		t.Helper()
		got, body := get(t, handler, path)
		if got != status {
			t.Errorf("%s answers %d, want %d: %s", path, got, status, body)
		}
		for _, text := range says {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q:\n%s", path, text, body)
			}
		}
	}
	check("/healthz", 200, "ok")
	check("/readyz", 503, "not ended")
	check("/metrics", 200, `zreconcile_build_info{version="1.2.3"} 1`)
	check("/", 404)
	if _, body := get(t, handler, "/metrics"); strings.Contains(body, "zreconcile_apply_last_timestamp_seconds") || strings.Contains(body, "zreconcile_blocked_changes") {
		t.Errorf("an apply that was not made is told of:\n%s", body)
	}

	e.onChange(reconcile.Change{Kind: "snapshot", Result: reconcile.Done}, 1500*time.Millisecond)
	e.onRound(reconcile.Round{Took: 3 * time.Second})
	check("/readyz", 200, "ok")
	check("/metrics", 200, `zreconcile_changes_total{kind="snapshot",result="done"} 1`, `zreconcile_change_seconds_total{kind="snapshot"} 1.5`,
		`zreconcile_applies_total{outcome="done"} 1`, "zreconcile_apply_last_timestamp_seconds", "zreconcile_health_level 3",
		`zreconcile_apply_duration_seconds_bucket{le="2"} 0`, `zreconcile_apply_duration_seconds_bucket{le="8"} 1`, `zreconcile_failed_changes{kind="restore"} 0`)

	e.onRound(reconcile.Round{Plan: reconcile.Plan{Summary: reconcile.Summary{Block: 2}}})
	check("/readyz", 200)
	check("/metrics", 200, "zreconcile_blocked_changes 2", `zreconcile_applies_total{outcome="blocked"} 1`)

	e.onRound(reconcile.Round{Plan: reconcile.Plan{Changes: []reconcile.Change{{Kind: "restore", Result: reconcile.Failed}}}})
	check("/readyz", 503, "failed")
	check("/metrics", 200, `zreconcile_failed_changes{kind="restore"} 1`, `zreconcile_failed_changes{kind="pool"} 0`)
	e.onRound(reconcile.Round{Beside: true}) // the restore has not been tried again
	check("/readyz", 503, "failed")
	check("/metrics", 200, `zreconcile_failed_changes{kind="restore"} 1`)
	e.onRound(reconcile.Round{Err: errors.New("zpool: no such pool")})
	check("/readyz", 503, "no such pool")
	check("/metrics", 200, `zreconcile_applies_total{outcome="failed"} 2`)
}

// Without a host it is for this host alone.
func TestMetricsListenOnLocalhost(t *testing.T) {
	listener, err := listenMetrics(context.Background(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if host, _, _ := strings.Cut(listener.Addr().String(), ":"); host != "127.0.0.1" && !strings.HasPrefix(listener.Addr().String(), "[::1]") {
		t.Errorf("it listens on %s", listener.Addr())
	}
	if _, err := listenMetrics(context.Background(), "19187"); !errors.As(err, new(usageError)) {
		t.Errorf("an address without a port: %v", err)
	}
}

// A look at a pool whose devices are gone may never come back. Nobody but its
// scrape waits for it, and nothing is told as if it were known still.
func TestAScrapeThatHangs(t *testing.T) {
	t.Parallel() // it waits
	e := newExporter("1.2.3", func() time.Time { return testNow }, &reconcile.Life{})
	e.looking <- struct{}{} // a scrape that does not come back
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.onRound(reconcile.Round{})
		if status, body := get(t, e.handler(), "/readyz"); status != 200 {
			t.Errorf("/readyz answers %d: %s", status, body)
		}
	}()
	select {
	case <-ended:
	case <-time.After(lookDeadline):
		t.Error("the watch waits for a scrape")
	}
	if _, body := get(t, e.handler(), "/metrics"); !strings.Contains(body, "zreconcile_health_level 3") {
		t.Errorf("the next scrape is told:\n%s", body)
	}
}
