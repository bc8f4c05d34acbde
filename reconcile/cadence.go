package reconcile

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Due says whether a snapshot (or a drill) is due at now, given the newest one
// that was taken. Exactly one of schedule (cron, read in loc) and every is set.
//
// It is due when there is none yet, or when the schedule's last moment is later
// than the newest; missed moments are made up for once, however many they were.
// every counts from the newest one's whole second, since that is what its name
// holds. A newest one that is later than now, by a clock that was set wrong,
// makes nothing due before its own time has come.
//
// at is the moment that asked for it: the schedule's last one up to now, and
// now itself when there is none yet. next is the first moment after now at
// which one becomes due, given that a due one is taken now; it is the zero time
// when a cron expression has no moment in the next decade.
//
// A schedule that is invalid, or never comes (February 30), is an error.
func Due(schedule string, every time.Duration, loc *time.Location, newest *time.Time, now time.Time) (due bool, at time.Time, next time.Time, err error) {
	switch {
	case (schedule == "") == (every == 0):
		return false, at, next, errors.New("cadence: give exactly one of schedule and every")
	case schedule == "":
		return dueEvery(every, newest, now)
	}
	c, err := parseCron(schedule, loc)
	if err != nil {
		return false, at, next, err
	}
	if newest == nil {
		return true, now, c.next(now), nil
	}
	after := now
	if newest.After(now) {
		after = *newest
	}
	at = c.last(now)
	return at.After(*newest), at, c.next(after), nil
}

func dueEvery(every time.Duration, newest *time.Time, now time.Time) (due bool, at, next time.Time, err error) {
	if every < time.Second {
		return false, at, next, fmt.Errorf("every: %v is shorter than a second, the resolution of snapshot names", every)
	}
	afterThis := now.Truncate(time.Second).Add(every)
	if newest == nil {
		return true, now, afterThis, nil
	}
	at = newest.Truncate(time.Second).Add(every)
	if at.After(now) {
		return false, at.Add(-every), at, nil
	}
	return true, at, afterThis, nil
}

// cronSchedule is a cron expression in a time zone, with the manners of
// cron(8) about daylight saving: an expression for certain hours of the day
// comes at the end of a gap that swallowed it, and once in an hour that is
// repeated; one for every hour knows no gap and runs through the repetition.
type cronSchedule struct {
	wall *cron.SpecSchedule // in UTC when fixed, else in loc
	loc  *time.Location
	// fixed: not every hour of the day; moments are found on the wall clock.
	fixed bool
}

// cronHorizon bounds the search, in years: from one 29th of February to the
// next it can be eight (1896, 2096).
const cronHorizon = 10

func parseCron(expr string, loc *time.Location) (*cronSchedule, error) {
	if strings.HasPrefix(expr, "TZ=") || strings.HasPrefix(expr, "CRON_TZ=") {
		return nil, fmt.Errorf("schedule %q: the time zone is the site's timezone, not part of the expression", expr)
	}
	parsed, err := cron.ParseStandard(expr)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", expr, err)
	}
	wall, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("schedule %q: write an interval as every: 15m", expr)
	}
	const everyHour = 24
	c := &cronSchedule{wall: wall, loc: loc, fixed: bits.OnesCount64(wall.Hour&(1<<everyHour-1)) < everyHour}
	c.wall.Location = loc
	if c.fixed {
		c.wall.Location = time.UTC
	}
	if anyDay := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); c.next(anyDay).IsZero() {
		return nil, fmt.Errorf("schedule %q: no day of the calendar matches it", expr)
	}
	return c, nil
}

// next returns the first moment later than t.
func (c *cronSchedule) next(t time.Time) time.Time {
	if !c.fixed {
		return nextMatch(c.wall, t.In(c.loc))
	}
	local := t.In(c.loc)
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for {
		wall = nextMatch(c.wall, wall)
		if wall.IsZero() {
			return wall
		}
		if moment := firstInstant(wall, c.loc); moment.After(t) {
			return moment
		}
	}
}

// last returns the latest moment that is not later than now, or the zero time.
//
// cron's library only looks forward. Since next never decreases, the last
// moment is found between a time whose next is not later than now, sought by
// doubling the distance, and now itself, by halving: some 60 steps even for
// an expression that comes once in years.
func (c *cronSchedule) last(now time.Time) time.Time {
	reached := func(t time.Time) bool {
		n := c.next(t)
		return !n.IsZero() && !n.After(now)
	}
	back := time.Minute
	for !reached(now.Add(-back)) {
		if back > cronHorizon*365*24*time.Hour {
			return time.Time{}
		}
		back *= 2
	}
	low, high := now.Add(-back), now // reached(low), not reached(high)
	for high.Sub(low) > time.Second {
		middle := low.Add(high.Sub(low) / 2)
		if reached(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return c.next(low)
}

// nextMatch is Next without its limit of five years.
func nextMatch(s *cron.SpecSchedule, t time.Time) time.Time {
	n := s.Next(t)
	for years := 5; n.IsZero() && years <= cronHorizon; years += 5 {
		n = s.Next(t.AddDate(years, 0, 0))
	}
	return n
}

// firstInstant returns the first instant at which the clocks of loc show wall
// (whose own location does not matter), and the end of the gap when they
// never do.
func firstInstant(wall time.Time, loc *time.Location) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, loc)
	_, offset := t.Zone()
	start, end := t.ZoneBounds()
	switch shown := t.Unix() + int64(offset); {
	case shown < wall.Unix(): // time.Date chose the side before the gap
		return end
	case shown > wall.Unix(): // and here the one after it
		return start
	case start.IsZero():
		return t
	}
	_, before := start.Add(-time.Second).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); offset < before && earlier.Before(start) {
		return earlier
	}
	return t
}
