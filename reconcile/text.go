package reconcile

import (
	"errors"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// text shows a property's wanted value; null is inherited.
func text(v *string) string {
	if v == nil {
		return "(inherited)"
	}
	return *v
}

const shown = 5 // how many names a message lists before it counts the rest

// join lists names for a person, the first few of many.
func join(names []string) string {
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func isKind(err, kind error) bool { return err != nil && errors.Is(err, kind) }

func effective(b []byte) map[string]string { return conf.Effective(b) }

func walTimeline(n uint64) wal.Timeline { return wal.Timeline(n) }

// cutLast cuts around the last instance of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
