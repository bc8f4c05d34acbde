package zfs

import (
	"context"
	"slices"
	"strings"
)

// Pools lists the names of the imported pools, sorted. One that the tool shows, and whose name it would not
// take from us, is left out.
func (c *Client) Pools(ctx context.Context) ([]string, error) {
	out, err := c.list(ctx, "", "zpool", "list", "-H", "-o", "name")
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.Lines(out) {
		// zfs-fuse says "no pools available" on stdout where OpenZFS says nothing.
		if name = strings.TrimSpace(name); ValidDataset(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
