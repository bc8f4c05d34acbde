package reconcile

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDue(t *testing.T) {
	const never = ""
	tests := map[string]struct {
		schedule, zone string
		every          time.Duration
		newest, now    string
		due            bool
		at, next       string
	}{
		"the first one is due at once": {schedule: "1 1 * * *",
			newest: never, now: "2026-11-23T12:00:00Z", due: true, at: "2026-11-23T12:00:00Z", next: "2026-11-24T01:01:00Z"},
		"before the moment": {schedule: "1 1 * * *",
			newest: "2026-11-22T01:01:00Z", now: "2026-11-23T01:00:59Z", at: "2026-11-22T01:01:00Z", next: "2026-11-23T01:01:00Z"},
		"at the moment": {schedule: "1 1 * * *",
			newest: "2026-11-22T01:01:00Z", now: "2026-11-23T01:01:00Z", due: true, at: "2026-11-23T01:01:00Z", next: "2026-11-24T01:01:00Z"},
		"taken at the moment": {schedule: "1 1 * * *",
			newest: "2026-11-23T01:01:00Z", now: "2026-11-23T01:01:00.9Z", at: "2026-11-23T01:01:00Z", next: "2026-11-24T01:01:00Z"},
		"taken by hand in between": {schedule: "1 1 * * *",
			newest: "2026-11-22T15:00:00Z", now: "2026-11-23T01:01:00Z", due: true, at: "2026-11-23T01:01:00Z", next: "2026-11-24T01:01:00Z"},
		"many missed are one": {schedule: "1 1 * * *",
			newest: "2026-01-22T01:01:00Z", now: "2026-11-23T03:00:00Z", due: true, at: "2026-11-23T01:01:00Z", next: "2026-11-24T01:01:00Z"},
		"in the site's zone": {schedule: "1 1 * * *", zone: "Asia/Shanghai",
			newest: "2026-11-21T17:01:00Z", now: "2026-11-22T17:01:00Z", due: true, at: "2026-11-22T17:01:00Z", next: "2026-11-23T17:01:00Z"},
		"every minute": {schedule: "* * * * *",
			newest: "2026-11-23T11:59:01Z", now: "2026-11-23T12:00:30Z", due: true, at: "2026-11-23T12:00:00Z", next: "2026-11-23T12:01:00Z"},
		"yearly": {schedule: "@yearly",
			newest: "2025-12-31T00:00:00Z", now: "2026-11-23T12:00:30Z", due: true, at: "2026-01-01T00:00:00Z", next: "2027-01-01T00:00:00Z"},
		"on leap days": {schedule: "0 0 29 2 *",
			newest: "2024-02-29T00:00:00Z", now: "2026-11-23T12:00:30Z", at: "2024-02-29T00:00:00Z", next: "2028-02-29T00:00:00Z"},
		"on leap days, 2100 being none": {schedule: "0 0 29 2 *",
			newest: "2096-03-01T00:00:00Z", now: "2103-12-23T12:00:30Z", at: "2096-02-29T00:00:00Z", next: "2104-02-29T00:00:00Z"},
		"every": {every: 15 * time.Minute,
			newest: "2026-11-23T12:00:00.9Z", now: "2026-11-23T12:14:59.9Z", at: "2026-11-23T12:00:00Z", next: "2026-11-23T12:15:00Z"},
		"every counts from the whole second": {every: 15 * time.Minute,
			newest: "2026-11-23T12:00:00.9Z", now: "2026-11-23T12:15:00Z", due: true, at: "2026-11-23T12:15:00Z", next: "2026-11-23T12:30:00Z"},
		"every, many missed are one": {every: 15 * time.Minute,
			newest: "2026-11-22T12:00:00Z", now: "2026-11-23T12:17:00.5Z", due: true, at: "2026-11-22T12:15:00Z", next: "2026-11-23T12:32:00Z"},
		"every, the first": {every: time.Hour,
			newest: never, now: "2026-11-23T12:17:00.5Z", due: true, at: "2026-11-23T12:17:00.5Z", next: "2026-11-23T13:17:00Z"},
		"pitfall 50: the newest is from the future": {schedule: "1 1 * * *",
			newest: "2026-11-25T05:00:00Z", now: "2026-11-23T12:00:00Z", at: "2026-11-23T01:01:00Z", next: "2026-11-26T01:01:00Z"},
		"pitfall 50: every, the newest is from the future": {every: time.Hour,
			newest: "2026-11-25T05:00:00Z", now: "2026-11-23T12:00:00Z", at: "2026-11-25T05:00:00Z", next: "2026-11-25T06:00:00Z"},
		"pitfall 50: a gap is closed at its end": {schedule: "30 2 * * *", zone: "Europe/Berlin",
			newest: "2026-03-28T01:30:00Z", now: "2026-03-29T01:00:00Z", due: true, at: "2026-03-29T01:00:00Z", next: "2026-03-30T00:30:00Z"},
		"pitfall 50: a repeated hour comes once": {schedule: "30 2 * * *", zone: "Europe/Berlin",
			newest: "2026-10-25T00:30:00Z", now: "2026-10-25T01:30:00Z", at: "2026-10-25T00:30:00Z", next: "2026-10-26T01:30:00Z"},
		"pitfall 50: a cadence runs through the repeated hour": {schedule: "*/15 * * * *", zone: "Europe/Berlin",
			newest: "2026-10-25T00:45:00Z", now: "2026-10-25T01:00:00Z", due: true, at: "2026-10-25T01:00:00Z", next: "2026-10-25T01:15:00Z"},
		"a midnight that does not exist": {schedule: "@daily", zone: "America/Havana",
			newest: "2026-03-07T05:00:00Z", now: "2026-03-08T05:00:00Z", due: true, at: "2026-03-08T05:00:00Z", next: "2026-03-09T04:00:00Z"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			loc := time.UTC
			if test.zone != "" {
				loc = mustZone(t, test.zone)
			}
			var newest *time.Time
			if test.newest != never {
				at := mustTime(t, test.newest)
				newest = &at
			}
			due, at, next, err := Due(test.schedule, test.every, loc, newest, mustTime(t, test.now))
			if err != nil {
				t.Fatal(err)
			}
			if due != test.due || !at.Equal(mustTime(t, test.at)) || !next.Equal(mustTime(t, test.next)) {
				t.Errorf("got %v at %v, next %v; want %v at %s, next %s", due, at.UTC(), next.UTC(), test.due, test.at, test.next)
			}
		})
	}
}

