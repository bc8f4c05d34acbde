package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zreconcile/zreconcile/reconcile"
)

// gauge is one metric of a status.
type gauge struct {
	desc  *prometheus.Desc
	value func(reconcile.Status) (value float64, known bool)
}

// failuresDesc is the one metric that only grows: the server itself counts.
var failuresDesc = describe("archive_failures_total", "Failed calls of archive_command (pg_stat_archiver).")

// describe names a metric; what is unknown at the moment is left out of a
// scrape, so that no alert takes a guess for a fact.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zreconcile_"+name, help, labels, nil)
}

// gauges are the metrics with one value, in the order of a status. Times are
// seconds since 1970, sizes bytes.
var gauges = []gauge{
	{describe("health_level", "The verdict of status: 0 ok, 1 warning, 2 critical, 3 unknown."),
		func(s reconcile.Status) (float64, bool) { return float64(checkStatus(s.Verdict.Level)), true }},

	{describe("standby_running", "1 while the standby's server runs."),
		func(s reconcile.Status) (float64, bool) {
			return truth(s.Standby.Running), looked(s)
		}},
	{describe("standby_connected", "1 while the standby receives WAL from its primary."),
		func(s reconcile.Status) (float64, bool) {
			return truth(s.Standby.Connected), looked(s) && s.Standby.State != reconcile.StandbySilent
		}},
	{describe("standby_lag_bytes", "WAL that the primary has and the standby has not replayed; absent while it is not known."),
		func(s reconcile.Status) (float64, bool) { return number(s.Standby.LagBytes) }},
	{describe("standby_lag_seconds", "Age of the newest replayed commit, 0 when all is replayed; absent while it is not known."),
		func(s reconcile.Status) (float64, bool) { return number(s.Standby.LagSeconds) }},
	{describe("standby_pending_restart", "Settings of the standby that wait for a restart."),
		func(s reconcile.Status) (float64, bool) {
			return float64(len(s.Standby.PendingRestart)), answered(s)
		}},
	{describe("standby_received_bytes", "Where the WAL ends that the standby has received, as bytes since its beginning."),
		func(s reconcile.Status) (float64, bool) {
			return float64(s.Standby.ReceivedLSN), answered(s) && s.Standby.ReceivedLSN > 0
		}},
	{describe("slot_retained_bytes", "WAL that the primary keeps for the standby's replication slot, as of the last apply."),
		func(s reconcile.Status) (float64, bool) { return number(s.Standby.SlotRetainedBytes) }},

	{describe("archive_failing", "1 while the newest call of archive_command failed."),
		func(s reconcile.Status) (float64, bool) {
			return truth(s.Standby.ArchiverFailing != ""), answered(s)
		}},
	{describe("archive_last_archived_timestamp_seconds", "When archive_command last succeeded."),
		func(s reconcile.Status) (float64, bool) { return moment(s.Standby.LastArchivedAt) }},
	{describe("archive_segments", "Segments of WAL in the archive."),
		func(s reconcile.Status) (float64, bool) {
			return float64(s.Archive.Segments), listed(s)
		}},
	{describe("archive_bytes", "Size of the segments in the archive."),
		func(s reconcile.Status) (float64, bool) {
			return float64(s.Archive.Bytes), listed(s)
		}},
	{describe("archive_gaps", "Runs of segments that are missing from the archive."),
		func(s reconcile.Status) (float64, bool) {
			return float64(len(s.Archive.Gaps)), listed(s)
		}},
	{describe("archive_damaged_segments", "Archived segments whose size or first page is wrong."),
		func(s reconcile.Status) (float64, bool) {
			return float64(len(s.Archive.Damaged)), listed(s)
		}},

	{describe("snapshots", "Snapshots of the cluster."),
		func(s reconcile.Status) (float64, bool) {
			return float64(len(s.Snapshots)), len(s.Snapshots) > 0 || observed(s)
		}},
	{describe("snapshot_newest_timestamp_seconds", "When the newest snapshot was taken."), newestSnapshot},
	{describe("recoverable_windows", "Stretches of time each moment of which can be restored."),
		func(s reconcile.Status) (float64, bool) { return float64(len(s.Windows)), !s.WindowsUnknown }},
	{describe("recoverable_lost_gaps", "Gaps between windows, or behind the last one, that the file does not ask for: WAL is missing, or no server replays it."),
		func(s reconcile.Status) (float64, bool) { return lostGaps(s), !s.WindowsUnknown }},
	{describe("recoverable_unbroken_from_timestamp_seconds", "The moment from which on each can be restored, up to the latest."), unbrokenFrom},
	{describe("recoverable_from_timestamp_seconds", "The earliest moment that can be restored."), recoverableFrom},
	{describe("recoverable_to_timestamp_seconds", "The latest moment that can be restored."), recoverableTo},

	{describe("drill_last_timestamp_seconds", "When the last restore drill ended."),
		func(s reconcile.Status) (float64, bool) {
			if s.LastDrill == nil {
				return 0, false
			}
			return moment(&s.LastDrill.At)
		}},
	{describe("drill_last_ok", "1 when the last restore drill found nothing wrong."),
		func(s reconcile.Status) (float64, bool) {
			return truth(s.LastDrill != nil && s.LastDrill.OK), s.LastDrill != nil
		}},

	{describe("pool_size_bytes", "Size of the pool."),
		func(s reconcile.Status) (float64, bool) {
			return poolBytes(s, func(p reconcile.PoolStatus) int64 { return p.Size })
		}},
	{describe("pool_free_bytes", "Free space of the pool."),
		func(s reconcile.Status) (float64, bool) {
			return poolBytes(s, func(p reconcile.PoolStatus) int64 { return p.Free })
		}},
	{describe("pool_online", "1 while the pool is ONLINE, 0 when it is degraded or worse."),
		func(s reconcile.Status) (float64, bool) {
			return truth(s.Pool != nil && s.Pool.Health == "ONLINE"), s.Pool != nil
		}},
	{describe("pool_faults", "Devices of the pool that are not there or had errors, data errors, and a resilver under way, each counted as one; more than 0 also in a pool that is ONLINE."),
		func(s reconcile.Status) (float64, bool) {
			if s.Pool == nil {
				return 0, false
			}
			return float64(len(s.Pool.Faults)), true
		}},
	{describe("observation_errors", "What could not be observed."),
		func(s reconcile.Status) (float64, bool) { return float64(len(s.Failures)), true }},
}

