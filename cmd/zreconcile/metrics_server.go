package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zreconcile/zreconcile/reconcile"
)

// exporter serves what monitoring asks of a watch: /metrics, /healthz (the
// process works) and /readyz (the last apply came to its end, and nothing
// failed). It runs no program.
type exporter struct {
	clock    func() time.Time
	life     *reconcile.Life
	changes  *prometheus.CounterVec
	took     *prometheus.CounterVec
	applies  *prometheus.CounterVec
	lasted   prometheus.Histogram
	applied  *prometheus.GaugeVec // of no labels: before the first apply there is none
	blocked  *prometheus.GaugeVec
	failing  *prometheus.GaugeVec
	registry *prometheus.Registry

	looking chan struct{} // holds one while a scrape looks at the host

	mu     sync.Mutex       // held for no longer than it takes to read or write what follows
	look   *reconcile.Sight // what watch last saw; nil before the first apply
	last   reconcile.Status
	lastAt time.Time
	ready  error
}

// freshness is how long a scrape may be answered from the one before.
const freshness = 5 * time.Second

// lookDeadline bounds what a scrape waits for the standby.
const lookDeadline = 5 * time.Second

var errNotApplied = errors.New("the first apply has not ended yet")

func newExporter(version string, clock func() time.Time, life *reconcile.Life) *exporter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "zreconcile_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "zreconcile_" + name, Help: help}, labels)
	}
	e := &exporter{clock: clock, life: life, ready: errNotApplied, looking: make(chan struct{}, 1), registry: prometheus.NewRegistry(),
		changes: counter("changes_total", "Changes that applies made or tried, by kind and result.", "kind", "result"),
		took:    counter("change_seconds_total", "Time that changes took, by kind.", "kind"),
		applies: counter("applies_total", "Applies by outcome: done, failed, blocked.", "outcome"),
		lasted: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "zreconcile_apply_duration_seconds", Help: "How long whole applies took.",
			Buckets: prometheus.ExponentialBuckets(0.5, 4, 9)}), // to nine hours: the first one copies the primary
		applied: gauge("apply_last_timestamp_seconds", "When the last apply ended."),
		blocked: gauge("blocked_changes", "Changes that wait for a person's decision."),
		failing: gauge("failed_changes", "Changes of the last apply that failed, by kind.", "kind"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "zreconcile_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	e.registry.MustRegister(e.changes, e.took, e.applies, e.lasted, e.applied, e.blocked, e.failing, info, collector{e.status})
	return e
}

// onChange counts a change of an apply.
func (e *exporter) onChange(c reconcile.Change, took time.Duration) {
	e.changes.WithLabelValues(c.Kind, string(c.Result)).Inc()
	e.took.WithLabelValues(c.Kind).Add(took.Seconds())
}

// onRound notes how an apply of the watch ended and how to look at what it saw.
func (e *exporter) onRound(r reconcile.Round) {
	e.sees(r.Seen)
	if r.Beside {
		return
	}
	outcome := "done"
	switch {
	case r.Err != nil || r.Plan.Failed():
		outcome = "failed"
	case r.Plan.Summary.Block > 0:
		outcome = "blocked"
	}
	e.applies.WithLabelValues(outcome).Inc()
	e.lasted.Observe(r.Took.Seconds())
	e.applied.WithLabelValues().Set(unixSeconds(e.clock()))
	e.blocked.WithLabelValues().Set(float64(r.Plan.Summary.Block))
	for _, kind := range reconcile.KindNames() {
		e.failing.WithLabelValues(kind).Set(float64(failedOf(r.Plan, kind)))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready = r.Err
	if r.Err == nil && r.Plan.Failed() {
		e.ready = errors.New("some changes of the last apply failed")
	}
}

// sees has the next scrape look at what an apply saw.
func (e *exporter) sees(seen reconcile.Sight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.look, e.lastAt = &seen, time.Time{}
}

// failedOf counts the changes of a kind that failed.
func failedOf(plan reconcile.Plan, kind string) (n int) {
	for _, c := range plan.Changes {
		if c.Kind == kind && c.Result == reconcile.Failed {
			n++
		}
	}
	return n
}

// status looks at the host; false before the first apply. The devices of a pool
// may go between two looks of the watch, and one at its files never come back:
// then nothing is known any more, and neither the watch nor /readyz waits for it.
func (e *exporter) status() (reconcile.Status, bool) {
	select {
	case e.looking <- struct{}{}:
		defer func() { <-e.looking }()
	case <-time.After(lookDeadline):
		return reconcile.BlankStatus("", "a look at the host hangs"), true
	}
	e.mu.Lock()
	look, last, at := e.look, e.last, e.lastAt
	e.mu.Unlock()
	if look == nil {
		return reconcile.Status{}, false
	}
	now := e.clock()
	if now.Sub(at) < freshness {
		return last, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookDeadline)
	defer cancel()
	last = look.Status(ctx, now)
	debug.FreeOSMemory() // reading WAL takes memory that a daemon at rest should not keep
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.look == look { // an apply that ended meanwhile saw something newer
		e.last, e.lastAt = last, now
	}
	return last, true
}

func (e *exporter) readiness(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	err := e.ready
	e.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (e *exporter) health(w http.ResponseWriter, _ *http.Request) {
	if !e.life.Well(e.clock()) {
		http.Error(w, "the watch hangs", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (e *exporter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", e.health)
	mux.HandleFunc("GET /readyz", e.readiness)
	return mux
}

// listenMetrics opens the address; without a host it is that of localhost, since
// what is served is for this host's own agent unless told otherwise.
func listenMetrics(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usageError{fmt.Errorf("--metrics %s: want HOST:PORT or :PORT: %w", address, err)}
	}
	if host == "" {
		host = "localhost"
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("serving metrics: %w", err)
	}
	return listener, nil
}

// serveMetrics begins to serve, where an address is given; what it returns hears
// of each round of the watch.
func (p *program) serveMetrics(ctx context.Context, address string, life *reconcile.Life) (onRound func(reconcile.Round), err error) {
	if address == "" {
		return nil, nil
	}
	listener, err := listenMetrics(ctx, address)
	if err != nil {
		return nil, err
	}
	info, _ := debug.ReadBuildInfo()
	e := newExporter(buildVersion(info).Version, p.clock, life)
	p.counted = e.onChange
	go func() {
		if err := e.serve(ctx, listener); err != nil {
			p.log.Error("the metrics are not served any more", "error", err)
		}
	}()
	p.log.Info("serving metrics", "address", listener.Addr().String())
	return e.onRound, nil
}

// serve answers until ctx ends.
func (e *exporter) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: e.handler(), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}
