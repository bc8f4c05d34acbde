package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// ejectedMarks are the marks on one dataset and on its snapshots.
type ejectedMarks struct {
	dataset   string
	own       []string            // names of the marks on the dataset itself
	before    marks               // their values, where they are known
	snapshots map[string][]string // names of the marks, by full name of the snapshot
}

// ejectedMarks finds every mark of this site in the pool. Those of another site
// and what ZFS handed down are none of them (pitfall 54).
func (h *Host) ejectedMarks(ctx context.Context, in *view) ([]ejectedMarks, error) {
	byDataset := map[string]*ejectedMarks{}
	of := func(dataset string) *ejectedMarks {
		if byDataset[dataset] == nil {
			byDataset[dataset] = &ejectedMarks{dataset: dataset, snapshots: map[string][]string{}}
		}
		return byDataset[dataset]
	}
	var whole []string // datasets of which every mark is ours
	for _, d := range in.state.ZFS.Datasets {
		m := localMarks(d.Properties)
		switch {
		case in.marksAreOurs(d.Name, m):
			whole = append(whole, d.Name)
			of(d.Name).before = m
		case m[markSite] == "": // a parent of the user's own may remember an expired entry
			if names := expiryMarks(in, m); len(names) > 0 {
				of(d.Name).own, of(d.Name).before = names, m
			}
		}
	}
	all, err := h.ZFS.LocalUserProperties(ctx, markPrefix, whole)
	if err != nil {
		return nil, fmt.Errorf("reading the marks of the datasets: %w", err)
	}
	for dataset, names := range all {
		of(dataset).own = names
	}
	for _, s := range in.state.ZFS.Snapshots {
		if m := localMarks(s.Properties); m[markSite] == in.site.Name {
			of(s.Dataset).snapshots[s.Full()] = markNames(m)
		}
	}
	var list []ejectedMarks
	for _, m := range byDataset {
		if len(m.own)+len(m.snapshots) > 0 {
			list = append(list, *m)
		}
	}
	slices.SortFunc(list, func(a, b ejectedMarks) int { return strings.Compare(a.dataset, b.dataset) })
	return list, nil
}

// marksAreOurs is true of a dataset that the site made, and of one that it only
// uses: the last drill is remembered on that of the data directory.
func (in *view) marksAreOurs(dataset string, m marks) bool {
	if owner := m[markSite]; owner != "" || in.site.Standby == nil {
		return owner == in.site.Name
	}
	return slices.ContainsFunc(clusterDatasets(in.site, in.state), func(p place) bool { return p.Dataset == dataset })
}

// expiryMarks are those that remember entries of the file.
func expiryMarks(in *view, m marks) []string {
	var names []string
	for _, r := range in.site.Restores {
		if name := expiredMark(r.Name); m[name] != "" {
			names = append(names, name)
		}
	}
	return names
}

func markNames(m marks) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m ejectedMarks) change() Change {
	c := Change{Kind: kindDataset, Name: m.dataset, Action: Update, Why: "it bears marks of zreconcile; they go, and it stays"}
	for _, name := range m.own {
		before := m.before[name]
		if before == "" {
			before = "set"
		}
		c.Attrs = append(c.Attrs, Attr{Name: name, Before: before})
	}
	if n := len(m.snapshots); n > 0 {
		c.Attrs = append(c.Attrs, Attr{Name: "snapshots", Before: fmt.Sprintf("%d marked", n), After: fmt.Sprintf("%d, not marked", n)})
	}
	return c
}

// removeMarks takes the marks off, that of the owner last: by it a run that
// follows one that was killed finds the rest.
func (h *Host) removeMarks(ctx context.Context, m ejectedMarks) error {
	targets := map[string][]string{}
	for _, name := range m.own {
		targets[name] = append(targets[name], m.dataset)
	}
	for snapshot, names := range m.snapshots {
		for _, name := range names {
			targets[name] = append(targets[name], snapshot)
		}
	}
	var names []string
	for name := range targets {
		if name != markSite {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range append(names, markSite) {
		slices.Sort(targets[name])
		if err := h.ZFS.InheritAll(ctx, name, targets[name]); err != nil {
			return err
		}
	}
	return nil
}
