package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// The exit statuses of `status --check`, as monitoring plugins have them
// (Monitoring Plugins Development Guidelines, "Plugin Return Codes").
const (
	checkOK       = 0
	checkWarning  = 1
	checkCritical = 2
	checkUnknown  = 3
)

const checkHelp = `Exit status of --check:
  0  ok
  1  warning: it can wait for the morning
  2  critical: moments are lost, or are about to be
  3  unknown: the site file is invalid, or the host could not be observed`

// checkDeadline is shorter than what monitors wait for a plugin (Nagios: 60 s):
// a host that hangs is told of, and not only noticed.
const checkDeadline = 50 * time.Second

// runCheck says on one line of stdout whether all is well, whatever happens.
func runCheck(ctx context.Context, p *program) (err error) {
	site, status := &spec.Site{}, reconcile.Status{}
	defer func() {
		if fault := recover(); fault != nil {
			fmt.Fprintf(p.stderr.words(), "%s", debug.Stack())
			status = reconcile.BlankStatus(site.Name, fmt.Sprintf("a fault of zreconcile itself, please report it: %v", fault))
		}
		if err = p.writeCheck(site, status); err == nil {
			err = report(checkStatus(status.Verdict.Level))
		}
	}()
	ctx, stop := interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, checkDeadline)
	defer cancel()
	opened, err := p.openSite()
	if err != nil {
		status = reconcile.BlankStatus("", firstProblem(err))
		return err
	}
	site = opened
	status, err = p.newHost().Status(ctx, site, p.clock())
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		status = reconcile.BlankStatus(site.Name, fmt.Sprintf("the host could not be observed within %s: %v", checkDeadline, err))
	case err != nil:
		status = reconcile.BlankStatus(site.Name, p.asUser(err).Error())
	case p.euid != 0 && len(status.Failures) > 0:
		status.Verdict.Reasons = append(status.Verdict.Reasons, "this is an ordinary user, who may not be let at everything: run it with sudo")
	}
	return err
}

// firstProblem is the error of a site file in one line; the rest is on stderr.
func firstProblem(err error) string {
	var invalid *invalidError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	list := invalid.problems.Errors()
	text := problemLine(list[0])
	if len(list) > 1 {
		text += fmt.Sprintf(", and %d more", len(list)-1)
	}
	return "the site file is invalid: " + text
}

// problemLine is a problem of a site file, and where it is.
func problemLine(p spec.Problem) string {
	return fmt.Sprintf("%s:%d:%d: %s", p.Pos.File, p.Pos.Line, p.Pos.Col, p.Message)
}

// checkJSON is what `status --check -o json` writes, on one line, too.
type checkJSON struct {
	Format  int                 `json:"format"`
	Site    string              `json:"site"`
	Verdict reconcile.Judgement `json:"verdict"`
}

func (p *program) writeCheck(site *spec.Site, s reconcile.Status) error {
	if p.json() {
		return json.NewEncoder(p.stdout).Encode(checkJSON{reconcile.Format, s.Site, s.Verdict})
	}
	_, err := fmt.Fprintln(p.stdout, checkLine(site, s, p.clock()))
	return err
}

// checkLine is the line that a monitor shows: the level, all reasons, what can
// be had, and, behind a bar, performance data.
func checkLine(site *spec.Site, s reconcile.Status, now time.Time) string {
	var parts []string
	for _, text := range append(s.Verdict.Reasons, s.Verdict.Headline) {
		parts = append(parts, strings.ReplaceAll(printable(strings.Join(strings.Fields(text), " ")), "|", "/"))
	}
	line := verdictWord(s.Verdict.Level) + ": " + strings.Join(parts, "; ")
	if perf := performance(site, s, now); len(perf) > 0 {
		line += " | " + strings.Join(perf, " ")
	}
	return line
}

// verdictWord is a level as monitors write it.
func verdictWord(level reconcile.Level) string { return strings.ToUpper(string(level)) }

func checkStatus(level reconcile.Level) int {
	switch level {
	case reconcile.LevelOK:
		return checkOK
	case reconcile.LevelWarning:
		return checkWarning
	case reconcile.LevelCritical:
		return checkCritical
	default:
		return checkUnknown
	}
}

// performance is what is known in numbers, each with the limit that it is held
// to: label=value[unit];[warning];[critical];[minimum];[maximum]. What is not
// known is left out.
func performance(site *spec.Site, s reconcile.Status, now time.Time) []string {
	var list []string
	add := func(label, value, warning, rest string) {
		list = append(list, label+"="+value+";"+warning+";"+rest)
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	age := func(label string, t *reconcile.Time, limit time.Duration) {
		if t != nil {
			add(label, number(max(0, now.Sub(t.Time).Truncate(time.Second).Seconds()))+"s", atMost(limit), ";0")
		}
	}
	if lag := s.Standby.LagSeconds; lag != nil {
		add("lag", number(*lag)+"s", atMost(site.Health.Lag), ";0")
	}
	if lag := s.Standby.LagBytes; lag != nil {
		add("lag_bytes", strconv.FormatInt(*lag, 10)+"B", "", ";0")
	}
	if p := s.Pool; p != nil && p.Size > 0 {
		limit := ""
		if site.Health.Free > 0 {
			limit = number(100*site.Health.Free) + ":"
		}
		add("free", strconv.FormatFloat(100*float64(p.Free)/float64(p.Size), 'f', 1, 64)+"%", limit, ";0;100")
	}
	age("snapshot_age", s.NewestSnapshot(), site.Health.SnapshotAge)
	if last := s.LastDrill; last != nil {
		age("drill_age", &last.At, site.Health.DrillAge)
	}
	if n := len(s.Windows); n > 0 {
		age("newest_moment_age", &s.Windows[n-1].To, 0)
		age("window_age", &s.Windows[n-1].From, 0)
	}
	return list
}

// atMost is a limit in seconds; "" is none.
func atMost(limit time.Duration) string {
	if limit == 0 {
		return ""
	}
	return strconv.FormatFloat(limit.Seconds(), 'f', -1, 64)
}
