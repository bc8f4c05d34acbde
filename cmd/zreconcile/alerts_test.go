package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// hostStory is what a host does to the metrics, and which alerts fire at its end.
type hostStory struct {
	name   string
	status func(*reconcile.Status) // makes it of a healthy one; nil: no apply has ended yet
	lasts  time.Duration           // 3 h, unless it says otherwise
	series map[string]string       // more series, or others, in promtool's notation, but for how often
	fires  []string
}

// hostStories go through what health.go judges: who is woken by the verdict is
// told the cause, and nobody is woken by what is no fault.
var hostStories = []hostStory{
	{name: "all is well", status: func(*reconcile.Status) {}},
	{name: "a new host, ten minutes old, of a primary that commits nothing", lasts: 10 * time.Minute, status: newHost},
	{name: "a new host, of a primary that commits nothing for hours", status: newHost, fires: []string{"ZreconcileWarning"}},
	{name: "the first copy goes on", lasts: time.Hour},
	{name: "the first apply does not end", fires: []string{"ZreconcileNothingKnown"}},
	{name: "watch is gone", series: map[string]string{"up": "0"}, fires: []string{"ZreconcileNotSeen"}},
	{name: "a site of a pool alone", status: func(s *reconcile.Status) {
		*s = reconcile.Status{Pool: s.Pool}
	}},
	{name: "the primary is restarted", lasts: 6 * time.Minute, status: func(s *reconcile.Status) { disconnect(s, 5*time.Minute) }},
	{name: "the primary is gone", status: func(s *reconcile.Status) { disconnect(s, 3*time.Hour) },
		fires: []string{"ZreconcileRecoverabilityStandsStill", "ZreconcileStandbyLags", "ZreconcileStandbyNotConnected", "ZreconcileWarning"}},
	{name: "a device had errors", status: func(s *reconcile.Status) {
		s.Pool.Faults = []string{"/dev/disk/by-id/nvme-B had errors (read 0, write 0, checksum 56)"}
	}, fires: []string{"ZreconcilePoolFaults", "ZreconcileWarning"}},
	{name: "the standby is down", status: func(s *reconcile.Status) {
		s.Standby = reconcile.StandbyStatus{State: reconcile.StandbyStopped}
	}, fires: []string{"ZreconcileCritical", "ZreconcileStandbyDown"}},
	{name: "the standby was promoted", status: func(s *reconcile.Status) {
		s.Standby.State, s.Standby.Connected, s.Standby.LagBytes, s.Standby.LagSeconds = reconcile.StandbyPromoted, false, nil, nil
	}, fires: []string{"ZreconcileCritical", "ZreconcileStandbyNotConnected"}},
	{name: "the standby answers nobody", status: func(s *reconcile.Status) {
		s.Standby = reconcile.StandbyStatus{State: reconcile.StandbySilent, Running: true}
	}, fires: []string{"ZreconcileUnknown"}},
	{name: "the standby is behind", status: func(s *reconcile.Status) { late := 900.0; s.Standby.LagSeconds = &late },
		fires: []string{"ZreconcileStandbyLags", "ZreconcileWarning"}},
	{name: "settings wait for a restart", lasts: 26 * time.Hour, status: func(s *reconcile.Status) { s.Standby.PendingRestart = []string{"max_connections"} },
		fires: []string{"ZreconcileRestartPending", "ZreconcileWarning"}},
	{name: "the primary's disk fills", status: func(s *reconcile.Status) { much := int64(20 << 30); s.Standby.SlotRetainedBytes = &much },
		fires: []string{"ZreconcileSlotRetainsWAL", "ZreconcileWarning"}},
	{name: "zfs can't be asked", status: func(s *reconcile.Status) { *s = reconcile.BlankStatus(s.Site, "zfs list failed") },
		fires: []string{"ZreconcileUnknown"}},
	{name: "the pool is not imported", status: func(s *reconcile.Status) {
		*s = reconcile.Status{Standby: reconcile.StandbyStatus{State: reconcile.StandbyMissing}}
	}, fires: []string{"ZreconcileCritical", "ZreconcileNothingRecoverable", "ZreconcileStandbyDown"}},
	{name: "a disk failed", status: func(s *reconcile.Status) { s.Pool.Health = "DEGRADED" },
		fires: []string{"ZreconcileCritical", "ZreconcilePoolNotOnline"}},
	{name: "the pool is nearly full", status: func(s *reconcile.Status) { s.Pool.Free = s.Pool.Size / 10 },
		fires: []string{"ZreconcilePoolFull", "ZreconcileWarning"}},
	{name: "archiving fails", status: func(s *reconcile.Status) { s.Standby.ArchiverFailing = "000000010000000000000007" },
		fires: []string{"ZreconcileArchiveFails", "ZreconcileCritical"}},
	{name: "the archive is not mounted", status: func(s *reconcile.Status) { s.Archive = reconcile.ArchiveStatus{Missing: "not mounted"} },
		fires: []string{"ZreconcileCritical"}},
	{name: "archive_command hangs", lasts: 7 * time.Hour, status: func(*reconcile.Status) {},
		series: map[string]string{"zreconcile_standby_received_bytes": "0+2000000"}, fires: []string{"ZreconcileArchiveStandsStill"}},
	{name: "the primary writes, and it is archived", lasts: 7 * time.Hour, status: func(*reconcile.Status) {}, series: map[string]string{
		"zreconcile_standby_received_bytes": "0+2000000", "zreconcile_archive_last_archived_timestamp_seconds": "0+120"}},
	{name: "a segment is damaged", status: func(s *reconcile.Status) { s.Archive.Damaged = []string{"000000010000000000000007"} },
		fires: []string{"ZreconcileArchiveDamaged"}},
	{name: "WAL is missing", status: func(s *reconcile.Status) { severalWindows(s); s.Windows[0].Lost = true },
		fires: []string{"ZreconcileCritical", "ZreconcileMomentsLost"}},
	{name: "old snapshots are single points, as the file says", status: func(s *reconcile.Status) {
		severalWindows(s)
		s.Archive.Gaps = []reconcile.ArchiveGap{{Timeline: 1, From: "000000010000000000000005", To: "000000010000000000000006"}}
	}},
	{name: "there is no snapshot", status: func(s *reconcile.Status) { s.Snapshots, s.Windows = nil, nil },
		fires: []string{"ZreconcileCritical", "ZreconcileNoSnapshot", "ZreconcileNothingRecoverable"}},
	{name: "no snapshot is taken any more", status: func(s *reconcile.Status) { s.Snapshots[0].TakenAt = ageOf(5 * time.Hour) },
		fires: []string{"ZreconcileSnapshotOld", "ZreconcileWarning"}},
	{name: "the drill failed", status: func(s *reconcile.Status) { s.LastDrill.OK = false },
		fires: []string{"ZreconcileCritical", "ZreconcileDrillFailed"}},
	{name: "no drill is made any more", status: func(s *reconcile.Status) { s.LastDrill.At = *ageOf(60 * time.Hour) },
		fires: []string{"ZreconcileDrillOld", "ZreconcileWarning"}},
	{name: "a restore is refused", status: func(s *reconcile.Status) { s.Restores = []reconcile.RestoreStatus{{Name: "a", State: "refused"}} },
		fires: []string{"ZreconcileRestoreFailed", "ZreconcileWarning"}},
	{name: "applies fail", status: func(*reconcile.Status) {}, series: map[string]string{`zreconcile_applies_total{outcome="failed"}`: "0+0.4"},
		fires: []string{"ZreconcileAppliesFail"}},
	{name: "a person has to decide", status: func(*reconcile.Status) {}, series: map[string]string{"zreconcile_blocked_changes": "2"},
		fires: []string{"ZreconcileBlocked"}},
}

