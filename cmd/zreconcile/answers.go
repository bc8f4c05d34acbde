package main

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
)

// What a person asks first in the night, besides whether all is well.

// answers are all of them, for the top of the page.
func answers(v view, s reconcile.Status) []fact {
	list := []fact{goesBack(v, s)}
	if s.Standby.State != "" {
		lags := behind(s.Standby)
		list = append(list, fact{Name: "How far behind", Value: lags.Text, Tone: lags.Tone})
	}
	list = append(list, proven(v, s))
	if s.Standby.State != "" {
		list = append(list, fact{Name: "Standby", Value: string(s.Standby.State), Tone: standbyState(s.Standby).Tone})
	}
	count := restoreCount(s)
	return append(list, fact{Name: "Restores", Value: count.Text, Tone: count.Tone, Hint: presentRestores(s.Restores)})
}

// showAnswers shows those that the verdict leaves open.
func showAnswers(v view, s reconcile.Status) {
	var list []fact
	if s.Standby.State != "" {
		lags, state := behind(s.Standby), standbyState(s.Standby)
		list = append(list, fact{Name: "behind", Value: lags.Text, Tone: lags.Tone}, fact{Name: "standby", Value: string(s.Standby.State), Tone: state.Tone})
	}
	count := restoreCount(s)
	if names := presentRestores(s.Restores); names != "" {
		count.Text += ": " + names
	}
	showFacts(v, "  ", append(list, fact{Name: "restores", Value: count.Text, Tone: count.Tone}))
}

// restoreCount is how many restores there are, where that is known.
func restoreCount(s reconcile.Status) words {
	switch n := len(s.Restores); {
	case n > 0:
		return words{Text: strconv.Itoa(n)}
	case len(s.Failures) > 0:
		return words{"not known", toneWarn}
	default:
		return words{Text: "none"}
	}
}

// goesBack says how far back each moment can be had, and where parts of what was
// before begin.
func goesBack(v view, s reconcile.Status) fact {
	n := len(s.Windows)
	switch {
	case n == 0 && s.WindowsUnknown:
		return fact{Name: "How far back", Value: "not known", Tone: toneWarn}
	case n == 0:
		return fact{Name: "How far back", Value: "no moment can be restored", Tone: toneBad}
	}
	last := s.Windows[n-1]
	from, _ := windowEnds(v, last)
	answer := fact{Name: "How far back", Value: span(v.now.Sub(last.From.Time)), Hint: "any moment from " + from + " to " + cmp.Or(strings.TrimSpace(ago(v.now.Sub(last.To.Time))), "now")}
	if n > 1 {
		first, _ := windowEnds(v, s.Windows[0])
		answer.Hint += ", parts of what was before from " + first
	}
	return answer
}

// behind says how far the standby is behind its primary.
func behind(s reconcile.StandbyStatus) words {
	switch s.State {
	case reconcile.StandbyStreaming:
		return words{lag(s), tonePlain}
	case reconcile.StandbyDisconnected:
		return words{lag(s) + ", and not connected", toneWarn}
	default:
		state := standbyState(s)
		return words{"not known; the standby is " + string(s.State), state.Tone}
	}
}

// proven says when a restore was last proven to work.
func proven(v view, s reconcile.Status) fact {
	answer := fact{Name: "Proven", Value: "never", Tone: toneWarn, Hint: "no restore drill was made"}
	if len(s.Failures) > 0 {
		answer.Value, answer.Hint = "not known", ""
	}
	if last := s.LastDrill; last != nil {
		outcome := lastDrill(*last)
		answer.Value, answer.Tone = outcome.Text+cmp.Or(ago(v.now.Sub(last.At.Time)), " now"), outcome.Tone
		answer.Hint = "the restore drill of " + printable(last.Snapshot)
	}
	return answer
}

// mostPresent bounds the restores that are named.
const mostPresent = 3

// presentRestores names some restores, and how they do; "" is none.
func presentRestores(restores []reconcile.RestoreStatus) string {
	var list []string
	for i, r := range restores {
		if i == mostPresent {
			list = append(list, strconv.Itoa(len(restores)-i)+" more")
			break
		}
		text := printable(r.Name) + " " + restoreState(r).Text
		if r.Connect != "" {
			text += " on port " + strconv.Itoa(r.Port)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
