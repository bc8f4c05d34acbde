package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Format is the version of the JSON that plan, apply and status print.
const Format = 1

// Action is what a change does; Block is a change that needs a person.
type Action string

// The actions, in the order in which a summary counts them.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
	Start   Action = "start"
	Stop    Action = "stop"
	Block   Action = "block"
)

// Actions lists all actions in the order of a summary.
var Actions = []Action{Create, Update, Replace, Delete, Start, Stop, Block}

// Result is what became of a change in an apply.
type Result string

// The results of a change.
const (
	Done    Result = "done"
	Failed  Result = "failed"
	Skipped Result = "skipped" // it needs something that failed or is blocked
)

// Attr is one value that a change alters; "" stands for absent.
type Attr struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Change is one difference between the file and the host, as data.
type Change struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action Action `json:"action"`
	Why    string `json:"why"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // the line of File that asks for it
	Attrs  []Attr `json:"attrs"`
	Mend   string `json:"mend,omitempty"` // what a person can do about a block
	Result Result `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`

	aside bool // a block of what works all the same: it holds nothing else up
}

func (c Change) key() string { return c.Kind + "/" + c.Name }

// Summary counts the changes of a plan by action.
type Summary struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
	Start   int `json:"start"`
	Stop    int `json:"stop"`
	Block   int `json:"block"`
}

// Plan is the difference between a site and its host at a moment.
type Plan struct {
	Format    int      `json:"format"`
	Site      string   `json:"site"`
	Converged bool     `json:"converged"` // nothing differs
	Changes   []Change `json:"changes"`
	Summary   Summary  `json:"summary"`
	Notes     []string `json:"notes,omitempty"`  // what a person should know and no change can mend: a degraded pool
	Next      *Time    `json:"next"`             // when a change falls due by itself; null is never
	Failures  []string `json:"errors,omitempty"` // what could not be observed
}

func newPlan(site string, changes []Change, notes []string, next time.Time) Plan {
	p := Plan{Format: Format, Site: site, Changes: changes, Notes: notes}
	if p.Changes == nil {
		p.Changes = []Change{}
	}
	if !next.IsZero() {
		p.Next = &Time{next}
	}
	p.count()
	return p
}

func (p *Plan) count() {
	p.tally()
	p.Converged = len(p.Changes) == 0
}

// tally counts the changes by action.
func (p *Plan) tally() {
	p.Summary = Summary{}
	counters := map[Action]*int{Create: &p.Summary.Create, Update: &p.Summary.Update, Replace: &p.Summary.Replace,
		Delete: &p.Summary.Delete, Start: &p.Summary.Start, Stop: &p.Summary.Stop, Block: &p.Summary.Block}
	for i := range p.Changes {
		if p.Changes[i].Attrs == nil {
			p.Changes[i].Attrs = []Attr{}
		}
		*counters[p.Changes[i].Action]++
	}
}

// Only says which changes a person asked for: KIND or KIND/NAME; none is all.
type Only []string

// Wants is true where a change of that kind and name was asked for.
func (o Only) Wants(kind, name string) bool {
	if len(o) == 0 {
		return true
	}
	for _, want := range o {
		k, n, named := strings.Cut(want, "/")
		if k == kind && (!named || n == name) {
			return true
		}
	}
	return false
}

// mentions is true where changes of that kind were asked for, be it one alone.
func (o Only) mentions(kind string) bool {
	return len(o) == 0 || slices.ContainsFunc(o, func(want string) bool {
		k, _, _ := strings.Cut(want, "/")
		return k == kind
	})
}

// ParseOnly checks the values of --only.
func ParseOnly(values []string) (Only, error) {
	for _, v := range values {
		k, _, _ := strings.Cut(v, "/")
		known := false
		for _, name := range KindNames() {
			known = known || name == k
		}
		if !known {
			return nil, fmt.Errorf("--only %s: there is no kind %q; the kinds are %s", v, k, strings.Join(KindNames(), ", "))
		}
	}
	return Only(values), nil
}
