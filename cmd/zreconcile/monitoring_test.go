package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// alertRule is a rule of examples/prometheus/alerts.yaml.
type alertRule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "examples/prometheus/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string      `yaml:"name"`
			Rules []alertRule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var rules []alertRule
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// metricName is one of ours in an expression, with its selector.
var metricName = regexp.MustCompile(`(zreconcile_[a-z_]+)(?:\{([^}]*)\})?`)

// labelValues are those that a selector names: state=~"failed|refused".
var labelValues = regexp.MustCompile(`([a-z]+)=~?"([^"]*)"`)

// checkExpression holds an expression against what watch serves: a metric or a
// value of a label that is not there never fires.
func checkExpression(t *testing.T, where, expr string) {
	t.Helper()
	metrics, err := allMetrics()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{"state": restoreStates, "outcome": {"done", "failed", "blocked"}}
	for _, use := range metricName.FindAllStringSubmatch(expr, -1) {
		i := slices.IndexFunc(metrics, func(m metricInfo) bool { return m.name == use[1] || partsOf(m.name, use[1]) })
		if i < 0 {
			t.Errorf("%s: there is no metric %s", where, use[1])
			continue
		}
		for _, label := range labelValues.FindAllStringSubmatch(use[2], -1) {
			if label[1] == "instance" { // Prometheus adds it
				continue
			}
			if !slices.Contains(strings.Split(metrics[i].labels, ","), label[1]) {
				t.Errorf("%s: %s has no label %s", where, use[1], label[1])
			}
			for _, value := range strings.Split(label[2], "|") {
				if !slices.Contains(values[label[1]], value) {
					t.Errorf("%s: %s is never %s", where, label[1], value)
				}
			}
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
		t.Errorf("%s: brackets do not match in %s", where, expr)
	}
}

// partsOf is true of the series that a histogram is made of.
func partsOf(histogram, name string) bool {
	part, found := strings.CutPrefix(name, histogram)
	return found && strings.HasSuffix(histogram, "_duration_seconds") && slices.Contains([]string{"_bucket", "_sum", "_count"}, part)
}

func TestAlertRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range alertRules(t) {
		checkExpression(t, r.Alert, r.Expr)
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s does not say what to do", r.Alert)
		}
		for _, span := range spans.FindAllStringSubmatch(r.Annotations["description"], -1) {
			if args, found := arguments(span[1]); found {
				if err := parses(args); err != nil {
					t.Errorf("%s: %s: %v", r.Alert, span[1], err)
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("%d rules", len(seen))
	}
}

func TestGrafanaDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "examples/grafana/zreconcile.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, W int }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	ids, drawn := map[int]bool{}, map[string]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || len(p.Targets) == 0 || ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkExpression(t, "panel "+p.Title, target.Expr)
			for _, use := range metricName.FindAllStringSubmatch(target.Expr, -1) {
				drawn[use[1]] = true
			}
		}
	}
	for _, name := range []string{"zreconcile_health_level", "zreconcile_standby_lag_seconds", "zreconcile_recoverable_from_timestamp_seconds",
		"zreconcile_drill_last_ok", "zreconcile_restores", "zreconcile_pool_free_bytes", "zreconcile_slot_retained_bytes"} {
		if !drawn[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}
