package spec

import (
	"fmt"
	"strconv"
	"time"
)

// minEvery is the shortest time between two snapshots or drills: snapshots are
// named by their second.
const minEvery = time.Second

func (d *draft) checkCadences() {
	for _, key := range []string{"snapshots", "verify"} {
		every := d.root.get(key, "every")
		if !every.given() {
			continue
		}
		if period, err := ParseDuration(every.text); err == nil && period < minEvery {
			d.errorf(every, "", "every must be 1s or longer, not %s", every.text)
		}
	}
	if n := d.root.get("archive", "continuousFor"); n.given() && isZeroDuration(n.text) {
		d.errorf(n, "leave it out to keep all that the snapshots need", "archive.continuousFor must be longer than 0")
	}
	d.warnAges()
}

func isZeroDuration(s string) bool {
	duration, err := ParseDuration(s)
	return err == nil && duration == 0
}

func (d *draft) checkRetention() {
	s, n := d.site.Snapshots, d.root.get("snapshots", "retention")
	if s == nil || n == nil || n.kind != objectNode {
		return
	}
	if s.Retention == (Retention{}) && !anyFaulty(n) {
		d.errorf(n, "add at least one rule, such as daily: 7", "the retention has no rule: it would keep nothing")
	}
	d.warnFineBuckets(s, n)
}

// anyFaulty tells whether a rule was given that could not be read.
func anyFaulty(n *node) bool {
	for _, m := range n.members() {
		if _, err := ParseDuration(m.value.textOr("")); m.value.faulty || (err != nil && m.value.given()) {
			return true
		}
	}
	return false
}

// buckets are the calendar rules and the longest time that each one's bucket
// can last.
var buckets = []struct {
	rule   string
	length time.Duration
}{
	{"hourly", time.Hour},
	{"daily", 25 * time.Hour},
	{"weekly", 7*24*time.Hour + time.Hour},
	{"monthly", 31*24*time.Hour + time.Hour},
	{"yearly", 366*24*time.Hour + time.Hour},
}

// warnFineBuckets warns of rules with buckets that never hold more than one
// snapshot: hourly: 24 with a daily schedule keeps 24 days.
func (d *draft) warnFineBuckets(s *Snapshots, n *node) {
	gap := shortestGap(s.Schedule, s.Every, d.site.Timezone)
	for _, bucket := range buckets {
		rule := n.get(bucket.rule)
		count := rule.intOr(0)
		if count < 1 || gap <= bucket.length {
			continue
		}
		d.warnf(rule, "write last: "+strconv.Itoa(count)+" if that is meant",
			"snapshots come %s apart or more, so %s: %d keeps the newest %d of them, which reach back %s",
			readable(gap), bucket.rule, count, count, readable(time.Duration(min(count, 1_000))*gap))
	}
}

// shortestGap is the shortest time between two moments of a cadence; 0 when it
// is unknown.
func shortestGap(expression string, every time.Duration, zone *time.Location) time.Duration {
	if expression == "" {
		return every
	}
	schedule, err := ParseSchedule(expression)
	if err != nil {
		return 0
	}
	// Two months of firings show every pattern of minutes, hours and weekdays;
	// any year serves.
	const firings = 60
	last := schedule.Next(time.Date(2027, time.January, 1, 0, 0, 0, 0, zone))
	shortest := time.Duration(0)
	for range firings {
		next := schedule.Next(last)
		if next.IsZero() {
			break
		}
		if gap := next.Sub(last); shortest == 0 || gap < shortest {
			shortest = gap
		}
		last = next
	}
	return shortest
}

// warnAges warns of a limit of health that a healthy site would exceed.
func (d *draft) warnAges() {
	health, zone := d.site.Health, d.site.Timezone
	if s := d.site.Snapshots; s != nil {
		d.warnAge("snapshotAge", health.SnapshotAge, "snapshots", shortestGap(s.Schedule, s.Every, zone))
	}
	if v := d.site.Verify; v != nil {
		d.warnAge("drillAge", health.DrillAge, "verify", shortestGap(v.Schedule, v.Every, zone))
	}
}

func (d *draft) warnAge(key string, limit time.Duration, section string, gap time.Duration) {
	if limit == 0 || gap <= limit {
		return
	}
	at := d.root.get("health", key)
	if at == nil {
		at = d.root.get(section)
	}
	d.warnf(at, "raise health."+key, "%s come %s apart, and health.%s is %s: status --check will complain in between",
		map[string]string{"snapshots": "snapshots", "verify": "drills"}[section], readable(gap), key, readable(limit))
}

// readable is a duration in days or in hours, as a person says it.
func readable(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", (d+day/2)/day)
	}
	return fmt.Sprintf("%g hours", d.Round(time.Minute).Hours())
}
