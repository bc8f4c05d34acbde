package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/zfs"
)

// The marks of drills. The outcome stands on the snapshot; that and when the
// last drill was made stands on the dataset of the data directory as well, where
// no retention takes it away: a pruned snapshot would make another drill due.
const (
	markVerifiedAt  = "zreconcile:verified-at"
	markVerified    = "zreconcile:verified"     // ok or failed
	markVerifiedWhy = "zreconcile:verified-why" // what was found, as a JSON list of texts
	markLastDrill   = "zreconcile:last-drill"   // on the dataset: when, ok or failed, snapshot
)

// drillSnapshotMarks and drillDatasetMarks are what an inventory asks for.
var (
	drillSnapshotMarks = []string{markVerifiedAt, markVerified, markVerifiedWhy}
	drillDatasetMarks  = []string{markLastDrill}
)

const (
	verdictOK     = "ok"
	verdictFailed = "failed"
)

func verdict(ok bool) string {
	if ok {
		return verdictOK
	}
	return verdictFailed
}

// parseVerdict knows no third one: what it does not know is no outcome.
func parseVerdict(s string) (ok, known bool) {
	return s == verdictOK, s == verdictOK || s == verdictFailed
}

// A mark of zfs-fuse holds 1024 bytes.
const (
	longestFindings = 1000 // of all together, bytes
	longestFinding  = 300  // of one
)

// findingsText is a list of findings as a mark: as many as it holds.
func findingsText(findings []string) string {
	kept := []string{}
	text := listText(kept)
	for i, f := range findings {
		kept = append(kept, shortened(f, longestFinding))
		whole := listText(kept)
		if left := len(findings) - i - 1; left > 0 {
			whole = listText(append(kept[:len(kept):len(kept)], fmt.Sprintf("and %d more", left)))
		}
		if len(whole) > longestFindings {
			return text
		}
		text = whole
	}
	return text
}

// listText is JSON on one line; texts keep their < and >.
func listText(list []string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(list) // texts can always be encoded
	return strings.TrimSpace(b.String())
}

// parseFindings reads such a mark; what a person wrote there is one finding.
func parseFindings(mark string) []string {
	findings := []string{}
	if mark != "" && json.Unmarshal([]byte(mark), &findings) != nil {
		findings = []string{mark}
	}
	return findings
}

// shortened is a text of at most limit bytes, of whole characters, on one line.
func shortened(s string, limit int) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len("...")], "") + "..."
}

// stampDrill writes down what came of a drill, on the snapshot first: what is
// proven of it must not be lost, and a drill too many is no harm.
func (h *Host) stampDrill(ctx context.Context, in *view, s Snapshot, d Drill) error {
	at := FormatTime(d.At.Time)
	err := h.ZFS.SetProperties(ctx, s.Data.Full(), []zfs.Prop{
		{Name: markVerifiedAt, Value: at},
		{Name: markVerified, Value: verdict(d.OK)},
		{Name: markVerifiedWhy, Value: findingsText(d.findings())},
	})
	if err != nil {
		return err
	}
	return h.ZFS.SetProperties(ctx, s.Data.Dataset, []zfs.Prop{{Name: markLastDrill, Value: at + " " + verdict(d.OK) + " " + s.Name}})
}

// verification is the outcome of the last drill of a snapshot; nil is none.
func (s Snapshot) verification() *Verification {
	m := localMarks(s.Data.Properties)
	at := m.time(markVerifiedAt)
	ok, known := parseVerdict(m[markVerified])
	if at.IsZero() || !known {
		return nil
	}
	return &Verification{At: Time{at}, OK: ok, Findings: parseFindings(m[markVerifiedWhy])}
}

// lastDrill is the newest drill that the marks tell of, of any snapshot; nil is
// none.
func (in *view) lastDrill() *LastDrill {
	if in.site.Standby == nil {
		return nil
	}
	var last *LastDrill
	newer := func(d LastDrill) {
		if last == nil || d.At.After(last.At.Time) {
			last = &d
		}
	}
	for _, s := range ours(in.site, in.state) {
		if v := s.verification(); v != nil {
			newer(LastDrill{At: v.At, OK: v.OK, Snapshot: s.Name})
		}
	}
	if p, ok := placeOf(in.site, in.state, in.site.Standby.DataDir); ok {
		d, _ := in.state.ZFS.Dataset(p.Dataset)
		if drill, ok := parseLastDrill(localMarks(d.Properties), in.site.Name); ok {
			newer(drill)
		}
	}
	return last
}

// parseLastDrill reads the mark on the dataset of the data directory; a dataset
// of another site, or with marks of another format, tells nothing.
func parseLastDrill(m marks, site string) (LastDrill, bool) {
	fields := strings.Fields(m[markLastDrill])
	if len(fields) != 3 || m[markSite] != "" && !m.ours(site) {
		return LastDrill{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, fields[0])
	ok, known := parseVerdict(fields[1])
	return LastDrill{At: Time{at}, OK: ok, Snapshot: fields[2]}, err == nil && known
}
