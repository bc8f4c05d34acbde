package zfs

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// CreateDataset creates a file system with its properties in one command. With parents, missing ones are
// created, too, with inherited properties.
func (c *Client) CreateDataset(ctx context.Context, name string, props []Prop, parents bool) error {
	if err := ValidDataset(name); err != nil {
		return err
	}
	set, err := options("-o", props)
	if err != nil {
		return err
	}
	argv := []string{"zfs", "create"}
	if parents {
		argv = append(argv, "-p")
	}
	return c.change(ctx, name, append(append(argv, set...), name)...)
}

// SetProperties sets properties of a dataset or a snapshot (dataset@name): in one command where the tool
// takes several, in the order given otherwise. The caller leaves out what is equal already: setting an
// equal mountpoint can unmount.
func (c *Client) SetProperties(ctx context.Context, dataset string, props []Prop) error {
	if err := validEither(dataset); err != nil {
		return err
	}
	var assignments []string
	for _, p := range props {
		if err := ValidProperty(p.Name); err != nil {
			return err
		}
		assignments = append(assignments, p.Name+"="+p.Value)
	}
	if len(assignments) > 1 {
		abilities, err := c.zfsAbilities(ctx)
		if err != nil {
			return err
		}
		if abilities.SetMany {
			argv := append([]string{"zfs", "set"}, assignments...)
			return c.change(ctx, dataset, append(argv, dataset)...)
		}
	}
	for _, assignment := range assignments {
		if err := c.change(ctx, dataset, "zfs", "set", assignment, dataset); err != nil {
			return err
		}
	}
	return nil
}

// Inherit removes a property's own value from a dataset or a snapshot.
func (c *Client) Inherit(ctx context.Context, dataset, property string) error {
	if err := validEither(dataset); err != nil {
		return err
	}
	if err := ValidProperty(property); err != nil {
		return err
	}
	return c.change(ctx, dataset, "zfs", "inherit", property, dataset)
}

// DestroyDataset destroys one file system or volume: without its children, snapshots or clones, without
// force, and only while it has the guid given. Busy is tried again for a while, and then the error names
// who holds it. ErrNotFound: it is gone already.
func (c *Client) DestroyDataset(ctx context.Context, name, guid string) error {
	if err := ValidDataset(name); err != nil {
		return err
	}
	if !strings.Contains(name, "/") {
		return refusal(ErrInvalidName, name, "%s is the root of a pool, which is never destroyed", name)
	}
	return c.whileBusy(ctx, name, func() error {
		if err := c.checkGUID(ctx, name, guid); err != nil {
			return err
		}
		return c.change(ctx, name, "zfs", "destroy", name)
	})
}

// checkGUID refuses a dataset or snapshot that is not the one that was observed.
func (c *Client) checkGUID(ctx context.Context, name, guid string) error {
	out, err := c.list(ctx, name, "zfs", "get", "-Hp", "-o", "value", "guid", name)
	if err != nil {
		return err
	}
	if now := strings.TrimSpace(out); now != guid || guid == "" {
		return refusal(ErrReplaced, name, "its guid is %s and that of what was to be destroyed is %q: it is left alone", now, guid)
	}
	return nil
}

// RenameDataset renames a dataset within its pool. Busy is tried again, as after a create. zfs-fuse renames
// nothing that is mounted: there the dataset is unmounted for the moment.
func (c *Client) RenameDataset(ctx context.Context, from, to string) error {
	for _, name := range []string{from, to} {
		if err := ValidDataset(name); err != nil {
			return err
		}
	}
	rename := func() error { return c.change(ctx, from, "zfs", "rename", from, to) }
	err := rename()
	if !errors.Is(err, ErrBusy) {
		return err
	}
	mounts, mountsErr := Mounts()
	if mountsErr != nil {
		return errors.Join(err, mountsErr)
	}
	if !slices.ContainsFunc(mounts, func(m Mount) bool { return m.IsZFS() && m.Source == from }) {
		return c.whileBusy(ctx, from, rename)
	}
	if err := c.Unmount(ctx, from); err != nil {
		return err
	}
	if err := c.whileBusy(ctx, from, rename); err != nil {
		return errors.Join(err, c.Mount(ctx, from))
	}
	return c.Mount(ctx, to)
}

// Mount mounts a dataset at its mountpoint.
func (c *Client) Mount(ctx context.Context, name string) error {
	if err := ValidDataset(name); err != nil {
		return err
	}
	return c.change(ctx, name, "zfs", "mount", name)
}

// Unmount unmounts a dataset, without force.
func (c *Client) Unmount(ctx context.Context, name string) error {
	if err := ValidDataset(name); err != nil {
		return err
	}
	return c.whileBusy(ctx, name, func() error { return c.change(ctx, name, "zfs", "unmount", name) })
}

func validEither(name string) error {
	if strings.Contains(name, "@") {
		return ValidSnapshot(name)
	}
	return ValidDataset(name)
}