var restoresDesc = describe("restores", "Restores by state.", "state")

// restoreStates are all that a restore can be in: one with none is 0.
var restoreStates = []string{"running", "recovering", "stopped", "failed", "refused"}

// looked is true where the standby could be looked at.
func looked(s reconcile.Status) bool {
	return s.Standby.State != "" && s.Standby.State != reconcile.StandbyUnknown
}

// answered is true where the standby's server answered.
func answered(s reconcile.Status) bool {
	switch s.Standby.State {
	case reconcile.StandbyStreaming, reconcile.StandbyDisconnected, reconcile.StandbyPromoted:
		return true
	default:
		return false
	}
}

// observed is true where nothing hid: then none is none. Without the pool nobody
// knows what is on it.
func observed(s reconcile.Status) bool { return len(s.Failures) == 0 && s.Pool != nil }

// listed is true where the archive is there and was read.
func listed(s reconcile.Status) bool {
	return s.Archive.Missing == "" && (s.Archive.Segments > 0 || observed(s))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func number[N int64 | float64](n *N) (float64, bool) {
	if n == nil {
		return 0, false
	}
	return float64(*n), true
}

func moment(t *reconcile.Time) (float64, bool) {
	if t == nil {
		return 0, false
	}
	return unixSeconds(t.Time), true
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func poolBytes(s reconcile.Status, of func(reconcile.PoolStatus) int64) (float64, bool) {
	if s.Pool == nil || s.Pool.Size == 0 { // of a suspended pool nobody tells it
		return 0, false
	}
	return float64(of(*s.Pool)), true
}

func newestSnapshot(s reconcile.Status) (float64, bool) { return moment(s.NewestSnapshot()) }

// lostGaps counts what ends a window and should not.
func lostGaps(s reconcile.Status) (n float64) {
	for _, w := range s.Windows {
		n += truth(w.Lost)
	}
	return n
}

func unbrokenFrom(s reconcile.Status) (float64, bool) {
	if len(s.Windows) == 0 {
		return 0, false
	}
	return moment(&s.Windows[len(s.Windows)-1].From)
}

func recoverableFrom(s reconcile.Status) (float64, bool) {
	if len(s.Windows) == 0 {
		return 0, false
	}
	return moment(&s.Windows[0].From)
}

func recoverableTo(s reconcile.Status) (float64, bool) {
	if len(s.Windows) == 0 {
		return 0, false
	}
	return moment(&s.Windows[len(s.Windows)-1].To)
}

// collector gives the metrics of a host, as watch last saw it; the standby is
// asked anew for each scrape.
type collector struct {
	status func() (reconcile.Status, bool)
}

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, g := range gauges {
		descs <- g.desc
	}
	descs <- failuresDesc
	descs <- restoresDesc
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s, seen := c.status()
	if !seen {
		return
	}
	for _, g := range gauges {
		if v, known := g.value(s); known {
			metrics <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, v)
		}
	}
	if n, known := number(s.Standby.ArchiveFailures); known {
		metrics <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, n)
	}
	if !observed(s) && len(s.Restores) == 0 {
		return
	}
	count := map[string]int{}
	for _, r := range s.Restores {
		count[r.State]++
	}
	for _, state := range restoreStates {
		metrics <- prometheus.MustNewConstMetric(restoresDesc, prometheus.GaugeValue, float64(count[state]), state)
	}
}
