package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// minimal is a site with nothing but what has no default.
const minimal = `version: 1
site: s
pool: {name: tank}
datasets:
  - {name: data, properties: {mountpoint: /data}}
  - {name: wal, properties: {mountpoint: /wal}}
standby:
  dataDir: /data/pg
  port: 5433
  primary: {host: db, user: rep}
archive: {dir: /wal/archive}
`

// parse reads a site file that must have no error.
func parse(t *testing.T, text string) *Site {
	t.Helper()
	site, problems := Parse(map[string][]byte{"site.yaml": []byte(text)}, "site.yaml")
	if site == nil {
		t.Fatalf("no site:\n%v", problems)
	}
	return site
}

func value(s string) *string { return &s }

func TestDefaults(t *testing.T) {
	site := parse(t, minimal+"restores: [{name: r, target: {latest: true}, port: 5434}, {name: p, target: {latest: true}, port: 5435, action: promote}]\n")
	if site.Timezone != time.UTC || site.Pool.KeepFree != 0.05 || site.Snapshots != nil || site.Verify != nil {
		t.Errorf("timezone %v, keepFree %v, snapshots %v, verify %v", site.Timezone, site.Pool.KeepFree, site.Snapshots, site.Verify)
	}
	wantHealth := Health{Lag: 5 * time.Minute, SnapshotAge: 26 * time.Hour, DrillAge: 192 * time.Hour, Free: 0.15}
	if diff := cmp.Diff(wantHealth, site.Health); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
	want := &Standby{
		DataDir: "/data/pg", Port: 5433, ListenAddresses: "localhost", SocketDir: "/run/zreconcile/s",
		OSUser: "postgres", AdminDatabase: "postgres", Supervisor: "auto", Restart: "auto",
		Basebackup: Basebackup{Checkpoint: "fast"},
		Primary: Primary{Hosts: []string{"db"}, Port: 5432, User: "rep", SSLMode: "require", ApplicationName: "zreconcile-s",
			Pos: Pos{"site.yaml", 10, 3}},
		Conf: Conf{Unsupported: "disable"},
		Pos:  Pos{"site.yaml", 7, 1},
	}
	if diff := cmp.Diff(want, site.Standby); diff != "" {
		t.Errorf("standby (-want +got):\n%s", diff)
	}
	pos := Pos{"site.yaml", 12, 12}
	wantRestore := Restore{
		Name: "r", Target: Target{Latest: true}, Dataset: "tank/zreconcile/s/r", Port: 5434, ListenAddresses: "localhost",
		Conf: []Setting{{"shared_buffers", "256MB", pos}}, Action: "pause", Grace: time.Hour, Pos: pos,
	}
	if diff := cmp.Diff(wantRestore, site.Restores[0]); diff != "" {
		t.Errorf("restore (-want +got):\n%s", diff)
	}
	if !site.Restores[1].Keep {
		t.Error("a promoted restore is not kept")
	}
}

func TestSSLModeFollowsRootCert(t *testing.T) {
	for text, want := range map[string]string{
		"user: rep":                       "require",
		"user: rep, sslRootCert: /ca.pem": "verify-full",
		"user: rep, sslRootCert: /ca.pem, sslmode: verify-ca": "verify-ca",
		"user: rep, sslmode: disable":                         "disable",
	} {
		if got := parse(t, strings.Replace(minimal, "user: rep", text, 1)).Standby.Primary.SSLMode; got != want {
			t.Errorf("%s: sslmode %s, want %s", text, got, want)
		}
	}
}