// step is how often the metrics are scraped, and the rules looked at.
const step = 2 * time.Minute

func ageOf(d time.Duration) *reconcile.Time { return &reconcile.Time{Time: testNow.Add(-d)} }

// healthyHost is one as examples/production.yaml makes it.
func healthyHost() reconcile.Status {
	lagBytes, lagSeconds, failures := int64(0), 0.0, int64(0)
	return reconcile.Status{
		Pool: &reconcile.PoolStatus{Name: "tank", Health: "ONLINE", Size: 100, Free: 60},
		Standby: reconcile.StandbyStatus{State: reconcile.StandbyStreaming, Running: true, Connected: true, InRecovery: true, LagBytes: &lagBytes, LagSeconds: &lagSeconds,
			ReceivedLSN: 0x7000000, ReplayedLSN: 0x7000000, ArchiveFailures: &failures, LastArchivedAt: ageOf(10 * time.Minute)},
		Archive:   reconcile.ArchiveStatus{Segments: 7, Bytes: 7 << 24},
		Snapshots: []reconcile.SnapshotStatus{{Name: "zr-1", TakenAt: ageOf(time.Hour), Latest: &reconcile.Moment{LSN: 1}}},
		Windows:   []reconcile.Window{{From: *ageOf(time.Hour), To: *ageOf(0)}},
		LastDrill: &reconcile.LastDrill{At: *ageOf(10 * time.Hour), OK: true, Snapshot: "zr-1"},
	}
}

