package zfs

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// LocalProperties lists, by dataset, the names of the properties, native and user ones, that were set on that
// very dataset. Where nothing is known of a name beforehand, only zfs get all tells it; snapshots are not
// asked, since of each the tool would open the file system for that (see Inventory).
func (c *Client) LocalProperties(ctx context.Context, datasets []string) (map[string][]string, error) {
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
			if name, property, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok {
				found[name] = append(found[name], property)
			}
		}
	}
	for name := range found {
		slices.Sort(found[name])
	}
	return found, nil
}

// LocalUserProperties is LocalProperties of the user properties with a prefix alone.
func (c *Client) LocalUserProperties(ctx context.Context, prefix string, datasets []string) (map[string][]string, error) {
	found, err := c.LocalProperties(ctx, datasets)
	for name, properties := range found {
		found[name] = slices.DeleteFunc(properties, func(p string) bool { return !UserProperty(p) || !strings.HasPrefix(p, prefix) })
		if len(found[name]) == 0 {
			delete(found, name)
		}
	}
	return found, err
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