// Values stay the text that was written; ZFS's booleans become on and off.
func TestValuesAsWritten(t *testing.T) {
	text := strings.Replace(minimal, "{mountpoint: /wal}",
		`{mountpoint: /wal, a: on, b: off, c: true, d: No, e: "yes", f: 8192, g: 0x10, h: null, i: ~, j: 1.50, u:v: yes}`, 1)
	text = strings.Replace(text, "port: 5433", `port: 5433
  conf: {set: {fsync: on, full_page_writes: true, Work_Mem: 64MB, seq_page_cost: 1.10, log_line_prefix: "%m ", a.b: 010, x: 2020-03-21 10:00:00}}`, 1)
	site := parse(t, text)
	want := map[string]*string{
		"mountpoint": value("/wal"), "a": value("on"), "b": value("off"), "c": value("on"), "d": value("off"), "e": value("yes"),
		"f": value("8192"), "g": value("0x10"), "h": nil, "i": nil, "j": value("1.50"), "u:v": value("yes"),
	}
	got := map[string]*string{}
	for _, p := range site.Datasets[1].Properties {
		got[p.Name] = p.Value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	var settings []string
	for _, s := range site.Standby.Conf.Set {
		settings = append(settings, s.Name+"="+s.Value)
	}
	wantSettings := []string{"a.b=010", "fsync=on", "full_page_writes=true", "log_line_prefix=%m ", "seq_page_cost=1.10", "work_mem=64MB", "x=2020-03-21 10:00:00"}
	if diff := cmp.Diff(wantSettings, settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestRestoreDefaultsAreMergedByKey(t *testing.T) {
	site := parse(t, minimal+`restoreDefaults:
  conf: {set: {work_mem: 8MB, jit: off}}
  properties: {refquota: 50G, atime: off}
  grace: 2h
restores:
  - name: r
    target: {time: 2020-03-21 17:28:37.670338+08:00}
    port: 5434
    conf: {set: {Work_Mem: 16MB}}
    properties: {refquota: null, recordsize: 8K}
    grace: 0
`)
	r := site.Restores[0]
	want := []Setting{
		{"jit", "off", Pos{"site.yaml", 13, 36}},
		{"shared_buffers", "256MB", r.Pos},
		{"work_mem", "16MB", Pos{"site.yaml", 20, 28}},
	}
	if diff := cmp.Diff(want, r.Conf); diff != "" {
		t.Errorf("conf (-want +got):\n%s", diff)
	}
	wantProperties := []Property{
		{"atime", value("off"), Pos{"site.yaml", 14, 38}},
		{"refquota", nil, Pos{"site.yaml", 21, 28}},
		{"recordsize", value("8K"), Pos{"site.yaml", 21, 46}},
	}
	if diff := cmp.Diff(wantProperties, r.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if r.Grace != 0 {
		t.Errorf("grace %v, want 0", r.Grace)
	}
	if want := time.Date(2020, 3, 21, 9, 28, 37, 670338000, time.UTC); !r.Target.Time.Equal(want) {
		t.Errorf("an unquoted time with its offset is %v, want %v", r.Target.Time, want)
	}
}

func TestTargets(t *testing.T) {
	for text, want := range map[string]Target{
		"{lsn: 11d/97002068, stop: before}": {LSN: "11D/97002068", Stop: "before"},
		"{lsn: 0/3, stop: after}":           {LSN: "0/3", Stop: "after"},
		"{xid: 7964, stop: before}":         {XID: "7964", Stop: "before"},
		"{restorePoint: before migration}":  {RestorePoint: "before migration"},
		"{snapshot: zr-20200321T091701Z}":   {Snapshot: "zr-20200321T091701Z"},
		"{latest: true}":                    {Latest: true},
	} {
		site := parse(t, minimal+"restores: [{name: r, port: 5434, target: "+text+"}]\n")
		if diff := cmp.Diff(want, site.Restores[0].Target); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// A value has the place where it is written, also when a merge brings it.
func TestPositionsThroughAnchors(t *testing.T) {
	site := parse(t, `version: 1
site: s
pool: {name: tank}
datasets:
  - name: a
    properties: &tuned
      recordsize: &size 8K
      atime: off
  - name: b
    properties: {<<: *tuned, atime: on}
  - name: c
    properties:
      <<: [{logbias: throughput}, *tuned]
      recordsize: *size
`)
	want := [][]Property{
		{{"recordsize", value("8K"), Pos{"site.yaml", 7, 19}}, {"atime", value("off"), Pos{"site.yaml", 8, 14}}},
		{{"atime", value("on"), Pos{"site.yaml", 10, 37}}, {"recordsize", value("8K"), Pos{"site.yaml", 7, 19}}},
		{
			{"recordsize", value("8K"), Pos{"site.yaml", 14, 19}},
			{"logbias", value("throughput"), Pos{"site.yaml", 13, 22}},
			{"atime", value("off"), Pos{"site.yaml", 8, 14}},
		},
	}
	for i, dataset := range site.Datasets {
		if diff := cmp.Diff(want[i], dataset.Properties); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dataset.Name, diff)
		}
	}
}
