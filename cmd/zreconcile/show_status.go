package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	units "github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/reconcile"
)

// mostShown bounds the lists of a status, so that it stays on one screen; -o
// json has all.
const mostShown = 10

// showStatus shows a host, on the first screen what is asked first: can I rely on
// it, how far back can I go, how far behind is it, and what runs. What it is made
// of comes below.
func showStatus(v view, s reconcile.Status, as login) {
	showVerdict(v, s.Verdict)
	v.printf("%s\n", v.strong("site "+printable(s.Site)))
	showAnswers(v, s)
	showWindows(v, s)
	if s.Standby.State != "" {
		showStandby(v, s.Standby, as)
	}
	showRestores(v, s.Restores, as)
	showSnapshots(v, s.Snapshots)
	showLastDrill(v, s)
	showArchive(v, s.Archive)
	showPool(v, s.Pool)
	if len(s.Failures) > 0 {
		v.printf("\n")
		showList(v, v.bad("Could not be observed:"), s.Failures)
	}
}

// showVerdict answers at a glance: the first line is enough for who is in a hurry.
func showVerdict(v view, verdict reconcile.Judgement) {
	word := verdictWord(verdict.Level)
	switch verdict.Level {
	case reconcile.LevelOK:
		v.printf("%s %s\n", v.good("SAFE:"), printable(verdict.Headline))
		return
	case reconcile.LevelCritical:
		word = v.bad(word + ":")
	default:
		word = v.warn(word + ":")
	}
	for i, reason := range verdict.Reasons {
		if i == 0 {
			v.printf("%s %s\n", word, printable(reason))
			continue
		}
		v.printf("  - %s\n", printable(reason))
	}
	v.printf("  - %s\n", printable(verdict.Headline))
}

func showPool(v view, p *reconcile.PoolStatus) {
	if p == nil {
		return
	}
	health := v.good(printable(p.Health))
	if p.Health != "ONLINE" {
		health = v.bad(printable(p.Health))
	}
	v.printf("\npool %s: %s", printable(p.Name), health)
	if p.Size > 0 { // of a suspended pool nobody tells it
		v.printf(", %s of %s free", size(p.Free), size(p.Size))
	}
	v.printf("\n")
	for _, f := range p.Faults {
		v.printf("  %s\n", v.bad(printable(f)))
	}
	if p.Words != "" {
		v.printf("  %s\n", printable(p.Words))
	}
}

func showStandby(v view, s reconcile.StandbyStatus, as login) {
	state := standbyState(s)
	v.printf("\nstandby: %s\n", v.toned(state.Tone, state.Text))
	showFacts(v, "  ", standbyFacts(v, s, as))
}

func standbyState(s reconcile.StandbyStatus) words {
	switch s.State {
	case reconcile.StandbyStreaming:
		return words{"streaming from the primary", toneGood}
	case reconcile.StandbyDisconnected:
		return words{"running, not connected to the primary", toneWarn}
	case reconcile.StandbyPromoted:
		return words{"promoted: it is no standby any more", toneBad}
	case reconcile.StandbySilent:
		return words{"running, and answering nobody", toneBad}
	case reconcile.StandbyMissing:
		return words{"there is none", toneBad}
	case reconcile.StandbyUnknown:
		return words{"not known", toneBad}
	default:
		return words{"stopped", toneBad}
	}
}

func standbyFacts(v view, s reconcile.StandbyStatus, as login) []fact {
	var list []fact
	if s.SystemIdentifier != "" {
		list = append(list, fact{Name: "system", Value: printable(s.SystemIdentifier) + ", timeline " + strconv.FormatUint(uint64(s.Timeline), 10)})
	}
	if s.Running {
		replayed := orUnknown(lsn(s.ReplayedLSN))
		if s.ReplayedCommitAt != nil {
			replayed += ", last commit " + v.moment(s.ReplayedCommitAt.Time)
		}
		list = append(list, fact{Name: "lag", Value: lag(s)}, fact{Name: "received", Value: orUnknown(lsn(s.ReceivedLSN))}, fact{Name: "replayed", Value: replayed})
	}
	if len(s.PendingRestart) > 0 {
		list = append(list, fact{Value: "restart needed for " + printable(strings.Join(s.PendingRestart, ", ")), Tone: toneWarn})
	}
	if s.ArchiverFailing != "" {
		list = append(list, fact{Value: "archiving fails at " + printable(s.ArchiverFailing), Tone: toneBad})
	}
	if s.Slot != "" {
		list = append(list, fact{Name: "slot", Value: slot(s)})
	}
	if s.Running && s.Connect != "" {
		list = append(list, fact{Name: "connect", Value: psql(s.Connect, as.of(s.Role)), Command: true})
	}
	return list
}

func lag(s reconcile.StandbyStatus) string {
	var parts []string
	if s.LagBytes != nil {
		parts = append(parts, size(*s.LagBytes))
	}
	if s.LagSeconds != nil {
		parts = append(parts, span(time.Duration(*s.LagSeconds*float64(time.Second))))
	}
	return orUnknown(strings.Join(parts, ", "))
}

// slot says what the primary keeps for a standby that may be away.
func slot(s reconcile.StandbyStatus) string {
	if s.SlotRetainedBytes == nil {
		return printable(s.Slot) + ", what it retains on the primary is unknown"
	}
	return printable(s.Slot) + " retains " + size(*s.SlotRetainedBytes) + " of WAL on the primary"
}

