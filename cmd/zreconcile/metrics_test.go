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

	e.onChange(reconcile.Change{Kind: "snapshot", Result: reconcile.Done}, 1500*time.Millisecond)
	e.onRound(reconcile.Plan{}, nil, reconcile.Sight{})
	check("/readyz", 200, "ok")
	check("/metrics", 200, `zreconcile_changes_total{kind="snapshot",result="done"} 1`, `zreconcile_change_seconds_total{kind="snapshot"} 1.5`,
		`zreconcile_applies_total{outcome="done"} 1`, "zreconcile_apply_last_timestamp_seconds", "zreconcile_health_level 3")

	e.onRound(reconcile.Plan{Summary: reconcile.Summary{Block: 2}}, nil, reconcile.Sight{})
	check("/readyz", 200)
	check("/metrics", 200, "zreconcile_blocked_changes 2", `zreconcile_applies_total{outcome="blocked"} 1`)

	e.onRound(reconcile.Plan{Changes: []reconcile.Change{{Result: reconcile.Failed}}}, nil, reconcile.Sight{})
	check("/readyz", 503, "failed")
	e.onRound(reconcile.Plan{}, errors.New("zpool: no such pool"), reconcile.Sight{})
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
	if _, err := listenMetrics(context.Background(), "9187"); !errors.As(err, new(usageError)) {
		t.Errorf("an address without a port: %v", err)
	}
}
