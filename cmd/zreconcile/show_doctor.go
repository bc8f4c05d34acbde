package main

import (
	"fmt"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
)

// showDiagnosis shows the checks by group: a line for what is well, and for the
// rest the mend as well. The last line counts.
func showDiagnosis(v view, d reconcile.Diagnosis) {
	if d.Site != "" {
		v.printf("%s\n", v.strong("site "+printable(d.Site)))
	}
	group := ""
	for _, c := range d.Checks {
		if c.Group != group {
			group = c.Group
			v.printf("\n%s\n", v.strong(group))
		}
		showAnswer(v, c)
	}
	v.printf("\n%s\n", doctorSummary(v, d.Summary))
}

// doctorIndent is where the words of a check begin.
const doctorIndent = 30

func showAnswer(v view, c reconcile.DoctorCheck) {
	word := fmt.Sprintf("%-8s", c.Level) // padded before it is painted
	switch c.Level {
	case reconcile.DoctorOK:
		word = v.good(word)
	case reconcile.DoctorFault:
		word = v.bad(word)
	default:
		word = v.warn(word)
	}
	first, rest, _ := strings.Cut(c.What, "\n")
	v.printf("  %s %-18s %s\n", word, c.Name, printable(first))
	indent := strings.Repeat(" ", doctorIndent)
	if rest != "" {
		v.printf("%s", indented(indent, rest))
	}
	if c.Mend != "" {
		v.printf("%s%s %s\n", indent, v.strong("mend:"), printable(c.Mend))
	}
}

func doctorSummary(v view, s reconcile.DoctorSummary) string {
	text := fmt.Sprintf("%s, %s, %d unknown, %d ok.", plural(s.Fault, "fault"), plural(s.Warning, "warning"), s.Unknown, s.OK)
	switch {
	case s.Fault > 0:
		return v.bad(text)
	case s.Warning > 0:
		return v.warn(text)
	}
	return v.good(text)
}
