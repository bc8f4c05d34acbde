package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/zfs"
)

func TestPitfall54_OnlyLocalMarksCount(t *testing.T) {
	properties := local(markSite, "s1", "compression", "on", "other:site", "x", "zreconcile:", "y")
	for _, source := range []string{"inherited", "received", "default", "none", "temporary", ""} {
		properties[markPrefix+"of-"+source] = zfs.Value{Value: "s1", Source: source}
	}
	if diff := cmp.Diff(marks{markSite: "s1"}, localMarks(properties)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhoseMarks(t *testing.T) {
	tests := map[string]struct {
		m             marks
		ours, foreign bool
	}{
		"nobody's":          {m: marks{}},
		"ours":              {m: marks{markSite: "s1", markFormat: marksFormat}, ours: true},
		"another site's":    {m: marks{markSite: "s2", markFormat: marksFormat}},
		"of a later format": {m: marks{markSite: "s1", markFormat: "2"}, foreign: true},
		"without a format":  {m: marks{markSite: "s1"}, foreign: true},
	}
	for name, test := range tests {
		if got := test.m.ours("s1"); got != test.ours {
			t.Errorf("%s: ours = %v", name, got)
		}
		if got := test.m.foreignFormat("s1"); got != test.foreign {
			t.Errorf("%s: foreignFormat = %v", name, got)
		}
	}
}

func TestMarksThatAreNoValues(t *testing.T) {
	m := marks{"a": "no LSN", "b": "no time", "c": "no number"}
	if m.lsn("a") != 0 || !m.time("b").IsZero() || m.int("c") != 0 || m.lsn("") != 0 {
		t.Error("what can't be read is nothing")
	}
	at := time.Date(2026, 11, 23, 1, 2, 3, 456789000, time.FixedZone("", 8*3600))
	if got := (marks{"t": FormatTime(at)}).time("t"); !got.Equal(at) {
		t.Errorf("%s was read as %s", at, got)
	}
}

func TestMarkNamesAreOfZFS(t *testing.T) {
	for _, name := range append(append([]string{expiredMark("Before-Drop_1")}, snapshotMarks...), datasetMarks...) {
		if !strings.HasPrefix(name, markPrefix) || name != strings.ToLower(name) || !zfs.UserProperty(name) || zfs.ValidProperty(name) != nil {
			t.Errorf("%q is no name of a user property", name)
		}
	}
	if expiredMark("a") == expiredMark("A") {
		t.Error("names of restores may differ in case alone")
	}
}