func showArchive(v view, a reconcile.ArchiveStatus) {
	v.printf("\narchive: %s, %s\n", plural(a.Segments, "segment"), size(a.Bytes))
	if a.Missing != "" {
		v.printf("  %s\n", v.bad("there is none: "+printable(a.Missing)))
	}
	if a.First != "" {
		v.printf("  %s to %s\n", printable(a.First), printable(a.Last))
	}
	for i, gap := range a.Gaps {
		if i == mostShown {
			v.printf("  and %d more gaps\n", len(a.Gaps)-i)
			break
		}
		v.printf("  %s\n", v.bad("missing "+printable(gap.From)+" to "+printable(gap.To)))
	}
	if len(a.Damaged) > 0 {
		v.printf("  %s\n", v.bad("damaged "+printable(strings.Join(a.Damaged, ", "))))
	}
	if a.NeededBy != "" {
		v.printf("  %s\n", v.faint("the oldest is kept for "+printable(a.NeededBy)))
	}
	showKeeps(v, a.Keeps)
}

// mostKeeps bounds the runs of the archive that a status explains.
const mostKeeps = 3

// showKeeps says what the biggest runs of the archive are kept for.
func showKeeps(v view, keeps []reconcile.ArchiveKeep) {
	biggest := slices.Clone(keeps)
	slices.SortStableFunc(biggest, func(a, b reconcile.ArchiveKeep) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for _, k := range biggest[:min(len(biggest), mostKeeps)] {
		v.printf("  %s\n", v.faint(size(k.Bytes)+" from "+printable(k.From)+" to "+printable(k.To)+" "+keptFor(k)))
	}
	if more := len(keeps) - mostKeeps; more > 0 {
		v.printf("  %s\n", v.faint(plural(more, "more run")+" in -o json"))
	}
}

// keptFor says who needs a run of the archive.
func keptFor(k reconcile.ArchiveKeep) string {
	who := "needed by nobody any more"
	if len(k.Who) > 0 {
		who = "kept for " + strings.Join(k.Who, ", ")
	}
	if others := k.Needs - len(k.Who); others > 0 {
		who += " and " + strconv.Itoa(others) + " more"
	}
	return printable(who)
}

func showSnapshots(v view, all []reconcile.SnapshotStatus) {
	v.printf("\nsnapshots: %d\n", len(all))
	shown := all
	if len(all) > mostShown {
		shown = all[len(all)-mostShown:]
		v.printf("  %s\n", v.faint(strconv.Itoa(len(all)-mostShown)+" older ones are in -o json"))
	}
	t := tabwriter.NewWriter(v.w, 0, 0, 2, ' ', 0)
	for _, snap := range shown {
		from, drill := serves(v, snap), drillOutcome(v, snap.Verified)
		line := []string{"  " + printable(snap.Name), size(snap.Used), v.toned(from.Tone, from.Text), "kept by: " + keptBy(snap)}
		if snap.Label != "" {
			line = append(line, printable(`"`+snap.Label+`"`))
		}
		if drill.Text != "" {
			line = append(line, v.toned(drill.Tone, drill.Text))
		}
		_, _ = t.Write([]byte(strings.Join(line, "\t") + "\n"))
	}
	_ = t.Flush()
}

// keptBy names the rules that keep a snapshot.
func keptBy(s reconcile.SnapshotStatus) string {
	if len(s.KeptBy) == 0 {
		return "nothing keeps it"
	}
	return printable(strings.Join(s.KeptBy, ", "))
}

// serves says from when on a snapshot serves restores.
func serves(v view, s reconcile.SnapshotStatus) words {
	switch {
	case s.Earliest == nil || s.Earliest.Time == nil:
		return words{Text: "serves from: not known yet"}
	case s.Latest == nil && s.LatestWhy != "":
		return words{printable(s.LatestWhy), toneBad}
	}
	return words{Text: "serves from " + v.moment(wholeSecond(s.Earliest.Time.Time))}
}

// showWindows draws the moments that can be restored, from the first to now.
func showWindows(v view, s reconcile.Status) {
	v.printf("\ncan be restored:")
	if len(s.Windows) == 0 {
		v.printf(" %s\n", v.warn("no moment yet"))
		return
	}
	v.printf("\n")
	drawTimeline(v, s, newScale(s, v.now, min(max(v.width-4, 20), 100)))
	shown := s.Windows[max(0, len(s.Windows)-mostShown):]
	if len(shown) < len(s.Windows) {
		v.printf("  %s\n", v.faint(strconv.Itoa(len(s.Windows)-len(shown))+" older ones are in -o json"))
	}
	for _, w := range shown {
		v.printf("  %s%s\n", window(v, w), until(v, w))
	}
}

// until says what ends a window, where that is not the end of all WAL.
func until(v view, w reconcile.Window) string {
	if w.Why == "" {
		return ""
	}
	return "  " + v.faint(printable(w.Why))
}

// window writes a window to the second, rounded inwards: both ends can be
// restored as they stand there. A window within one second is written in full.
func window(v view, w reconcile.Window) string {
	from, to := windowEnds(v, w)
	return from + " to " + to
}

func windowEnds(v view, w reconcile.Window) (from, to string) {
	first, last := wholeSecond(w.From.Time), w.To.Truncate(time.Second)
	if first.After(last) {
		return w.From.String(), w.To.String()
	}
	return v.moment(first), v.moment(last)
}

// wholeSecond is the first whole second that is not before t.
func wholeSecond(t time.Time) time.Time {
	return t.Add(time.Second - time.Nanosecond).Truncate(time.Second)
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func size(n int64) string { return units.BytesSize(float64(n)) }

// lsn is a position as text; "" where there is none.
func lsn(l interface{ MarshalText() ([]byte, error) }) string {
	text, err := l.MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}
