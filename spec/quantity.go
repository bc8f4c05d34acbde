package spec

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

var durationForm = regexp.MustCompile(`^(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$`)

// durationUnits are the units of durationForm, in its order.
var durationUnits = []time.Duration{
	365 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour,
	time.Hour, time.Minute, time.Second, time.Millisecond,
}

// ParseDuration reads a duration as Prometheus writes it: whole numbers with
// the units y, w, d, h, m, s and ms, the greatest first, such as 7d or 1h30m.
// A day is 24 hours and a year 365 days. Only 0 may stand without a unit.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit: write it like 30s, 15m, 1h30m or 7d", s)
	}
	fields := durationForm.FindStringSubmatch(s)
	if s == "" || fields == nil {
		return 0, fmt.Errorf("%q is no duration: write it like 30s, 15m, 1h30m or 7d", s)
	}
	var total time.Duration
	for i, field := range fields[1:] {
		if field == "" {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || n > (math.MaxInt64-int64(total))/int64(durationUnits[i]) {
			return 0, fmt.Errorf("%q is longer than 292 years", s)
		}
		total += time.Duration(n) * durationUnits[i]
	}
	return total, nil
}

var timeForm = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]+([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,9})?)? ?(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?$`)

// ParseTime reads a moment as RFC 3339 or PostgreSQL writes it, such as
// "2020-03-21 17:28:37.670338+08". The offset from UTC is required. The time
// is in UTC, cut to the microseconds of PostgreSQL's clock: no commit lies
// between the two.
func ParseTime(s string) (time.Time, error) {
	fields := timeForm.FindStringSubmatch(strings.TrimSpace(s))
	if fields == nil {
		return time.Time{}, fmt.Errorf("%q is no time: write it like \"2020-03-21 17:28:37.670338+08:00\"", s)
	}
	seconds := fields[3]
	if seconds == "" {
		seconds = ":00"
	}
	offset, err := canonicalOffset(fields[4])
	if err != nil {
		return time.Time{}, fmt.Errorf("%q has no offset from UTC: add one, such as +08:00, or Z for UTC", s)
	}
	t, err := time.Parse(time.RFC3339Nano, fields[1]+"T"+fields[2]+seconds+offset)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time of the calendar: write it like \"2020-03-21 17:28:37.670338+08:00\"", s)
	}
	return t.UTC().Truncate(time.Microsecond), nil
}

// canonicalOffset turns the offsets that PostgreSQL writes (+08, +0800, UTC)
// into RFC 3339's.
func canonicalOffset(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("no offset")
	case s == "Z" || s == "z" || s == "UTC" || s == "GMT":
		return "Z", nil
	case len(s) == len("+08"):
		return s + ":00", nil
	case len(s) == len("+0800"):
		return s[:3] + ":" + s[3:], nil
	}
	return s, nil
}

// parsePercent reads "10%" as 0.1. Only 0 may stand without the sign.
func parsePercent(s string) (float64, error) {
	number, found := strings.CutSuffix(s, "%")
	share, err := strconv.ParseFloat(number, 64)
	if err != nil || (!found && share != 0) {
		return 0, fmt.Errorf("%q is no percentage: write it like 10%%", s)
	}
	if math.IsNaN(share) || share < 0 || share >= 100 {
		return 0, fmt.Errorf("%q is out of range: from 0%% to below 100%%", s)
	}
	return share / 100, nil
}

// ParseSchedule reads a cron expression of five fields (crontab(5)) or a
// descriptor such as @daily. Its moments are those of the time zone of the
// time that Next is given.
func ParseSchedule(s string) (cron.Schedule, error) {
	const form = `write it like "1 1 * * *" (minute hour day month weekday) or @daily`
	switch {
	case strings.HasPrefix(s, "TZ=") || strings.HasPrefix(s, "CRON_TZ="):
		return nil, errors.New("a schedule takes no time zone of its own: set timezone for the whole file")
	case strings.HasPrefix(s, "@every"):
		return nil, errors.New("@every is not for schedules: write every: 15m in place of schedule")
	case strings.HasPrefix(s, "@reboot"):
		return nil, errors.New("@reboot is no moment of the calendar: " + form)
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return nil, fmt.Errorf("%q is no cron expression (%w): %s", s, err, form)
	}
	// A leap day comes within eight years; robfig/cron looks five years ahead.
	start := time.Date(2027, time.March, 1, 0, 0, 0, 0, time.UTC)
	if schedule.Next(start).IsZero() {
		return nil, fmt.Errorf("%q names a day that no calendar has: it would never come", s)
	}
	return schedule, nil
}

// parseRate reads a rate of pg_basebackup --max-rate, such as 200M, in kB.
func parseRate(s string) (float64, error) {
	factor := 1.0
	number, mega := strings.CutSuffix(s, "M")
	if mega {
		factor = 1024
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(number, "k"), 64)
	return n * factor, err
}
