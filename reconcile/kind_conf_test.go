package reconcile

import (
	"testing"

	"github.com/zreconcile/zreconcile/postgres"
)

// spoilt makes a case's from of what needs the state alone.
func spoilt(f func(*State)) func(testing.TB, *State) {
	return func(_ testing.TB, s *State) { f(s) }
}

func TestDiffConf(t *testing.T) {
	only := Only{kindConf}
	update := []string{"update conf/standby"}
	blocked := []string{"block conf/standby"}
	conf := func(lines string) []string { return []string{"  port: 1922", "  port: 1922\n  conf:\n" + lines} }
	checkDiffs(t, map[string]diffCase{
		"nothing differs":               {only: only},
		"an empty postgresql.auto.conf": {only: only, from: spoilt(func(s *State) { s.Cluster.Files[autoFile] = []byte{} })},
		"none at all":                   {only: only, from: spoilt(func(s *State) { delete(s.Cluster.Files, autoFile) })},
		"ALTER SYSTEM over a managed setting": {only: only, want: update,
			from: spoilt(func(s *State) { s.Cluster.Files[autoFile] = []byte("port = '9999'\nwork_mem = '5MB'\n") })},
		"the managed file edited": {only: only, want: update,
			from: spoilt(func(s *State) { s.Cluster.Files[managedFile] = []byte("port = 9999\n") })},
		"a comment in the managed file": {only: only, want: update,
			from: spoilt(func(s *State) {
				s.Cluster.Files[managedFile] = append([]byte("# by hand\n"), s.Cluster.Files[managedFile]...)
			})},
		"somebody before us in pg_hba.conf": {only: only, want: update,
			from: spoilt(func(s *State) {
				s.Cluster.Files[hbaFile] = append([]byte("local all all trust\n"), s.Cluster.Files[hbaFile]...)
			})},
		"no standby.signal":   {only: only, want: update, from: spoilt(func(s *State) { s.Cluster.Standby = false })},
		"a program of before": {only: only, want: update, from: spoilt(func(s *State) { s.Cluster.Helper = FileID{Size: 8} })},
		"not loaded yet":      {only: only, want: update, from: spoilt(func(s *State) { s.Cluster.Stale = true })},
		"the primary raised max_connections": {only: only, want: update, // pitfall 40
			from: spoilt(func(s *State) { s.Cluster.Control.MaxConnections = 300 })},
		"a lower value in the file": {only: only, want: blocked, edits: conf("    set: {max_connections: 50}")},
		"unsupported is an error": {only: only, want: blocked, edits: conf("    unsupported: error"),
			from: spoilt(func(s *State) {
				s.Cluster.Rejected.Parameters = map[string]string{"rds_x": "unrecognized configuration parameter"}
			})},
		"a promoted standby is left alone": {only: only,
			from: spoilt(func(s *State) { s.Cluster.Status.InRecovery, s.Cluster.Files[managedFile] = false, nil })},
	})
}

func TestDiffStandby(t *testing.T) {
	only := Only{kindStandby}
	gone := func(s *State) { s.Cluster.Process, s.Cluster.Status = postgres.Process{}, nil }
	restart := []string{"  port: 1922", "  port: 1922\n  restart: never"}
	checkDiffs(t, map[string]diffCase{
		"it runs":     {only: only},
		"it does not": {only: only, want: []string{"start standby/standby"}, from: spoilt(gone)},
		"its port is taken": {only: only, want: []string{"block standby/standby"},
			from: spoilt(func(s *State) { gone(s); s.Ports[1922] = "nginx (process 80)" })},
		"settings wait for a restart": {only: only, want: []string{"update standby/standby"},
			from: spoilt(func(s *State) { s.Cluster.Status.PendingRestart = []string{"max_connections"} })},
		"and the file forbids it": {only: only, edits: restart,
			from: spoilt(func(s *State) { s.Cluster.Status.PendingRestart = []string{"max_connections"} })},
		"its unit differs": {only: only, want: []string{"update standby/standby"}, from: spoilt(func(s *State) { s.Cluster.UnitDiffers = true })},
		"the primary's WAL is lost": {only: only, want: []string{"block standby/standby"},
			from: spoilt(func(s *State) {
				s.Cluster.LostWAL, s.Cluster.Status.ReceiverState = "requested WAL segment 000000010000000000000003 has already been removed", ""
			})},
		"promoted": {only: only, want: []string{"block standby/standby"}, from: spoilt(func(s *State) { s.Cluster.Status.InRecovery = false })},
		"promoted and stopped": {only: only, want: []string{"block standby/standby"},
			from: spoilt(func(s *State) { gone(s); s.Cluster.Control.State = "shut down" })},
	})
}
