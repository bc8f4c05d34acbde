package zfs

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// DestroySnapshots destroys exactly these snapshots and returns why each of the others is still there, by
// Full name; an empty map is success. Each guid is read again just before (one listing a batch), and one
// that is another snapshot's now is left alone: ErrReplaced. Names are spelled out, never as a range, which
// would take other people's snapshots along, and nothing is destroyed recursively or deferred. Where the
// tool takes lists, a batch is one process; a member that is held, cloned or busy is taken out of the batch
// and the rest is tried again.
func (c *Client) DestroySnapshots(ctx context.Context, snaps []Snapshot) map[string]error {
	left := map[string]error{}
	abilities, err := c.zfsAbilities(ctx)
	if err != nil {
		return blame(left, snaps, err)
	}
	for _, batch := range batches(snaps, left) {
		batch = c.stillSame(ctx, batch, left)
		if !abilities.DestroyList {
			for _, s := range batch {
				c.destroyOne(ctx, s, left)
			}
			continue
		}
		c.destroyList(ctx, batch, left)
	}
	return left
}

func blame(left map[string]error, snaps []Snapshot, err error) map[string]error {
	for _, s := range snaps {
		left[s.Full()] = err
	}
	return left
}

// batches groups snapshots by dataset, in their order, below argumentLimit each. Invalid names are left.
func batches(snaps []Snapshot, left map[string]error) [][]Snapshot {
	var order []string
	byDataset := map[string][]Snapshot{}
	for _, s := range snaps {
		if err := ValidSnapshot(s.Full()); err != nil {
			left[s.Full()] = err
			continue
		}
		if byDataset[s.Dataset] == nil {
			order = append(order, s.Dataset)
		}
		byDataset[s.Dataset] = append(byDataset[s.Dataset], s)
	}
	var all [][]Snapshot
	for _, dataset := range order {
		var batch []Snapshot
		size := 0
		for _, s := range byDataset[dataset] {
			// The listing names each in full.
			if size+len(s.Full())+1 > argumentLimit {
				all, batch, size = append(all, batch), nil, 0
			}
			batch, size = append(batch, s), size+len(s.Full())+1
		}
		all = append(all, batch)
	}
	return all
}

// stillSame reads the guids of a batch and returns those members that are what was observed.
func (c *Client) stillSame(ctx context.Context, batch []Snapshot, left map[string]error) []Snapshot {
	argv := []string{"zfs", "get", "-Hp", "-o", "name,value", "guid"}
	for _, s := range batch {
		argv = append(argv, s.Full())
	}
	// One that is gone fails the command but not the lines of the others.
	out, err := c.list(ctx, batch[0].Dataset, argv...)
	guids := map[string]string{}
	for line := range strings.Lines(out) {
		name, guid, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		guids[name] = guid
	}
	var same []Snapshot
	for _, s := range batch {
		switch guid := guids[s.Full()]; {
		case guid == s.GUID && guid != "":
			same = append(same, s)
		case guid != "":
			left[s.Full()] = refusal(ErrReplaced, s.Full(), "its guid is %s and that of what was to be destroyed is %s: it is left alone", guid, s.GUID)
		case err != nil:
			left[s.Full()] = aboutMember(err, s.Full())
		default:
			left[s.Full()] = refusal(ErrOther, s.Full(), "zfs get did not show its guid")
		}
	}
	return same
}

func (c *Client) destroyOne(ctx context.Context, s Snapshot, left map[string]error) {
	err := c.whileBusy(ctx, s.Full(), func() error {
		err := c.change(ctx, s.Full(), "zfs", "destroy", s.Full())
		// A hold is reported as "dataset is busy", too, but does not pass by waiting.
		var failed *Error
		if errors.As(err, &failed) && failed.Kind == ErrBusy && c.isHeld(ctx, s.Full()) {
			failed.Kind = ErrHeld
		}
		return err
	})
	if err != nil {
		left[s.Full()] = err
	}
}

func (c *Client) isHeld(ctx context.Context, snap string) bool {
	out, err := c.list(ctx, snap, "zfs", "get", "-Hp", "-o", "value", "userrefs", snap)
	count := strings.TrimSpace(out)
	return err == nil && count != "0" && count != "-" && count != ""
}

// destroyList destroys a batch of one dataset. OpenZFS destroys all members or none, and names those that
// stand in the way; they are taken out until the rest goes.
func (c *Client) destroyList(ctx context.Context, batch []Snapshot, left map[string]error) {
	var busy []Snapshot
	defer func() {
		for _, s := range busy { // by themselves, with patience
			delete(left, s.Full())
			c.destroyOne(ctx, s, left)
		}
	}()
	for len(batch) > 0 {
		names := make([]string, len(batch))
		for i, s := range batch {
			names[i] = s.Name
		}
		list := batch[0].Dataset + "@" + strings.Join(names, ",")
		err := c.change(ctx, batch[0].Dataset, "zfs", "destroy", list)
		if err == nil {
			return
		}
		rest := slices.DeleteFunc(slices.Clone(batch), func(s Snapshot) bool {
			named := aboutMember(err, s.Full())
			if named == err {
				return false
			}
			left[s.Full()] = named
			if errors.Is(named, ErrBusy) {
				busy = append(busy, s)
			}
			return true
		})
		if len(rest) == len(batch) {
			// Nobody is named: a failure of the whole, unless members tell it apart one by one.
			c.destroyEach(ctx, batch, err, left)
			return
		}
		batch = rest
	}
}

// destroyEach tries the members of a batch by themselves when the batch failed for no member's sake that
// the tool would name. What stops all of them alike stops this, too.
func (c *Client) destroyEach(ctx context.Context, batch []Snapshot, cause error, left map[string]error) {
	for _, whole := range []Kind{ErrNoModule, ErrSuspended, ErrPermission, ErrDeadline, ErrCanceled} {
		if errors.Is(cause, whole) {
			blame(left, batch, cause)
			return
		}
	}
	for _, s := range batch {
		c.destroyOne(ctx, s, left)
	}
}

// aboutMember narrows the error of a batch to the lines that name one member; without any, it is the
// error itself.
func aboutMember(err error, full string) error {
	var failed *Error
	if !errors.As(err, &failed) {
		return err
	}
	var lines []string
	for line := range strings.Lines(failed.Stderr) {
		if names(line, full) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return err
	}
	own := *failed
	own.Target, own.Stderr = full, strings.Join(lines, "\n")
	own.Kind = classify(own.Stderr)
	return &own
}

// names reports whether a line holds a full name, and not only as the start of a longer one.
func names(line, full string) bool {
	for {
		at := strings.Index(line, full)
		if at < 0 {
			return false
		}
		line = line[at+len(full):]
		if rest := strings.TrimPrefix(line, "'"); rest == "" || strings.ContainsAny(rest[:1], ": \n") && !continues(rest) {
			return true
		}
	}
}

// continues tells the colon of a name ("@a:b") from the one after it ("@a: dataset is busy").
func continues(rest string) bool {
	return len(rest) > 1 && rest[0] == ':' && rest[1] != ' '
}
