package postgres

import (
	"context"
	"slices"
	"strings"
)

// FileSettings asks the server's program for settings, by the configuration
// files as they are and the options that the server was last started with
// (postgres -C). Includes are followed; nothing is started. Numbers are in the
// parameter's own unit, such as blocks. What it does not know is left out.
func (c *Cluster) FileSettings(ctx context.Context, names ...string) map[string]string {
	ctx, cancel := deadline(ctx)
	defer cancel()
	options := []string{"-D", c.DataDir}
	if words := c.StartedWith(); len(words) > 1 {
		if i := slices.Index(words, "-D"); i > 0 && i+1 < len(words) && sameFolder(words[i+1], c.DataDir) {
			options = words[1:]
		}
	}
	values := map[string]string{}
	for _, name := range names {
		out, err := output(c.Run, c.tool(ctx, "postgres", append(slices.Clone(options), "-C", name)...))
		if err == nil {
			values[name] = strings.TrimSuffix(string(out), "\n")
		}
	}
	return values
}
