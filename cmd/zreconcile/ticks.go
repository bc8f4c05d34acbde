package main

import "time"

// tickStep is the distance of round moments in a calendar: one of the three.
type tickStep struct {
	clock        time.Duration // less than a day
	days, months int
	layout       string
}

// tickSteps are the distances that people count in, the shortest first.
var tickSteps = []tickStep{
	{clock: time.Second, layout: "15:04:05"},
	{clock: 5 * time.Second, layout: "15:04:05"},
	{clock: 15 * time.Second, layout: "15:04:05"},
	{clock: 30 * time.Second, layout: "15:04:05"},
	{clock: time.Minute, layout: "15:04"},
	{clock: 5 * time.Minute, layout: "15:04"},
	{clock: 15 * time.Minute, layout: "15:04"},
	{clock: 30 * time.Minute, layout: "15:04"},
	{clock: time.Hour, layout: "15:04"},
	{clock: 3 * time.Hour, layout: "15:04"},
	{clock: 6 * time.Hour, layout: "15:04"},
	{clock: 12 * time.Hour, layout: "15:04"},
	{days: 1, layout: "01-02"},
	{days: 2, layout: "01-02"},
	{days: 7, layout: "01-02"},
	{months: 1, layout: "2006-01"},
	{months: 3, layout: "2006-01"},
	{months: 6, layout: "2006-01"},
	{months: 12, layout: "2006"},
	{months: 24, layout: "2006"},
	{months: 60, layout: "2006"},
	{months: 120, layout: "2006"},
	{months: 240, layout: "2006"},
	{months: 600, layout: "2006"},
}

// about is how long a step is, not counting the whims of calendars.
func (t tickStep) about() time.Duration {
	const day = 24 * time.Hour
	return t.clock + time.Duration(t.days)*day + time.Duration(t.months)*30*day
}

// tick is a round moment on a timeline.
type tick struct {
	at    time.Time
	label string
}

// ticks are the round moments of a zone's calendar on the line, about most of
// them or fewer. The midnights among hours are written as days.
func (s scale) ticks(zone *time.Location, most int) []tick {
	step := tickSteps[len(tickSteps)-1]
	for i := len(tickSteps) - 1; i >= 0 && s.to.Sub(s.from)/time.Duration(most) <= tickSteps[i].about(); i-- {
		step = tickSteps[i]
	}
	var list []tick
	for i := 0; ; i++ {
		at := step.moment(s.from.In(zone), i)
		if at.After(s.to) {
			return list
		}
		if at.Before(s.from) || len(list) > 0 && !at.After(list[len(list)-1].at) {
			continue // an hour that a clock skips or repeats
		}
		label := at.Format(step.layout)
		if h, m, sec := at.Clock(); step.clock > 0 && h+m+sec == 0 {
			label = at.Format("01-02")
		}
		list = append(list, tick{at, label})
	}
}

// moment is the i-th round moment from the last one at or before another on, by
// the wall clock of its zone.
func (t tickStep) moment(from time.Time, i int) time.Time {
	year, month, day := from.Date()
	switch zone := from.Location(); {
	case t.clock > 0:
		hour, minute, second := from.Clock()
		step := int(t.clock / time.Second)
		return time.Date(year, month, day, 0, 0, ((hour*60+minute)*60+second)/step*step+i*step, 0, zone)
	case t.days > 0:
		back := 0 // days are counted from 1970, weeks from their Monday
		if t.days > 1 {
			back = (daysSince1970(year, month, day) + 3) % t.days
		}
		return time.Date(year, month, day-back+i*t.days, 0, 0, 0, 0, zone)
	default:
		months := year*12 + int(month) - 1
		return time.Date(0, time.Month(months/t.months*t.months+i*t.months+1), 1, 0, 0, 0, 0, zone)
	}
}

func daysSince1970(year int, month time.Month, day int) int {
	return int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60))
}
