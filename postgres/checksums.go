package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrNoChecksums says that the pages of a cluster carry no checksums, so that
// there is nothing to check.
var ErrNoChecksums = errors.New("the cluster has no data checksums (initdb --data-checksums)")

// Checksums checks those of all pages, in a cluster whose server was stopped
// cleanly (manual page pg_checksums). The error is ErrNoChecksums where there
// are none, and otherwise says that they could not be checked.
func (c *Cluster) Checksums(ctx context.Context) ([]Finding, error) {
	control, err := c.ControlData(ctx)
	if err != nil {
		return nil, err
	}
	if !control.Checksums {
		return nil, ErrNoChecksums
	}
	cmd := c.tool(ctx, "pg_checksums", "--check", "-D", c.DataDir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = c.Run.run(cmd)
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("checking the checksums of %s: %w", c.DataDir, context.Cause(ctx))
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("the server's programs in %s lack pg_checksums: install the whole server package", c.BinDir)
	}
	if found := c.badPages(stderr.String()); len(found) > 0 {
		return found, nil
	}
	return nil, &CommandError{Program: "pg_checksums", Words: firstLines(strings.TrimSpace(stderr.String())), Err: err}
}

// badPages reads what pg_checksums says of each page: 'pg_checksums: error:
// checksum verification failed in file "DIR/base/5/16384", block 0: calculated
// checksum 3B47 but block contains 1'.
func (c *Cluster) badPages(stderr string) []Finding {
	const failed = "checksum verification failed in file "
	var found []Finding
	for line := range strings.Lines(stderr) {
		_, place, ok := strings.Cut(strings.TrimSpace(line), failed)
		if !ok {
			continue
		}
		object, words, ok := strings.Cut(strings.ReplaceAll(place, c.DataDir+"/", ""), `", block `)
		if !ok {
			object, words = "", place
		}
		block, words, _ := strings.Cut(words, ": ")
		found = append(found, Finding{Object: "file " + strings.Trim(object, `"`) + ", block " + block, Words: words})
	}
	return found
}
