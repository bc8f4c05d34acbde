package main

import (
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
)

// outcomes are those that were shown already.
type outcomes map[string]reconcile.Result

func (o outcomes) key(c reconcile.Change) string {
	return string(c.Action) + " " + c.Kind + "/" + c.Name
}

func (o outcomes) add(c reconcile.Change) { o[o.key(c)] = c.Result }

func (o outcomes) has(c reconcile.Change) bool {
	result, shown := o[o.key(c)]
	return shown && result == c.Result
}

// showApply shows what became of each change, but for those that were told
// already, and the sum.
func showApply(v view, p reconcile.Plan, told outcomes) {
	for _, c := range p.Changes {
		if !told.has(c) {
			showOutcome(v, c)
		}
	}
	if len(p.Changes) > 0 {
		v.printf("\n")
	}
	showNotes(v, p)
	switch {
	case len(p.Changes) > 0:
		v.printf("%s\n", v.strong("Apply: "+countResults(p.Changes)+"."))
	case len(p.Failures) == 0:
		v.printf("%s\n", v.good("site "+printable(p.Site)+": nothing to change."))
	default:
		v.printf("%s\n", v.bad("site "+printable(p.Site)+": nothing was changed."))
	}
	showNext(v, p)
}

// outcome is the result of a change in one word; a block was never tried.
func outcome(c reconcile.Change) string {
	if c.Action == reconcile.Block && c.Result != reconcile.Failed {
		return "blocked"
	}
	if c.Result == "" {
		return string(reconcile.Skipped)
	}
	return string(c.Result)
}

func showOutcome(v view, c reconcile.Change) {
	word := outcome(c)
	switch word {
	case "blocked":
		showHead(v, c, ": "+v.bad(word))
		v.printf("%s", indented("        ", because(c)))
		if c.Mend != "" {
			showMend(v, c.Mend)
		}
		return // its error says the same again
	case string(reconcile.Done):
		showHead(v, c, ": "+v.good(word))
	case string(reconcile.Failed):
		showHead(v, c, ": "+v.bad(word))
	default:
		showHead(v, c, ": "+v.warn(word))
	}
	if c.Error != "" {
		v.printf("%s", indented("        ", c.Error))
	}
}

func countResults(changes []reconcile.Change) string {
	numbers := map[string]int{}
	for _, c := range changes {
		numbers[outcome(c)]++
	}
	var parts []string
	for _, word := range []string{"done", "failed", "skipped", "blocked"} {
		if n := numbers[word]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+word)
		}
	}
	return strings.Join(parts, ", ")
}
