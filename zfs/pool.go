package zfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// Pool is an imported pool. Sizes are bytes; where zpool shows them rounded only (zfs-fuse), Free and
// Allocated are those of the root dataset, which count what can be used, without parity and reserve.
type Pool struct {
	Name, GUID, Health    string
	Size, Free, Allocated int64
	AltRoot               string
	Properties            map[string]Value
	Vdevs                 []Vdev
	Status                string // status and action of zpool status, "" when all is well
	Errors                string // the errors line
	Scan                  string // the scan line: the last scrub or resilvering
	Suspended             bool

	exact bool // sizes come from zpool get -p
}

// Vdev is a top-level vdev as zpool status shows it.
type Vdev struct {
	Type    string // mirror, raidz1, raidz2, raidz3, draid1...; "" is a plain stripe
	Class   string // log, cache, spare, special, dedup; "" is normal data
	Name    string // mirror-0, or the device of a stripe
	State   string
	Devices []Device
}

// Device is a leaf of a vdev.
type Device struct{ Path, State string }

// observePool reads properties and status. It returns nil when the tool says that no such pool is imported.
func (c *Client) observePool(ctx context.Context, name string) (*Pool, error) {
	pool, err := c.poolProperties(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := c.list(ctx, name, "zpool", "status", name)
	if err != nil {
		return nil, err
	}
	reports := parseStatus(out)
	if len(reports) != 1 || reports[0].fields["pool"] != name {
		return nil, refusal(ErrOther, name, "zpool status %s did not show that pool: %s", name, firstLines(out, 3))
	}
	report := reports[0]
	pool.Vdevs = report.vdevs
	pool.Status = strings.TrimSpace(report.fields["status"] + " " + report.fields["action"])
	pool.Errors = report.fields["errors"]
	pool.Scan = report.fields["scan"]
	pool.Health = cmp.Or(pool.Health, report.fields["state"])
	pool.Suspended = pool.Health == "SUSPENDED" || report.fields["state"] == "SUSPENDED"
	return pool, nil
}

// poolProperties tries the form with exact numbers first: its refusal comes with the usage text, so that
// no process is spent on asking.
func (c *Client) poolProperties(ctx context.Context, name string) (*Pool, error) {
	c.mu.Lock()
	exact := c.poolText == "" || takesFlags(usageOf(c.poolText, "get"), "Hp")
	c.mu.Unlock()
	if exact {
		out, err := c.list(ctx, name, "zpool", "get", "-Hp", "all", name)
		if err == nil {
			c.learnPoolGet("usage:\n\tget [-Hp] <\"all\" | property[,...]> <pool> ...\n")
			return parsePoolLines(name, out)
		}
		var failed *Error
		if !errors.As(err, &failed) || !refusesFlags(failed.Stderr) {
			return nil, err
		}
		c.learnPoolGet(failed.Stderr)
	}
	out, err := c.list(ctx, name, "zpool", "get", "all", name)
	if err != nil {
		return nil, err
	}
	return parsePoolTable(name, out)
}

// refusesFlags reports whether a refusal came with a usage of zpool get that has no -Hp: zfs-fuse takes the
// flags for a property's name.
func refusesFlags(stderr string) bool {
	get := usageOf(stderr, "get")
	return get != "" && !takesFlags(get, "Hp")
}

func (c *Client) learnPoolGet(usage string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poolText = cmp.Or(c.poolText, usage)
}

// parsePoolLines reads `zpool get -Hp all`: name, property, value, source between tabs.
func parsePoolLines(name, out string) (*Pool, error) {
	properties := map[string]Value{}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		rest, ok := strings.CutPrefix(line, name+"\t")
		property, rest, more := strings.Cut(rest, "\t")
		last := strings.LastIndexByte(rest, '\t')
		if !ok || !more || last < 0 {
			return nil, fmt.Errorf("zpool get of %s: unexpected line %q", name, line)
		}
		properties[property] = poolValue(rest[:last], rest[last+1:])
	}
	pool, err := newPool(name, properties)
	if err != nil {
		return nil, err
	}
	pool.exact = true
	return pool, nil
}

