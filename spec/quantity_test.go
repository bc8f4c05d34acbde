package spec

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "30s": 30 * time.Second, "15m": 15 * time.Minute,
		"1h30m": 90 * time.Minute, "48h": 48 * time.Hour, "7d": 7 * day, "2w": 14 * day, "1y": 365 * day, "1w2d": 9 * day,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "no duration", "5": "no unit", "1.5h": "no duration", "-1h": "no duration", "30m1h": "no duration",
		"1 h": "no duration", "1D": "no duration", "h": "no duration", "300y": "longer than 292 years",
		"99999999999999999999d": "longer than 292 years", "290y1000w": "longer than 292 years",
	} {
		if got, err := ParseDuration(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDuration(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestParseDurationOfAnyWholeSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, 1<<31).Draw(t, "seconds")) * time.Second
		if got, err := ParseDuration(want.String()); err != nil || got != want {
			t.Fatalf("ParseDuration(%q) = %v, %v", want, got, err)
		}
	})
}

func TestParseTime(t *testing.T) {
	want := time.Date(2020, 3, 21, 9, 28, 37, 670338000, time.UTC)
	for _, in := range []string{
		"2020-03-21 17:28:37.670338+08",
		"2020-03-21 17:28:37.670338+0800",
		"2020-03-21 17:28:37.670338+08:00",
		"2020-03-21T17:28:37.670338+08:00",
		"2020-03-21 17:28:37.670338 +08:00",
		"2020-03-21 09:28:37.670338Z",
		"2020-03-21t09:28:37.670338z",
		"2020-03-21 09:28:37.670338 UTC",
		"2020-03-21 04:58:37.670338-04:30",
		"2020-03-21 09:28:37.670338999Z", // no commit has a finer time
	} {
		if got, err := ParseTime(in); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"2020-03-21 17:28:37":               "no offset",
		"2020-03-21T17:28":                  "no offset",
		"2020-03-21":                        "no time",
		"yesterday":                         "no time",
		"2020-02-30 17:28:37Z":              "calendar",
		"2020-03-21 25:28:37Z":              "calendar",
		"2020-03-21 17:28:37 Asia/Shanghai": "no time",
		"2020-03-21 17:28:37 CST":           "no time",
		"":                                  "no time",
	} {
		if got, err := ParseTime(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTime(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestParseTimeReadsWhatPlansPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "microseconds")).UTC()
		if got, err := ParseTime(want.Format("2006-01-02T15:04:05.000000Z07:00")); err != nil || !got.Equal(want) {
			t.Fatalf("%v became %v, %v", want, got, err)
		}
	})
}

func TestParsePercent(t *testing.T) {
	for in, want := range map[string]float64{"10%": 0.1, "0%": 0, "0": 0, "2.5%": 0.025} {
		if got, err := parsePercent(in); err != nil || got != want {
			t.Errorf("parsePercent(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "%", "10", "100%", "-1%", "NaN%", "Inf%", "ten%"} {
		if got, err := parsePercent(in); err == nil {
			t.Errorf("parsePercent(%q) = %v; want an error", in, got)
		}
	}
}

func TestParseSchedule(t *testing.T) {
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	schedule, err := ParseSchedule("1 1 * * *")
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, shanghai)
	if got, want := schedule.Next(noon), time.Date(2026, 11, 23, 1, 1, 0, 0, shanghai); !got.Equal(want) {
		t.Errorf("after %v comes %v, want %v", noon, got, want)
	}
	for _, in := range []string{"@daily", "@hourly", "0 0 29 2 *", "*/5 9-17 * * mon-fri"} {
		if _, err := ParseSchedule(in); err != nil {
			t.Errorf("ParseSchedule(%q): %v", in, err)
		}
	}
	for _, in := range []string{"", "* * * *", "* * * * * *", "@reboot", "@every 1h", "TZ=UTC", "CRON_TZ=x", "0 0 31 4 *", "*/0 * * * *"} {
		if _, err := ParseSchedule(in); err == nil {
			t.Errorf("ParseSchedule(%q) gives no error", in)
		}
	}
}

func TestShortestGap(t *testing.T) {
	for schedule, want := range map[string]time.Duration{
		"1 1 * * *":     24 * time.Hour,
		"0 * * * *":     time.Hour,
		"0 9-17 * * *":  time.Hour,
		"0 1 * * 1-5":   24 * time.Hour,
		"@weekly":       7 * 24 * time.Hour,
		"@monthly":      28 * 24 * time.Hour,
		"30 4 1 1 *":    365 * 24 * time.Hour,
		"0,1 0 1 1 *":   time.Minute,
		"0 0 1,2 1,7 *": 24 * time.Hour,
	} {
		if got := shortestGap(schedule, 0, time.UTC); got != want {
			t.Errorf("%s: %v apart, want %v", schedule, got, want)
		}
	}
	if got := shortestGap("", 15*time.Minute, time.UTC); got != 15*time.Minute {
		t.Errorf("every: 15m is %v apart", got)
	}
}