// newHost has a snapshot, of which no commit is known yet.
func newHost(s *reconcile.Status) {
	s.Windows, s.Standby.LagSeconds, s.Standby.LastArchivedAt = nil, nil, nil
	s.Archive = reconcile.ArchiveStatus{}
	s.LastDrill.At = *ageOf(time.Minute)
}

// disconnect takes the primary away, for some time.
func disconnect(s *reconcile.Status, since time.Duration) {
	late := since.Seconds()
	s.Standby.State, s.Standby.Connected, s.Standby.LagBytes, s.Standby.LagSeconds = reconcile.StandbyDisconnected, false, nil, &late
	s.Windows[0].From, s.Windows[0].To = *ageOf(since + time.Hour), *ageOf(since)
}

func severalWindows(s *reconcile.Status) {
	s.Windows = append([]reconcile.Window{{From: *ageOf(9 * time.Hour), To: *ageOf(8 * time.Hour)}}, s.Windows...)
}

// seriesOf are the metrics of a status at the end of a story, in promtool's
// notation, where 1970 begins with the story.
func seriesOf(t *testing.T, s reconcile.Status, end time.Duration) map[string]string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{func() (reconcile.Status, bool) { return s, true }})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name, value := f.GetName(), m.GetGauge().GetValue()+m.GetCounter().GetValue()
			if strings.HasSuffix(name, "_timestamp_seconds") {
				value += end.Seconds() - unixSeconds(testNow)
			}
			for _, l := range m.GetLabel() {
				name += fmt.Sprintf("{%s=%q}", l.GetName(), l.GetValue())
			}
			series[name] = strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
	return series
}

// inputSeries gives all series the labels that Prometheus adds.
func inputSeries(series map[string]string, end time.Duration) []map[string]string {
	var list []map[string]string
	for _, name := range slices.Sorted(maps.Keys(series)) {
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		if labels != "" {
			labels += ","
		}
		list = append(list, map[string]string{"series": metric + "{" + labels + `job="zreconcile",instance="db"}`,
			"values": fmt.Sprintf("%sx%d", series[name], end/step)})
	}
	return list
}

// promtoolTest is a story as a test of `promtool test rules`.
func promtoolTest(t *testing.T, story hostStory, site *spec.Site) map[string]any {
	t.Helper()
	end := story.lasts
	if end == 0 {
		end = 3 * time.Hour
	}
	series := map[string]string{"up": "1"}
	if story.status != nil {
		s := healthyHost()
		story.status(&s)
		where := site
		if s.Standby.State == "" && len(s.Failures) == 0 {
			where = &spec.Site{Pool: site.Pool, Timezone: time.UTC, Health: site.Health}
		}
		if s.Verdict.Level == "" {
			s.Verdict = reconcile.Judge(where, s, testNow)
		}
		maps.Copy(series, seriesOf(t, s, end))
	}
	maps.Copy(series, story.series)
	firing := []map[string]any{}
	for _, alert := range story.fires {
		firing = append(firing, map[string]any{"labels": fmt.Sprintf("{alertname=%q}", alert), "value": 1})
	}
	return map[string]any{"name": story.name, "interval": step.String(), "input_series": inputSeries(series, end), "promql_expr_test": []map[string]any{{
		"expr": `count by (alertname) (ALERTS{alertstate="firing"}) # ` + story.name, "eval_time": end.String(), "exp_samples": firing}}}
}

// Prometheus itself plays each story through the rules. Each rule fires in one.
func TestAlertsOfAHost(t *testing.T) {
	site, problems, err := spec.Load(filepath.Join(top, "examples/production.yaml"))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v\n%v", err, problems)
	}
	rules, err := filepath.Abs(filepath.Join(top, "examples/prometheus/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fired := map[string]bool{}
	var tests []map[string]any
	for _, story := range hostStories {
		tests = append(tests, promtoolTest(t, story, site))
		for _, alert := range story.fires {
			fired[alert] = true
		}
	}
	for _, r := range alertRules(t) {
		if !fired[r.Alert] {
			t.Errorf("%s fires in no story", r.Alert)
		}
	}
	text, err := yaml.Marshal(map[string]any{"rule_files": []string{rules}, "evaluation_interval": step.String(), "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stories.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", file)
}

// The rules pass Prometheus's own checks, and its own test of them, which stands
// beside them for people who change them.
func TestAlertRulesByPromtool(t *testing.T) {
	promtool(t, "check", "rules", "alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
}

// promtool runs Prometheus's tool among the rules. On a laptop it may be missing;
// e2e/setup.sh tests brings it.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("promtool is missing: the rules were NOT tested; e2e/setup.sh tests installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = filepath.Join(top, "examples/prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
