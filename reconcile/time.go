package reconcile

import (
	"fmt"
	"strconv"
	"time"
)

// timeLayout is RFC 3339 in UTC with microseconds, the resolution of
// PostgreSQL's timestamps.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a moment that JSON shows in UTC with microseconds.
type Time struct{ time.Time }

// MarshalJSON writes RFC 3339 in UTC with microseconds.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads RFC 3339.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

func (t Time) String() string { return FormatTime(t.Time) }

// FormatTime writes a moment as JSON and stamps do: RFC 3339, UTC, microseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func timePtr(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

// FormatSpan writes a duration by its two largest units: 3d 4h, 5m 10s.
func FormatSpan(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	if 0 < d && d < time.Second {
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	}
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		out := fmt.Sprintf("%d%s", n, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				out += fmt.Sprintf(" %d%s", rest, units[i+1].name)
			}
		}
		return out
	}
	return "0s"
}

// seconds is a duration as a log shows it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
