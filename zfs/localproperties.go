package zfs

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// LocalUserProperties lists, by dataset, the names of the user properties with a prefix that were set on
// that very dataset. Where nothing is known of a name beforehand, only zfs get all tells it; snapshots are
// not asked, since of each the tool would open the file system for that (see Inventory).
func (c *Client) LocalUserProperties(ctx context.Context, prefix string, datasets []string) (map[string][]string, error) {
	found := map[string][]string{}
	for batch := range argumentBatches(datasets) {
		for _, name := range batch {
			if err := ValidDataset(name); err != nil {
				return nil, err
			}
		}
		argv := append([]string{"zfs", "get", "-Hp", "-s", "local", "-o", "name,property", "all"}, batch...)
		out, err := c.list(ctx, batch[0], argv...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			name, property, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			if ok && UserProperty(property) && strings.HasPrefix(property, prefix) {
				found[name] = append(found[name], property)
			}
		}
	}
	for name := range found {
		slices.Sort(found[name])
	}
	return found, nil
}

// InheritAll removes a property's own value from datasets and snapshots, few processes for many.
func (c *Client) InheritAll(ctx context.Context, property string, targets []string) error {
	if err := ValidProperty(property); err != nil {
		return err
	}
	for batch := range argumentBatches(targets) {
		for _, name := range batch {
			if err := validEither(name); err != nil {
				return err
			}
		}
		if err := c.change(ctx, batch[0], append([]string{"zfs", "inherit", property}, batch...)...); err != nil {
			return err
		}
	}
	return nil
}

// argumentBatches cuts names into argument lists of at most argumentLimit bytes.
func argumentBatches(names []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		first, size := 0, 0
		for i, name := range names {
			if size += len(name) + 1; size > argumentLimit && i > first {
				if !yield(names[first:i]) {
					return
				}
				first, size = i, len(name)+1
			}
		}
		if first < len(names) {
			yield(names[first:])
		}
	}
}
