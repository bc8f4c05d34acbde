package zfs

import (
	"context"
	"errors"
	"strings"
)

// argumentLimit bounds the bytes of names in one argument list or one comma list. Linux takes 128 KiB in a
// single argument (execve(2), MAX_ARG_STRLEN).
const argumentLimit = 100 << 10

// Snapshot snapshots datasets under one name in one atomic command. ErrNotAtomic: there are several and
// the tool takes only one.
func (c *Client) Snapshot(ctx context.Context, datasets []string, name string, props []Prop) error {
	if len(datasets) == 0 {
		return refusal(ErrInvalidName, name, "there is no dataset to snapshot")
	}
	set, err := options("-o", props)
	if err != nil {
		return err
	}
	argv := append([]string{"zfs", "snapshot"}, set...)
	for _, dataset := range datasets {
		full := dataset + "@" + name
		if err := ValidSnapshot(full); err != nil {
			return err
		}
		argv = append(argv, full)
	}
	if len(datasets) > 1 {
		abilities, err := c.zfsAbilities(ctx)
		if err != nil {
			return err
		}
		if !abilities.SnapshotMany {
			return refusal(ErrNotAtomic, name, "zfs snapshot takes one dataset here, and %s must be snapshotted together", strings.Join(datasets, ", "))
		}
	}
	return c.change(ctx, datasets[0]+"@"+name, argv...)
}

// Clone makes a dataset of a snapshot. The target's parents exist already.
func (c *Client) Clone(ctx context.Context, snapshot, target string, props []Prop) error {
	if err := ValidSnapshot(snapshot); err != nil {
		return err
	}
	if err := ValidDataset(target); err != nil {
		return err
	}
	set, err := options("-o", props)
	if err != nil {
		return err
	}
	argv := append([]string{"zfs", "clone"}, set...)
	return c.change(ctx, target, append(argv, snapshot, target)...)
}

// Hold keeps snapshots from being destroyed until the tag is released. ErrExists: one or more have the tag already,
// and the others are held with it.
func (c *Client) Hold(ctx context.Context, tag string, snaps ...string) error {
	return onlyIfAll(ErrExists, c.holdOrRelease(ctx, "hold", tag, snaps))
}

// Release takes a tag away. ErrNotFound: one or more are without it or gone, and it is taken away from the others.
func (c *Client) Release(ctx context.Context, tag string, snaps ...string) error {
	return onlyIfAll(ErrNotFound, c.holdOrRelease(ctx, "release", tag, snaps))
}

// onlyIfAll makes sure of an error of that kind that it is of all snapshots which the tool refused, each in a line
// of its own: it goes on after each, and a line that says less may stand before one that says more.
func onlyIfAll(kind Kind, err error) error {
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != kind {
		return err
	}
	for line := range strings.Lines(failed.Stderr) {
		if other := classify(line); other != kind {
			worse := *failed
			worse.Kind = other
			return &worse
		}
	}
	return err
}

// ReleaseAny takes a tag away from those snapshots that have it, and says how many had. That others have not,
// or are gone, is no error.
func (c *Client) ReleaseAny(ctx context.Context, tag string, snaps ...string) (released int, err error) {
	err = c.Release(ctx, tag, snaps...)
	var failed *Error
	if errors.As(err, &failed) && failed.Kind == ErrNotFound {
		return max(0, len(snaps)-len(strings.Split(failed.Stderr, "\n"))), nil // a line for each that has not
	}
	if err != nil {
		return 0, err
	}
	return len(snaps), nil
}

func (c *Client) holdOrRelease(ctx context.Context, verb, tag string, snaps []string) error {
	if !partRE.MatchString(tag) || strings.HasPrefix(tag, "-") {
		return refusal(ErrInvalidName, tag, "%q is not a tag: letters, digits and _ . : - only", tag)
	}
	for _, s := range snaps {
		if err := ValidSnapshot(s); err != nil {
			return err
		}
	}
	if len(snaps) == 0 {
		return nil
	}
	return c.change(ctx, snaps[0], append([]string{"zfs", verb, tag}, snaps...)...)
}

// Holds lists the tags on a snapshot. ErrUnsupported: the installed tool cannot list them (that of
// zfs-fuse needs a Python module that is not shipped); UserRefs still counts them.
func (c *Client) Holds(ctx context.Context, snap string) ([]string, error) {
	if err := ValidSnapshot(snap); err != nil {
		return nil, err
	}
	out, err := c.list(ctx, snap, "zfs", "holds", "-H", snap)
	var failed *Error
	if errors.As(err, &failed) && (strings.Contains(failed.Stderr, "pyzfs") || strings.Contains(failed.Stderr, "invalid option")) {
		return nil, refusal(ErrUnsupported, snap, "zfs holds does not work here: %s", firstLines(failed.Stderr, 1))
	}
	if err != nil {
		return nil, err
	}
	var tags []string
	for line := range strings.Lines(out) {
		// name, tag, time of the hold
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) < 3 || fields[0] != snap {
			return nil, refusal(ErrOther, snap, "zfs holds printed an unexpected line: %q", line)
		}
		tags = append(tags, fields[1])
	}
	return tags, nil
}
