package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// InitOptions choose where a host leaves a choice; "" is to be found out.
type InitOptions struct {
	Pool, DataDir, Site string
	File                string // of the site file to be; restores in site.d beside it are not written again
}

// Draft is a site file that was written from what is on a host.
type Draft struct {
	Format int    `json:"format"`
	Site   string `json:"site"`
	File   string `json:"file"` // where it was written to; "" is nowhere yet
	YAML   string `json:"yaml"`
	// Converged is true where a plan of the file is empty.
	Converged bool     `json:"converged"`
	Notes     []string `json:"notes"`   // what a person should look at, each once
	Pending   []Change `json:"pending"` // what an apply would change once what is commented out is not
	Plan      Plan     `json:"plan"`    // of the file as it is written
}

// Init writes a site file of what is on this host, and changes nothing. What
// would make its plan differ from nothing, such as the settings by which a
// standby that was made by hand archives, is written commented out.
func (h *Host) Init(ctx context.Context, o InitOptions, now time.Time) (Draft, error) {
	f, err := h.find(ctx, o)
	if err != nil {
		return Draft{}, err
	}
	d := deduce(f, now)
	if err := h.leaveOutBeside(d, o.File); err != nil {
		return Draft{}, err
	}
	return h.settle(ctx, d, now)
}

// deduction is a site in the making, with what to say about it.
type deduction struct {
	found
	site  spec.Site
	at    map[string]string // comments, by key
	notes []string
	now   time.Time
}

// deduce is a pure function of what was found.
func deduce(f found, now time.Time) *deduction {
	d := &deduction{found: f, site: spec.Defaults(), at: map[string]string{}, now: now}
	d.site.Name = f.site
	d.site.File = "site.yaml"
	d.notes = append(d.notes, f.passed...)
	if f.siteGuessed {
		d.remark("site", "guessed: the pool's name. It marks all that apply makes: settle it now, not later")
	}
	if f.zone != nil {
		d.site.Timezone = f.zone
		if f.zone.String() != "UTC" {
			d.remark("timezone", "this host's")
		}
	}
	d.deducePool()
	d.deduceDatasets()
	if d.deduceStandby() {
		d.deduceArchive()
		d.deduceSnapshots()
		d.deduceRestores()
	}
	return d
}

// remark puts a comment at a key.
func (d *deduction) remark(path, format string, args ...any) {
	d.at[path] = fmt.Sprintf(format, args...)
}

// note tells a person something beside the file.
func (d *deduction) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// leaveOutBeside takes out the restores that stand in site.d beside the file.
func (h *Host) leaveOutBeside(d *deduction, file string) error {
	if file == "" {
		return nil
	}
	beside, err := spec.RestoresBeside(file)
	if err != nil {
		return err
	}
	d.site.File = file
	d.site.Restores = slices.DeleteFunc(d.site.Restores, func(r spec.Restore) bool {
		path, there := beside[r.Name]
		if there {
			d.note("restore %s is not written: it stands in %s already", r.Name, path)
		}
		return there
	})
	return nil
}

// head is the comment at the top.
func (d *deduction) head() string {
	return fmt.Sprintf("Written by zreconcile init at %s, of what is on this host: a plan of it is empty.\n"+
		"What the host does not tell is guessed, and says so: go through it before the first apply.\n"+
		"Every key there is: zreconcile schema, or examples/site.yaml.\n", d.now.UTC().Format("2006-01-02 15:04:05Z"))
}

// plainChanges lists for a person what an apply would do, each value on a line.
func plainChanges(changes []Change) []string {
	var lines []string
	for _, c := range changes {
		line := fmt.Sprintf("%s %s %s: %s", c.Action, c.Kind, c.Name, c.Why)
		if c.Action == Block {
			line = fmt.Sprintf("not do %s %s, which is blocked: %s; mend: %s", c.Kind, c.Name, c.Why, c.Mend)
		}
		lines = append(lines, line)
		for _, a := range c.Attrs {
			lines = append(lines, "  "+a.Name+": "+abbreviated(transition(a)))
		}
	}
	return lines
}

func transition(a Attr) string {
	switch {
	case a.Before == "":
		return a.After
	case a.After == "":
		return a.Before + ", no more"
	}
	return a.Before + " -> " + a.After
}

// abbreviated keeps a line of a comment short.
func abbreviated(text string) string {
	const longest = 100
	if runes := []rune(strings.Join(strings.Fields(text), " ")); len(runes) > longest {
		return string(runes[:longest-3]) + "..."
	}
	return text
}

func namesOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func sortSettings(settings []spec.Setting) {
	slices.SortStableFunc(settings, func(a, b spec.Setting) int { return strings.Compare(a.Name, b.Name) })
}
