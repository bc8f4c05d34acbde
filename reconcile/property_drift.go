package reconcile

import (
	"fmt"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// drift is a wanted property that differs from the one that is there.
type drift struct {
	spec.Property
	attr    string // as a change names it
	have    string
	known   bool // to the installed tool
	atBirth bool // can only be set at creation
}

// drift compares the properties of a dataset with those that the file wants.
func (in *view) drift(have zfs.Dataset, wanted []spec.Property) []drift {
	var list []drift
	for _, p := range wanted {
		shown := p
		if p.Name == "mountpoint" && p.Value != nil {
			below := in.state.ZFS.WithAltRoot(*p.Value) // as zfs shows it (pitfall 48)
			shown.Value = &below
		}
		if v, differs := differing(have.Properties, shown); differs {
			_, read := have.Properties[p.Name]
			list = append(list, drift{Property: p, attr: p.Name, have: v.Value, known: read || !in.unknown(p.Name), atBirth: zfs.CreationOnly(p.Name)})
		}
	}
	return list
}

// unknown is true of a dataset property that the installed zfs does not have.
// Setting it would fail in each run.
func (in *view) unknown(property string) bool {
	return !zfs.UserProperty(property) && contains(in.state.ZFS.Unsupported, property)
}

// differing compares a wanted property with the one that is there, by meaning.
// A value of null wants what is inherited: no value of the dataset's own.
func differing(have map[string]zfs.Value, p spec.Property) (zfs.Value, bool) {
	v := have[p.Name]
	if p.Value == nil {
		return v, v.Local() || v.Source == "received"
	}
	return v, !zfs.SameValue(p.Name, v.Value, *p.Value)
}

// with shows a drift among the values that a change alters; the change points
// at the first one's line.
func (c Change) with(p drift) Change {
	if len(c.Attrs) == 0 {
		c = c.at(p.Pos)
	}
	c.Attrs = append(c.Attrs, Attr{Name: p.attr, Before: p.have, After: text(p.Value)})
	return c
}

func (p drift) unknown() string {
	return fmt.Sprintf("the ZFS that is installed here does not know the property %s", p.Name)
}

// option is how it is given at creation; that of a pool's root dataset is -O.
func (p drift) option() string {
	flag := "-o"
	if p.attr != p.Name {
		flag = "-O"
	}
	return fmt.Sprintf("%s %s=%s", flag, p.Name, text(p.Value))
}
