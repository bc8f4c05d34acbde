package spec

import (
	"math"
	"strings"
	"time"
)

// The readers below turn one scalar into a value of Go. What is missing, null
// or was found faulty by the schema is the zero value: a problem is said once,
// and the checks skip what is zero.

func (n *node) given() bool {
	return n != nil && (n.kind != scalarNode || (!n.faulty && n.tag != "!!null"))
}

func (n *node) textOr(fallback string) string {
	if !n.given() || n.kind != scalarNode {
		return fallback
	}
	return n.text
}

func (n *node) intOr(fallback int) int {
	if !n.given() || n.kind != scalarNode {
		return fallback
	}
	switch number, _ := n.number(); v := number.(type) {
	case int64:
		return int(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v)
		}
	}
	return fallback
}

func (n *node) boolOr(fallback bool) bool {
	if !n.given() || n.tag != "!!bool" {
		return fallback
	}
	return strings.EqualFold(n.text, "true")
}

// texts is a list of scalars, or one scalar as a list of one.
func (n *node) texts() []string {
	if n.given() && n.kind == scalarNode {
		return []string{n.text}
	}
	var out []string
	for _, item := range n.list() {
		if text := item.textOr(""); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// onOff is the value of a ZFS property: the words of YAML's booleans become
// ZFS's on and off, unless they stand in quotes.
func (n *node) onOff() string {
	switch {
	case n.quoted:
		return n.text
	case isYes(n.text):
		return "on"
	case isNo(n.text):
		return "off"
	}
	return n.text
}

func isYes(word string) bool { return oneOfFold(word, "on", "yes", "true") }

func isNo(word string) bool { return oneOfFold(word, "off", "no", "false") }

func oneOfFold(word string, words ...string) bool {
	for _, w := range words {
		if strings.EqualFold(word, w) {
			return true
		}
	}
	return false
}

// durationOr reads a duration.
func (d *draft) durationOr(n *node, fallback time.Duration) time.Duration {
	if !n.given() || n.kind != scalarNode {
		return fallback
	}
	duration, err := ParseDuration(n.text)
	if err != nil {
		d.errorf(n, "", "%v", err)
		return fallback
	}
	return duration
}

// percentOr reads a percentage as a share.
func (d *draft) percentOr(n *node, fallback float64) float64 {
	if !n.given() || n.kind != scalarNode {
		return fallback
	}
	share, err := parsePercent(n.text)
	if err != nil {
		d.errorf(n, "", "%v", err)
		return fallback
	}
	return share
}

// schedule reads a cron expression; "" when it can't be used.
func (d *draft) schedule(n *node) string {
	text := n.textOr("")
	if text == "" {
		return ""
	}
	if _, err := ParseSchedule(text); err != nil {
		d.errorf(n, "", "%v", err)
		n.faulty = true
		return ""
	}
	return text
}
