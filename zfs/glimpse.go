package zfs

import (
	"context"
	"strings"
)

// Glimpse reads properties of datasets of one pool, as an Inventory has them, by dataset. It takes one
// process (zfs-get(8)) as long as the names fit into one argument list. Properties that the tool is known to
// lack are left out. A dataset that is not there is ErrNotFound.
func (c *Client) Glimpse(ctx context.Context, pool string, properties, datasets []string) (map[string]map[string]Value, error) {
	for _, name := range properties {
		if err := ValidProperty(name); err != nil {
			return nil, err
		}
	}
	asked, _ := c.onlySupported(unique(properties))
	found := map[string]map[string]Value{}
	if len(asked) == 0 {
		return found, nil
	}
	for batch := range argumentBatches(datasets) {
		for _, name := range batch {
			if err := ValidDataset(name); err != nil {
				return nil, err
			}
		}
		reader := newPropertyReader(pool, asked, func(name string, values map[string]Value) error {
			found[name] = values
			return nil
		})
		argv := append([]string{"zfs", "get", "-Hp", "-o", "name,property,value,source", strings.Join(asked, ",")}, batch...)
		if err := c.stream(ctx, listDeadline, reader, batch[0], argv...); err != nil {
			return nil, err
		}
		if err := reader.Close(); err != nil {
			return nil, err
		}
	}
	return found, nil
}
