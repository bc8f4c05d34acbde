package zfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
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
	Status                string    // status and action of zpool status, "" when all is well
	Errors                string    // of data that could not be mended; "" is none known
	Scrubbed              time.Time // end of the last scrub; zero: none is told of
	Resilvering           string    // what is resilvered, since when, and in the table for people how far it is; "" is nothing
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
type Device struct {
	Path, State string
	Beside      bool   // it stands in the place of the device before it: it replaces that, or is the spare in use for it
	Errors      string // its counters READ, WRITE and CKSUM as zpool shows them, such as "0 0 1.2K"; "" where all are 0
}

// suspendedDeadline bounds the one command that is run on a suspended pool.
const suspendedDeadline = 10 * time.Second

// observeSuspended tells of a pool that is suspended. Only zpool status is asked: it needs no disk. Where not even
// that comes back, the kernel's word is all there is.
func (c *Client) observeSuspended(ctx context.Context, name string) *Pool {
	ctx, cancel := context.WithTimeout(ctx, suspendedDeadline)
	defer cancel()
	pool := &Pool{Name: name}
	if report, err := c.poolStatus(ctx, name, true); err == nil {
		_ = pool.add(report) // what is not shown is not known
	}
	pool.Health, pool.Suspended = Suspended, true
	pool.Status = strings.TrimSpace(c.stalled(name) + " " + pool.Status)
	return pool
}

// observePool reads properties and status. It returns nil when the tool says that no such pool is imported.
func (c *Client) observePool(ctx context.Context, name string) (*Pool, error) {
	if c.KernelState(name) == Suspended { // zpool get may need the disks
		return c.observeSuspended(ctx, name), nil
	}
	pool, err := c.poolProperties(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	report, err := c.poolStatus(ctx, name, pool.Health == Suspended)
	if err != nil {
		return nil, err
	}
	if err := pool.add(report); err != nil {
		return nil, err
	}
	return pool, nil
}

// add takes over what zpool status shows of the pool.
func (p *Pool) add(report poolReport) error {
	if report.fields["pool"] != p.Name {
		return refusal(ErrOther, p.Name, "zpool status %s showed pool %q", p.Name, report.fields["pool"])
	}
	p.Vdevs = report.vdevs
	p.Status = strings.TrimSpace(report.fields["status"] + " " + report.fields["action"])
	p.Errors, p.Scrubbed, p.Resilvering = report.errors, report.scrubbed, report.resilvering
	p.Health = cmp.Or(p.Health, report.fields["state"])
	p.Suspended = p.Health == Suspended || report.fields["state"] == Suspended
	return nil
}

// poolStatus reads health and vdevs, as JSON where the tool can write that: zfs and zpool learned it together,
// so that the usage text of zfs, which an inventory needs anyway, tells it of both. Beside a suspended pool zfs
// is not even asked for that.
func (c *Client) poolStatus(ctx context.Context, name string, suspended bool) (poolReport, error) {
	var can Abilities
	if !suspended {
		var err error
		if can, err = c.zfsAbilities(ctx); err != nil {
			return poolReport{}, err
		}
	}
	if can.JSON {
		out, err := c.list(ctx, name, "zpool", "status", "-j", "--json-int", name)
		if err != nil {
			return poolReport{}, err
		}
		return parseStatusJSON(name, out)
	}
	out, err := c.list(ctx, name, "zpool", "status", name)
	if err != nil {
		return poolReport{}, err
	}
	reports := parseStatus(out)
	if len(reports) != 1 {
		return poolReport{}, refusal(ErrOther, name, "zpool status %s did not show that pool: %s", name, firstLines(out, 3))
	}
	return reports[0], nil
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
		if err != nil && p.Health != "UNAVAIL" && p.Health != Suspended {
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
//
// It is tried again where a device is there, and its first partition was not for a moment: zpool makes that
// on a whole disk and waits for its link, which udev takes away and puts back when it sees the disk written
// (openzfs/zfs issue 3708). No pool was created then, and the disk bears its partitions.
func (c *Client) CreatePool(ctx context.Context, spec PoolSpec) error {
	argv, err := createArguments(spec)
	if err != nil {
		return err
	}
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = 500*time.Millisecond, 5*time.Second
	var last error
	_, _ = backoff.Retry(ctx, func() (struct{}, error) {
		err := c.change(ctx, spec.Name, argv...)
		if last != nil && errors.Is(err, ErrExists) {
			return struct{}{}, backoff.Permanent(last) // so the pool was created, and what failed came after that
		}
		last = err
		if errors.Is(last, ErrNotFound) && spec.present() {
			return struct{}{}, last
		}
		return struct{}{}, backoff.Permanent(last)
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(udevPatience))
	return last
}

// udevPatience is how long udev may take for what it does about a disk that was partitioned.
const udevPatience = time.Minute

// present reports whether all devices are there.
func (spec PoolSpec) present() bool {
	for _, v := range spec.Vdevs {
		for _, device := range v.Devices {
			if _, err := os.Stat(device); err != nil {
				return false
			}
		}
	}
	return true
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
