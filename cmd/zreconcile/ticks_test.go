package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func labelsOf(ticks []tick) string {
	var list []string
	for _, t := range ticks {
		list = append(list, t.label)
	}
	return strings.Join(list, " ")
}

func TestTicks(t *testing.T) {
	for _, test := range []struct{ zone, from, to, want string }{
		{"UTC", "2026-11-22T23:59:35Z", "2026-11-23T00:00:35Z", "23:59:45 11-23 00:00:15 00:00:30"},
		{"Asia/Shanghai", "2026-11-22T01:10:00Z", "2026-11-22T06:00:00Z", "10:00 11:00 12:00 13:00 14:00"},
		{"Asia/Kathmandu", "2026-11-22T00:00:00Z", "2026-11-22T20:00:00Z", "06:00 09:00 12:00 15:00 18:00 21:00 11-23"}, // 5:45 ahead
		{"UTC", "2026-11-20T05:00:00Z", "2026-11-26T05:00:00Z", "11-21 11-22 11-23 11-24 11-25 11-26"},
		{"UTC", "2026-11-01T00:00:00Z", "2026-12-10T00:00:00Z", "11-02 11-09 11-16 11-23 11-30 12-07"},              // Mondays
		{"America/New_York", "2026-11-01T03:00:00Z", "2026-11-01T09:00:00Z", "23:00 11-01 01:00 02:00 03:00 04:00"}, // an hour twice
		{"America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T09:00:00Z", "23:00 03-08 01:00 03:00 04:00 05:00"}, // no two o'clock: it is three
		{"Europe/Berlin", "2025-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-01 2026-04 2026-07 2026-10"},
		{"UTC", "2016-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2018 2020 2022 2024 2026"},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		line := scale{from: at(t, test.from).Time, to: at(t, test.to).Time, cells: 480}
		if got := labelsOf(line.ticks(zone, 8)); got != test.want {
			t.Errorf("%s to %s in %s: %q, want %q", test.from, test.to, test.zone, got, test.want)
		}
	}
}

// Whatever the line and the zone are, its ticks are on it, in order, neither none
// of a long line nor so many that nobody can read them.
func TestTicksOfAnyLine(t *testing.T) {
	zones := []string{"UTC", "Asia/Shanghai", "Asia/Kathmandu", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		from := time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "from"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds"))
		length := time.Duration(rapid.Float64Range(1, 1e9).Draw(t, "seconds") * float64(time.Second))
		most := rapid.IntRange(3, 12).Draw(t, "most")
		line := scale{from: from, to: from.Add(length), cells: 480}
		ticks := line.ticks(zone, most)
		if len(ticks) > 2*most || len(ticks) == 0 && length > 10*time.Second && length < 3*365*24*time.Hour && most > 6 {
			t.Fatalf("%d ticks: %s", len(ticks), labelsOf(ticks))
		}
		if !slices.IsSortedFunc(ticks, func(a, b tick) int { return a.at.Compare(b.at) }) {
			t.Fatalf("they are not in order: %v", ticks)
		}
		for _, tick := range ticks {
			if tick.at.Before(line.from) || tick.at.After(line.to) {
				t.Fatalf("%s is not on the line from %s to %s", tick.at, line.from, line.to)
			}
		}
	})
}
