package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// Point is one snapshot as retention sees it: who it is and when it was taken.
type Point struct {
	ID string
	At time.Time
}

// Verdict is what the policy says of one Point. Reasons holds every rule that
// keeps it, in the policy's order, such as "last 1" or "hourly 3", counted from
// the newest; it is empty when the point is to be removed.
type Verdict struct {
	ID      string
	Keep    bool
	Reasons []string
}

// ApplyPolicy says which points the policy keeps, and why, in the order of points.
//
// The rules are restic's (restic forget --keep-*, ApplyPolicy in its
// snapshot_policy.go): a counted rule keeps the newest point of each of the last
// N calendar buckets of loc that hold any, and also the oldest point of all
// while it has counts left; a within rule keeps what is younger than the newest
// point by less than the duration; what any rule keeps is kept. -1 is no limit.
//
// Where restic would lose data that nobody named, this is more careful: an
// empty policy keeps everything, the newest point is always kept, and a point
// later than now, which a wrong clock made, is kept and takes no part in any
// rule, so that it cannot push an honest one out of its bucket.
func ApplyPolicy(points []Point, policy spec.Retention, loc *time.Location, now time.Time) []Verdict {
	verdicts := make([]Verdict, len(points))
	past := make([]int, 0, len(points)) // indices into points
	for i, p := range points {
		verdicts[i].ID = p.ID
		if p.At.After(now) {
			verdicts[i].keep("in the future")
			continue
		}
		past = append(past, i)
	}
	slices.SortFunc(past, func(a, b int) int { return newestFirst(points[a], points[b]) })

	if len(past) > 0 {
		rules := policyRules(policy, points[past[0]].At)
		for nr, i := range past {
			local := points[i].At.In(loc)
			for r := range rules {
				if why, kept := rules[r].judge(local, nr, nr == len(past)-1); kept {
					verdicts[i].keep(why)
				}
			}
			if len(rules) == 0 {
				verdicts[i].keep("no retention policy")
			}
		}
		if newest := &verdicts[past[0]]; !newest.Keep {
			newest.keep("newest")
		}
	}
	return verdicts
}

func (v *Verdict) keep(reason string) {
	v.Keep = true
	v.Reasons = append(v.Reasons, reason)
}

// newestFirst orders points; those of one moment by their ID, so that the
// verdicts do not depend on the order of the listing.
func newestFirst(a, b Point) int {
	if c := b.At.Compare(a.At); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// A rule walks the points from the newest to the oldest.
type rule struct {
	name   string
	left   int       // points it may still keep; negative is no limit
	after  time.Time // only points later than this; zero is all
	within string    // the duration as text; "" for a counted rule
	bucket bucketer  // nil: each point is a bucket of its own
	last   int       // the bucket of the point kept last
	kept   int
}

// A bucketer numbers the calendar bucket of a local time.
type bucketer func(time.Time) int

// judge says whether the rule keeps the nr-th newest point, and as what.
func (r *rule) judge(local time.Time, nr int, oldest bool) (why string, keep bool) {
	if r.left == 0 || !r.after.IsZero() && !local.After(r.after) {
		return "", false
	}
	bucket := nr
	if r.bucket != nil {
		bucket = r.bucket(local)
	}
	same := r.kept > 0 && bucket == r.last
	if same && !oldest {
		return "", false
	}
	if r.left > 0 {
		r.left--
	}
	r.last = bucket
	r.kept++
	return r.reason(same), true
}

// reason words why the point was kept; the oldest one shares the bucket of a
// newer one and is kept only because it reaches back the farthest.
func (r *rule) reason(oldest bool) string {
	switch {
	case r.within == "" && oldest:
		return "oldest " + r.name + " snapshot"
	case r.within == "":
		return fmt.Sprintf("%s %d", r.name, r.kept)
	case r.name == "":
		return "within " + r.within
	case oldest:
		return "oldest " + r.name + " within " + r.within
	default:
		return r.name + " within " + r.within
	}
}

// policyRules lists the rules that the policy names, in restic's order with
// within first of its kind; newest is the point that within counts from.
func policyRules(p spec.Retention, newest time.Time) []rule {
	counted := []struct {
		name   string
		n      int
		bucket bucketer
	}{
		{"last", p.Last, nil},
		{"hourly", p.Hourly, hourBucket},
		{"daily", p.Daily, dayBucket},
		{"weekly", p.Weekly, weekBucket},
		{"monthly", p.Monthly, monthBucket},
		{"yearly", p.Yearly, yearBucket},
	}
	within := []struct {
		name   string
		d      time.Duration
		bucket bucketer
	}{
		{"", p.Within, nil},
		{"hourly", p.WithinHourly, hourBucket},
		{"daily", p.WithinDaily, dayBucket},
		{"weekly", p.WithinWeekly, weekBucket},
		{"monthly", p.WithinMonthly, monthBucket},
		{"yearly", p.WithinYearly, yearBucket},
	}
	var rules []rule
	for _, c := range counted {
		if c.n != 0 {
			rules = append(rules, rule{name: c.name, left: c.n, bucket: c.bucket})
		}
	}
	for _, w := range within {
		if w.d > 0 {
			rules = append(rules, rule{name: w.name, left: -1, bucket: w.bucket,
				after: newest.Add(-w.d), within: durationText(w.d)})
		}
	}
	return rules
}

// durationText prints a duration as people write it in a site file: 48h, 7d.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0 && d > 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return d.String()
	}
}

func hourBucket(t time.Time) int { return dayBucket(t)*100 + t.Hour() }

func dayBucket(t time.Time) int { return monthBucket(t)*100 + t.Day() }

// weekBucket numbers ISO 8601 weeks: Monday is the first day, and the days
// around New Year belong to the week that holds their Thursday.
func weekBucket(t time.Time) int {
	year, week := t.ISOWeek()
	return year*100 + week
}

func monthBucket(t time.Time) int { return t.Year()*100 + int(t.Month()) }

func yearBucket(t time.Time) int { return t.Year() }