func TestDueRefuses(t *testing.T) {
	tests := map[string]struct {
		schedule string
		every    time.Duration
		want     string
	}{
		"neither":            {"", 0, "exactly one"},
		"both":               {"@daily", time.Hour, "exactly one"},
		"nonsense":           {"61 * * * *", 0, "61"},
		"an interval":        {"@every 5m", 0, "every: 15m"},
		"a zone":             {"CRON_TZ=UTC 1 1 * * *", 0, "timezone"},
		"a day that is none": {"0 0 30 2 *", 0, "no day"},
		"too short":          {"", time.Millisecond, "second"},
		"negative":           {"", -time.Hour, "second"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := Due(test.schedule, test.every, time.UTC, nil, policyNow)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

var drawSchedule = rapid.SampledFrom([]string{"* * * * *", "*/15 * * * *", "1 1 * * *", "30 2 * * *", "0 0 * * *",
	"15 1-3 * * 1-5", "0 */6 * * *", "0 3 1 * *", "@weekly", "@yearly", "0 0 29 2 *", "59 23 31 12 *"})

// Two years around changes of clocks in either direction.
func drawMoment(t *rapid.T, label string) time.Time {
	return policyNow.Add(time.Duration(rapid.Int64Range(-365*86400, 365*86400).Draw(t, label)) * time.Second)
}

// A watch that sleeps until next and takes what is due takes one a moment:
// nothing is due again right after, and nothing becomes due before next.
func TestDueNextIsTheNextTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, schedule, every := drawZone(t), drawSchedule.Draw(t, "schedule"), time.Duration(0)
		if rapid.Bool().Draw(t, "interval") {
			schedule, every = "", time.Duration(rapid.Int64Range(1, 1e6).Draw(t, "every"))*time.Second
		}
		now := drawMoment(t, "now")
		newest := drawMoment(t, "newest")
		due, at, next, err := Due(schedule, every, loc, &newest, now)
		if err != nil {
			t.Fatal(err)
		}
		if !next.After(now) || due && (at.After(now) || !at.After(newest)) {
			t.Fatalf("at %v, newest %v: due %v at %v, next %v", now, newest, due, at, next)
		}
		if due {
			newest = now
		}
		for _, moment := range []time.Time{now, now.Add(next.Sub(now) / 2), next.Add(-time.Second)} {
			if moment.Before(now) {
				continue
			}
			if again, _, _, _ := Due(schedule, every, loc, &newest, moment); again {
				t.Fatalf("newest %v is followed by one at %v, before %v", newest, moment, next)
			}
		}
		if then, at, _, _ := Due(schedule, every, loc, &newest, next); !then || !at.Equal(next) {
			t.Fatalf("newest %v: at %v due is %v with the moment %v", newest, next, then, at)
		}
	})
}

// A daily schedule comes once on each day of the calendar, whatever the clocks do; pitfall 50.
func TestPitfall50_DailyComesOnceADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := drawZone(t)
		schedule := rapid.SampledFrom([]string{"30 2 * * *", "0 0 * * *", "30 0 * * *", "15 1 * * *"}).Draw(t, "schedule")
		c, err := parseCron(schedule, loc)
		if err != nil {
			t.Fatal(err)
		}
		moment := c.next(drawMoment(t, "start"))
		for range 10 {
			next := c.next(moment)
			y, m, d := moment.In(loc).Date()
			if got, want := next.In(loc).Format(time.DateOnly), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly); got != want {
				t.Fatalf("%v is followed by %v", moment.In(loc), next.In(loc))
			}
			moment = next
		}
	})
}