// parsePoolTable reads `zpool get all` of tools without -H. The columns are no help: a value may be wider
// than its own. Neither property nor source holds a blank, so the value is what stands between them.
func parsePoolTable(name, out string) (*Pool, error) {
	head, body, _ := strings.Cut(out, "\n")
	if columns := strings.Fields(head); !slices.Equal(columns, []string{"NAME", "PROPERTY", "VALUE", "SOURCE"}) {
		return nil, fmt.Errorf("zpool get of %s: unexpected heading %q", name, head)
	}
	properties := map[string]Value{}
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" ")
		property, rest, more := strings.Cut(strings.TrimSpace(rest), " ")
		at := strings.LastIndexByte(rest, ' ')
		if !ok || !more || at < 0 {
			return nil, fmt.Errorf("zpool get of %s: unexpected line %q", name, line)
		}
		properties[property] = poolValue(strings.TrimSpace(rest[:at]), rest[at+1:])
	}
	return newPool(name, properties)
}

func poolValue(value, source string) Value {
	if source == "-" {
		source = "none"
	}
	return Value{Value: value, Source: source}
}

func newPool(name string, properties map[string]Value) (*Pool, error) {
	p := &Pool{Name: name, GUID: properties["guid"].Value, Health: properties["health"].Value, Properties: properties}
	if root := properties["altroot"].Value; root != "-" {
		p.AltRoot = root
	}
	if p.GUID == "" {
		return nil, fmt.Errorf("zpool get of %s showed no guid", name)
	}
	for property, into := range map[string]*int64{"size": &p.Size, "free": &p.Free, "allocated": &p.Allocated} {
		n, err := ParseSize(properties[property].Value)
		if err != nil && p.Health != "UNAVAIL" && p.Health != "SUSPENDED" {
			return nil, fmt.Errorf("zpool get of %s: %s: %w", name, property, err)
		}
		*into = n
	}
	return p, nil
}

// estimate replaces rounded sizes by the root dataset's exact ones.
func (p *Pool) estimate(root Dataset) {
	if !p.exact {
		p.Free, p.Allocated, p.Size = root.Available, root.Used, root.Available+root.Used
	}
}

// ParseSize reads a size as ZFS takes and shows it: bytes, or a number with K, M, G, T or P, powers of 1024.
func ParseSize(text string) (int64, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: %w", text, err)
	}
	return n, nil
}

// PoolSpec is a pool to create.
type PoolSpec struct {
	Name                       string
	Properties, RootProperties []Prop // of the pool; of its root dataset
	Vdevs                      []VdevSpec
	Force                      bool // -f: only what the site's file says may be overwritten
}

// VdevSpec is a top-level vdev to create; Type and Class as in Vdev, Devices by absolute path.
type VdevSpec struct {
	Type, Class string
	Devices     []string
}

// CreatePool creates a pool. Whether its devices may be used is the caller's to prove with Probe: zfs-fuse
// asks nobody before it overwrites a file system.
func (c *Client) CreatePool(ctx context.Context, spec PoolSpec) error {
	argv, err := createArguments(spec)
	if err != nil {
		return err
	}
	return c.change(ctx, spec.Name, argv...)
}

func createArguments(spec PoolSpec) ([]string, error) {
	if err := ValidDataset(spec.Name); err != nil || strings.Contains(spec.Name, "/") {
		return nil, refusal(ErrInvalidName, spec.Name, "%q is not the name of a pool", spec.Name)
	}
	argv := []string{"zpool", "create"}
	if spec.Force {
		argv = append(argv, "-f")
	}
	poolOptions, err := options("-o", spec.Properties)
	if err != nil {
		return nil, err
	}
	rootOptions, err := options("-O", spec.RootProperties)
	if err != nil {
		return nil, err
	}
	argv = append(append(append(argv, poolOptions...), rootOptions...), spec.Name)
	// Normal data first: what follows a class word belongs to that class.
	for _, class := range []string{"", "special", "dedup", "log", "cache", "spare"} {
		for _, v := range spec.Vdevs {
			if v.Class != class {
				continue
			}
			group := append(nonEmpty(class, v.Type), v.Devices...)
			for _, device := range v.Devices {
				if !filepath.IsAbs(device) {
					return nil, refusal(ErrInvalidName, device, "device %q is not an absolute path", device)
				}
			}
			argv = append(argv, group...)
		}
	}
	return argv, nil
}

func nonEmpty(words ...string) []string {
	var kept []string
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

// SetPoolProperties sets properties of an imported pool, one command each as zpool takes them.
func (c *Client) SetPoolProperties(ctx context.Context, pool string, props []Prop) error {
	for _, p := range props {
		if err := ValidProperty(p.Name); err != nil {
			return err
		}
		if err := c.change(ctx, pool, "zpool", "set", p.Name+"="+p.Value, pool); err != nil {
			return err
		}
	}
	return nil
}
