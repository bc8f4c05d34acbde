package zfs

import (
	"context"
	"errors"
	"regexp"
	"strings"
)

// Abilities are what the installed tools can do, as their own usage texts say.
type Abilities struct {
	ListParsable    bool // zfs list -p
	GetTypes        bool // zfs get -t
	SetMany         bool // zfs set a=b c=d
	SnapshotMany    bool // zfs snapshot a@s b@s, one atomic operation
	DestroyList     bool // zfs destroy ds@a,b,c
	DestroyDryRun   bool // zfs destroy -n
	PoolGetParsable bool // zpool get -Hp
	JSON            bool // zfs list -j, zpool status -j
	LoadKey         bool // zfs load-key: there is encryption
}

// Abilities asks each tool once for its usage text: at most two processes, and none where an inventory
// has already taught it. Without arguments a tool prints the text and does nothing else.
func (c *Client) Abilities(ctx context.Context) (Abilities, error) {
	a, err := c.zfsAbilities(ctx)
	if err != nil {
		return Abilities{}, err
	}
	c.mu.Lock()
	text := c.poolText
	c.mu.Unlock()
	if text == "" {
		if text, err = c.usageText(ctx, "zpool"); err != nil {
			return Abilities{}, err
		}
		c.mu.Lock()
		c.poolText = text
		c.mu.Unlock()
	}
	a.PoolGetParsable = takesFlags(usageOf(text, "get"), "Hp")
	return a, nil
}

// zfsAbilities is the part of Abilities that zfs itself tells.
func (c *Client) zfsAbilities(ctx context.Context) (Abilities, error) {
	c.mu.Lock()
	text := c.zfsText
	c.mu.Unlock()
	if text == "" {
		var err error
		if text, err = c.usageText(ctx, "zfs"); err != nil {
			return Abilities{}, err
		}
		c.mu.Lock()
		c.zfsText = text
		c.mu.Unlock()
	}
	return parseAbilities(text), nil
}

func parseAbilities(usage string) Abilities {
	list, get, destroy := usageOf(usage, "list"), usageOf(usage, "get"), usageOf(usage, "destroy")
	return Abilities{
		ListParsable:  takesFlags(list, "p"),
		GetTypes:      strings.Contains(get, "[-t type"),
		SetMany:       strings.Contains(usageOf(usage, "set"), "<property=value> ..."),
		SnapshotMany:  strings.Contains(usageOf(usage, "snapshot"), "> ..."),
		DestroyList:   strings.Contains(destroy, "[,...]") || strings.Contains(destroy, "[,<snap>"),
		DestroyDryRun: takesFlags(destroy, "n"),
		JSON:          strings.Contains(list, "[-j"),
		LoadKey:       usageOf(usage, "load-key") != "",
	}
}

// usageText runs a tool without arguments, which must fail with its usage text.
func (c *Client) usageText(ctx context.Context, tool string) (string, error) {
	out, err := c.list(ctx, "", tool)
	var failed *Error
	if errors.As(err, &failed) && strings.Contains(failed.Stderr, "usage:") {
		return failed.Stderr, nil
	}
	if err != nil {
		return "", err
	}
	if strings.Contains(out, "usage:") {
		return out, nil
	}
	return "", refusal(ErrOther, tool, "%s without arguments printed no usage text, so what it can do is unknown", tool)
}

// usageOf returns the lines of one subcommand: "\tget [-rHp] ...", and what follows it deeper indented.
// Aliases stand as "snapshot|snap".
func usageOf(usage, subcommand string) string {
	var found []string
	inside := false
	for line := range strings.Lines(usage) {
		if rest, ok := strings.CutPrefix(line, "\t"); ok && !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "\t") {
			word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			word, _, _ = strings.Cut(word, "|")
			inside = word == subcommand
		} else if strings.TrimSpace(line) == "" {
			inside = false
		}
		if inside {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return strings.Join(found, " ")
}

var flagGroup = regexp.MustCompile(`\[-([A-Za-z]+)\]`)

// takesFlags reports whether the usage of a subcommand lists all of the single-letter flags.
func takesFlags(usage, flags string) bool {
	var known strings.Builder
	for _, group := range flagGroup.FindAllStringSubmatch(usage, -1) {
		known.WriteString(group[1])
	}
	for _, flag := range flags {
		if !strings.ContainsRune(known.String(), flag) {
			return false
		}
	}
	return true
}
