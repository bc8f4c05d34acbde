package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

// three has two snapshots older than the one of the last half hour, of which
// the policy (last: 2) keeps one.
func three(t testing.TB, s *State) (oldest, older string) {
	site := givenSite(t)
	return addSnapshot(s, site, ago(3*time.Hour), 91), addSnapshot(s, site, ago(2*time.Hour), 92)
}

func TestDiffRetention(t *testing.T) {
	const oldest = "zr-20261123T090000Z"
	only := Only{kindRetention}
	removed := []string{"delete retention/" + oldest}
	with := func(f func(s *State, oldest *zfs.Snapshot)) func(testing.TB, *State) {
		return func(t testing.TB, s *State) {
			name, _ := three(t, s)
			if f != nil {
				f(s, snapshot(s, name))
			}
		}
	}
	state := func(f func(*State)) func(testing.TB, *State) {
		return with(func(s *State, _ *zfs.Snapshot) { f(s) })
	}
	restore := func(target string) []string {
		return []string{"{last: 2}\n", "{last: 2}\nrestores: [{name: r, port: 1923, target: {" + target + "}}]\n"}
	}
	checkDiffs(t, map[string]diffCase{
		"past its retention":     {only: only, from: with(nil), want: removed},
		"one with a hold stays":  {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.UserRefs = 1 })},
		"one with a clone stays": {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.Clones = 1 })},
		"somebody else's stays":  {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.Properties = nil })},
		"another site's stays":   {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.Properties[markSite] = zfs.Value{Value: "s2", Source: "local"} })},
		// pitfall 54
		"a stranger's that inherited our mark stays": {only: only, from: with(func(_ *State, o *zfs.Snapshot) {
			o.Properties = inherited("zp1/data", markSite, "s1", markFormat, marksFormat)
		})},
		"one of another format stays":      {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.Properties[markFormat] = zfs.Value{Value: "2", Source: "local"} })},
		"one on another dataset stays":     {only: only, from: with(func(_ *State, o *zfs.Snapshot) { o.Dataset = "zp1/wal" })},
		"one that a restore aims at stays": {only: only, from: with(nil), edits: restore("snapshot: " + oldest)},
		"one that a restore starts from stays": {only: only, edits: restore(`time: "2026-11-23 09:30:00Z"`), from: with(func(s *State, o *zfs.Snapshot) {
			s.Resolved["r"] = Resolution{Base: newSnapshot(*o)}
		})},
		"one that a refused restore would start from stays": {only: only, edits: restore(`time: "2026-11-23 09:30:00Z"`), from: state(func(s *State) {
			s.Resolved["r"] = Resolution{Refused: "the WAL is not whole"}
		})},
		"a restore that starts from another one keeps it not": {only: only, edits: restore(`time: "2026-11-23 11:45:00Z"`), want: removed, from: state(func(s *State) {
			s.Resolved["r"] = Resolution{Refused: "the standby is not connected"}
		})},
		"a promoted standby pauses it": {only: only, from: state(func(s *State) { s.Cluster.Status.InRecovery = false })},
		"so does one that was promoted and stopped": {only: only, from: state(func(s *State) {
			s.Cluster.Status, s.Cluster.Process, s.Cluster.Control.State = nil, postgres.Process{}, "shut down"
		})},
		"and a data directory that is not mounted": {only: only, from: state(func(s *State) { s.Cluster = Cluster{} })},
		// pitfall 51
		"and restores that were not observed":                        {only: only, from: state(func(s *State) { s.fail(kindRestore, errTest) })},
		"and a cluster that was not observed":                        {only: only, from: state(func(s *State) { s.failCluster(errTest) })},
		"a failed configuration does not: a full pool must be freed": {only: only, want: removed, from: state(func(s *State) { s.fail(kindConf, errTest) })},
		"neither does a stopped standby": {only: only, want: removed, from: state(func(s *State) {
			s.Cluster.Status, s.Cluster.Process = nil, postgres.Process{}
		})},
	})
}

func TestRetentionReasons(t *testing.T) {
	site := givenSite(t, "{last: 2}\n", "{last: 1}\nrestores: [{name: r, port: 1923, target: {snapshot: zr-20261123T090000Z}}]\n")
	state := converged(t, site)
	three(t, &state)
	snapshot(&state, "zr-20261123T100000Z").UserRefs = 1
	var got []string
	for _, k := range givenView(site, &state).retention() {
		got = append(got, k.Name+" "+strings.Join(k.reasons, ", "))
	}
	want := "zr-20261123T090000Z restore r\nzr-20261123T100000Z has a hold\nzr-20261123T113000Z last 1"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}
