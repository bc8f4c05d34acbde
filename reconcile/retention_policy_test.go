package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/spec"
)

func mustZone(t interface{ Fatal(...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustTime(t interface{ Fatal(...any) }, text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestApplyPolicy(t *testing.T) {
	const now = "2026-11-23T12:00:00Z"
	tests := map[string]struct {
		zone   string
		policy spec.Retention
		want   map[string][]string // the moment, and what keeps it
	}{
		"last counts from the newest": {
			policy: spec.Retention{Last: 2},
			want: map[string][]string{
				"2026-11-23T11:00:00Z": {"last 1"},
				"2026-11-23T10:00:00Z": {"last 2"},
				"2026-11-23T09:00:00Z": nil,
			},
		},
		"an empty policy keeps everything": {
			want: map[string][]string{
				"2026-11-23T11:00:00Z": {"no retention policy"},
				"1999-11-23T11:00:00Z": {"no retention policy"},
			},
		},
		"empty buckets are not counted, the newest of a bucket stays": {
			policy: spec.Retention{Daily: 2},
			want: map[string][]string{
				"2026-11-23T11:00:00Z": {"daily 1"},
				"2026-11-23T10:00:00Z": nil,
				"2026-10-01T10:00:00Z": {"daily 2"},
				"2026-09-01T10:00:00Z": nil,
			},
		},
		"the oldest stays while counts are left": {
			policy: spec.Retention{Monthly: 3},
			want: map[string][]string{
				"2026-11-23T11:00:00Z": {"monthly 1"},
				"2026-11-22T11:00:00Z": nil,
				"2026-11-21T11:00:00Z": {"oldest monthly snapshot"},
			},
		},
		"the oldest uses its count up": {
			policy: spec.Retention{Monthly: 2, Yearly: 1},
			want: map[string][]string{
				"2026-11-23T11:00:00Z": {"monthly 1", "yearly 1"},
				"2026-10-22T11:00:00Z": {"monthly 2"},
				"2026-10-21T11:00:00Z": nil,
			},
		},
		"all hourly": {
			policy: spec.Retention{Hourly: -1},
			want: map[string][]string{
				"2026-11-23T11:59:00Z": {"hourly 1"},
				"2026-11-23T11:00:00Z": nil,
				"2026-11-23T10:59:59Z": {"hourly 2"},
				"2025-01-01T00:30:00Z": {"hourly 3"},
				"2025-01-01T00:00:00Z": {"oldest hourly snapshot"},
			},
		},
		"weeks are those of ISO 8601, around New Year too": {
			policy: spec.Retention{Weekly: 4},
			want: map[string][]string{
				"2021-01-04T00:00:00Z": {"weekly 1"}, // Monday of 2021-W01
				"2021-01-03T23:59:59Z": {"weekly 2"}, // Sunday of 2020-W53
				"2020-12-28T00:00:00Z": nil,          // Monday of 2020-W53
				"2020-12-27T23:59:59Z": {"weekly 3"},
				"2020-12-20T23:59:59Z": {"weekly 4"},
				"2020-12-13T23:59:59Z": nil,
			},
		},
		"years are those of the calendar": {
			policy: spec.Retention{Yearly: 2},
			want: map[string][]string{
				"2021-01-03T23:59:59Z": {"yearly 1"},
				"2020-12-31T23:59:59Z": {"yearly 2"},
				"2020-01-01T00:00:00Z": nil,
			},
		},
		"a leap day is a day of its own": {
			policy: spec.Retention{Daily: 3},
			want: map[string][]string{
				"2024-03-01T00:00:00Z": {"daily 1"},
				"2024-02-29T23:59:59Z": {"daily 2"},
				"2024-02-29T00:00:00Z": nil,
				"2024-02-28T23:59:59Z": {"daily 3"},
				"2024-02-27T23:59:59Z": nil,
			},
		},
		"days end at midnight of the zone": {
			zone:   "Asia/Shanghai",
			policy: spec.Retention{Daily: 2},
			want: map[string][]string{
				"2026-11-22T16:00:00Z": {"daily 1"}, // 00:00 of the 23rd
				"2026-11-22T15:59:59Z": {"daily 2"}, // 23:59:59 of the 22nd
				"2026-11-21T16:00:00Z": nil,
				"2026-11-21T15:59:59Z": nil,
			},
		},
		"an hour that is repeated is one bucket": {
			zone:   "Europe/Berlin",
			policy: spec.Retention{Hourly: 2},
			want: map[string][]string{
				"2026-10-25T01:30:00Z": {"hourly 1"}, // 02:30 CET
				"2026-10-25T00:30:00Z": nil,          // 02:30 CEST
				"2026-10-24T23:30:00Z": {"hourly 2"},
				"2026-10-24T22:30:00Z": nil,
			},
		},
		"within counts from the newest, its end left out": {
			policy: spec.Retention{Within: 48 * time.Hour},
			want: map[string][]string{
				"2026-11-20T10:00:00Z": {"within 48h"},
				"2026-11-18T10:00:01Z": {"within 48h"},
				"2026-11-18T10:00:00Z": nil,
			},
		},
		"within a calendar bucket": {
			policy: spec.Retention{WithinDaily: 7 * 24 * time.Hour},
			want: map[string][]string{
				"2026-11-20T10:00:00Z": {"daily within 7d"},
				"2026-11-20T09:00:00Z": nil,
				"2026-11-19T09:00:00Z": {"daily within 7d"},
				"2026-11-19T08:00:00Z": {"oldest daily within 7d"},
			},
		},
		"what is from the future stays and counts for nothing": { // pitfall 50
			policy: spec.Retention{Last: 1, Within: time.Hour},
			want: map[string][]string{
				"2036-01-01T00:00:00Z": {"in the future"},
				"2026-11-23T12:00:01Z": {"in the future"},
				"2026-11-23T11:00:00Z": {"last 1", "within 1h"},
				"2026-11-23T10:30:00Z": {"within 1h"},
				"2026-11-23T10:00:00Z": nil,
			},
		},
		"the union of all rules": {
			policy: spec.Retention{Last: 1, Hourly: 2, Daily: 2},
			want: map[string][]string{
				"2026-11-23T11:30:00Z": {"last 1", "hourly 1", "daily 1"},
				"2026-11-23T11:00:00Z": nil,
				"2026-11-23T10:00:00Z": {"hourly 2"},
				"2026-11-22T23:00:00Z": {"daily 2"},
				"2026-11-21T23:00:00Z": nil,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			loc := time.UTC
			if test.zone != "" {
				loc = mustZone(t, test.zone)
			}
			var points []Point
			for at := range test.want {
				points = append(points, Point{ID: at, At: mustTime(t, at)})
			}
			got := map[string][]string{}
			for i, v := range ApplyPolicy(points, test.policy, loc, mustTime(t, now)) {
				if v.ID != points[i].ID {
					t.Errorf("verdict %d is on %s, want %s", i, v.ID, points[i].ID)
				}
				if v.Keep != (len(v.Reasons) > 0) {
					t.Errorf("%s: keep is %v with the reasons %q", v.ID, v.Keep, v.Reasons)
				}
				got[v.ID] = v.Reasons
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error("-want +got:\n" + diff)
			}
		})
	}
}

func TestApplyPolicyOfNothing(t *testing.T) {
	if got := ApplyPolicy(nil, spec.Retention{Last: 1}, time.UTC, time.Time{}); len(got) != 0 {
		t.Errorf("verdicts on no points: %v", got)
	}
}

var policyZones = []string{"UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"}

// policyNow is in the repeated hour of Europe/Berlin, near other changes of clocks.
var policyNow = time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)

func drawPoints(t *rapid.T) []Point {
	spread := rapid.SampledFrom([]time.Duration{time.Hour, 26 * time.Hour, 90 * 24 * time.Hour, 4 * 366 * 24 * time.Hour}).Draw(t, "spread")
	n := rapid.IntRange(0, 40).Draw(t, "n")
	points := make([]Point, n)
	for i := range points {
		back := rapid.Int64Range(-int64(spread/20/time.Second), int64(spread/time.Second)).Draw(t, "back")
		points[i] = Point{ID: fmt.Sprintf("p%02d", i), At: policyNow.Add(-time.Duration(back) * time.Second)}
	}
	return points
}

func drawPolicy(t *rapid.T) spec.Retention {
	count := rapid.OneOf(rapid.Just(0), rapid.Just(0), rapid.IntRange(-1, 6))
	within := rapid.OneOf(rapid.Just(time.Duration(0)), rapid.Just(time.Duration(0)), rapid.SampledFrom([]time.Duration{time.Hour, 30 * time.Hour, 100 * 24 * time.Hour}))
	return spec.Retention{
		Last: count.Draw(t, "last"), Hourly: count.Draw(t, "hourly"), Daily: count.Draw(t, "daily"),
		Weekly: count.Draw(t, "weekly"), Monthly: count.Draw(t, "monthly"), Yearly: count.Draw(t, "yearly"),
		Within: within.Draw(t, "within"), WithinHourly: within.Draw(t, "withinHourly"), WithinDaily: within.Draw(t, "withinDaily"),
		WithinWeekly: within.Draw(t, "withinWeekly"), WithinMonthly: within.Draw(t, "withinMonthly"), WithinYearly: within.Draw(t, "withinYearly"),
	}
}

func drawZone(t *rapid.T) *time.Location {
	return mustZone(t, rapid.SampledFrom(policyZones).Draw(t, "zone"))
}

func keptIDs(points []Point, p spec.Retention, loc *time.Location) []string {
	var ids []string
	for _, v := range ApplyPolicy(points, p, loc, policyNow) {
		if v.Keep {
			ids = append(ids, v.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func subset(small, big []string) bool {
	return !slices.ContainsFunc(small, func(id string) bool { return !slices.Contains(big, id) })
}

// singleRules splits a policy into policies of one rule each.
func singleRules(p spec.Retention) []spec.Retention {
	all := []spec.Retention{
		{Last: p.Last}, {Hourly: p.Hourly}, {Daily: p.Daily}, {Weekly: p.Weekly}, {Monthly: p.Monthly}, {Yearly: p.Yearly},
		{Within: p.Within}, {WithinHourly: p.WithinHourly}, {WithinDaily: p.WithinDaily},
		{WithinWeekly: p.WithinWeekly}, {WithinMonthly: p.WithinMonthly}, {WithinYearly: p.WithinYearly},
	}
	return slices.DeleteFunc(all, func(r spec.Retention) bool { return r == spec.Retention{} })
}

func TestApplyPolicyKeepsTheUnionOfItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, policy, loc := drawPoints(t), drawPolicy(t), drawZone(t)
		rules := singleRules(policy)
		if len(rules) == 0 {
			t.Skip("an empty policy is no union")
		}
		var union []string
		for _, rule := range rules {
			union = append(union, keptIDs(points, rule, loc)...)
		}
		slices.Sort(union)
		if diff := cmp.Diff(slices.Compact(union), keptIDs(points, policy, loc)); diff != "" {
			t.Fatal("-union +kept:\n" + diff)
		}
	})
}

func TestApplyPolicyKeepsMoreForMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, less, loc := drawPoints(t), drawPolicy(t), drawZone(t)
		more := less
		counts := []*int{&more.Last, &more.Hourly, &more.Daily, &more.Weekly, &more.Monthly, &more.Yearly}
		grown := counts[rapid.IntRange(0, len(counts)-1).Draw(t, "grown")]
		switch {
		case less == spec.Retention{}:
			t.Skip("an empty policy keeps all, any other less")
		case *grown >= 0 && rapid.Bool().Draw(t, "all"):
			*grown = -1
		case *grown >= 0:
			*grown++
		}
		if small, big := keptIDs(points, less, loc), keptIDs(points, more, loc); !subset(small, big) {
			t.Fatalf("%+v keeps %v, but %+v only %v", less, small, more, big)
		}
	})
}

func TestApplyPolicyIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, policy, loc := drawPoints(t), drawPolicy(t), drawZone(t)
		kept := keptIDs(points, policy, loc)
		left := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return !slices.Contains(kept, p.ID) })
		if diff := cmp.Diff(kept, keptIDs(left, policy, loc)); diff != "" {
			t.Fatal("the second application removes (-):\n" + diff)
		}
	})
}

func TestApplyPolicyIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, policy, loc := drawPoints(t), drawPolicy(t), drawZone(t)
		want := map[string]Verdict{}
		for _, v := range ApplyPolicy(points, policy, loc, policyNow) {
			want[v.ID] = v
		}
		for _, v := range ApplyPolicy(rapid.Permutation(points).Draw(t, "shuffled"), policy, loc, policyNow) {
			if diff := cmp.Diff(want[v.ID], v); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// The newest and everything from the future stay, whatever the policy; pitfall 50.
func TestPitfall50_ApplyPolicyNeverRemovesTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, policy, loc := drawPoints(t), drawPolicy(t), drawZone(t)
		kept := keptIDs(points, policy, loc)
		var newest *Point
		for i, p := range points {
			if p.At.After(policyNow) {
				if !slices.Contains(kept, p.ID) {
					t.Fatalf("%s is from the future and removed", p.ID)
				}
				continue
			}
			if newest == nil || newestFirst(p, *newest) < 0 {
				newest = &points[i]
			}
		}
		if newest != nil && !slices.Contains(kept, newest.ID) {
			t.Fatalf("the newest, %s, is removed by %+v", newest.ID, policy)
		}
	})
}
