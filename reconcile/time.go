package reconcile

import "time"

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
