package zfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query names the properties, native and user ones, that an inventory reads beside those in the fields of
// Dataset and Snapshot. All of a pool's properties are always read; those in PoolProperties that it does
// not show are reported in Unsupported.
type Query struct {
	PoolProperties, DatasetProperties, SnapshotProperties []string
}

// Inventory is one pool, as it was observed.
type Inventory struct {
	Pool        *Pool      // nil: the tool said that no such pool is imported
	Datasets    []Dataset  // file systems and volumes, by name
	Snapshots   []Snapshot // by CreateTXG, then Dataset, then Name
	Unsupported []string   // queried properties that this tool does not know, sorted
}

// Value is a property's value and where it comes from.
type Value struct {
	Value  string
	Source string // local, default, received, temporary, inherited, none
	From   string // the dataset that an inherited value comes from
}

// Local reports whether the value was set on this very dataset or snapshot. A mark counts only then: user
// properties are handed down to children, clones and snapshots of strangers.
func (v Value) Local() bool { return v.Source == "local" }

// Dataset is a file system or a volume. Sizes are bytes.
type Dataset struct {
	Name, Type, GUID            string
	Origin                      string // the snapshot that it is a clone of, or ""
	Mountpoint                  string // as zfs shows it: a pool's altroot is already before it
	Mounted                     bool
	Used, Available, Referenced int64
	Key                         Key
	Properties                  map[string]Value // those queried that it has
}

// Snapshot is one snapshot of one dataset. Several made by one command share CreateTXG.
type Snapshot struct {
	Dataset    string
	Name       string // without the dataset
	GUID       string // the only identity: names can be used again
	CreateTXG  uint64
	Creation   time.Time
	Clones     int
	UserRefs   int   // holds
	Used       int64 // bytes that its removal alone would free
	Properties map[string]Value
}

// Full is dataset@name.
func (s Snapshot) Full() string { return s.Dataset + "@" + s.Name }

// Dataset looks a dataset up by name.
func (i Inventory) Dataset(name string) (Dataset, bool) {
	at, found := slices.BinarySearchFunc(i.Datasets, name, func(d Dataset, name string) int { return cmp.Compare(d.Name, name) })
	if !found {
		return Dataset{}, false
	}
	return i.Datasets[at], true
}

// SnapshotsOf returns a dataset's own snapshots, oldest first.
func (i Inventory) SnapshotsOf(dataset string) []Snapshot {
	var own []Snapshot
	for _, s := range i.Snapshots {
		if s.Dataset == dataset {
			own = append(own, s)
		}
	}
	return own
}

// Children returns all datasets below name, at any depth, by name.
func (i Inventory) Children(name string) []Dataset {
	var below []Dataset
	for _, d := range i.Datasets {
		if strings.HasPrefix(d.Name, name+"/") {
			below = append(below, d)
		}
	}
	return below
}

// WithAltRoot returns how zfs shows a mountpoint that was set to dir: below the pool's altroot.
func (i Inventory) WithAltRoot(dir string) string {
	if i.Pool == nil || i.Pool.AltRoot == "" || !strings.HasPrefix(dir, "/") {
		return dir
	}
	if dir == "/" {
		return i.Pool.AltRoot
	}
	return strings.TrimSuffix(i.Pool.AltRoot, "/") + dir
}

// What every inventory reads.
var (
	datasetColumns  = []string{"type", "guid", "origin", "mountpoint", "mounted", "used", "available", "referenced"}
	snapshotColumns = []string{"type", "guid", "createtxg", "creation", "userrefs", "used"}
)

// Inventory observes a pool with at most five processes, however much it holds (four with what earlier
// calls taught): the abilities of zfs, the pool's properties, its status, and the properties of datasets
// and of snapshots, which are one listing where zfs get has no -t. One more is spent when the query names
// a native property that the tool refuses, once in a client's life.
//
// Any listing that fails is an error, never an empty result; only the tool's own "no such pool" gives an
// Inventory without a Pool.
func (c *Client) Inventory(ctx context.Context, pool string, q Query) (Inventory, error) {
	if err := ValidDataset(pool); err != nil || strings.Contains(pool, "/") {
		return Inventory{}, refusal(ErrInvalidName, pool, "%q is not the name of a pool", pool)
	}
	p, err := c.observePool(ctx, pool)
	if err != nil || p == nil {
		return Inventory{}, err
	}
	inv := Inventory{Pool: p}
	if p.Suspended {
		// Reading a suspended pool may hang in the kernel.
		return inv, refusal(ErrSuspended, pool, "%s", cmp.Or(p.Status, "zpool status shows "+p.Health))
	}
	abilities, err := c.zfsAbilities(ctx)
	if err != nil {
		return Inventory{}, err
	}
	err = c.observeDatasets(ctx, &inv, abilities, q)
	if err != nil {
		return Inventory{}, err
	}
	inv.settle()
	return inv, nil
}

// observeDatasets reads datasets and snapshots, again without the properties that the tool refuses.
func (c *Client) observeDatasets(ctx context.Context, inv *Inventory, can Abilities, q Query) error {
	for _, name := range slices.Concat(q.DatasetProperties, q.SnapshotProperties) {
		if err := ValidProperty(name); err != nil {
			return err
		}
	}
	err := c.readListings(ctx, inv, can, q)
	var failed *Error
	if errors.As(err, &failed) && failed.Kind == ErrInvalidProperty && c.learnSupported(failed.Stderr) {
		err = c.readListings(ctx, inv, can, q)
	}
	return err
}

func (c *Client) readListings(ctx context.Context, inv *Inventory, can Abilities, q Query) error {
	columns := datasetColumns
	if can.LoadKey {
		columns = slices.Concat(datasetColumns, keyColumns)
	}
	forDatasets, missing := c.onlySupported(slices.Concat(columns, q.DatasetProperties))
	forSnapshots, missingToo := c.onlySupported(slices.Concat(snapshotColumns, q.SnapshotProperties))
	inv.Datasets, inv.Snapshots = nil, nil
	for _, name := range q.PoolProperties {
		if _, ok := inv.Pool.Properties[name]; !ok {
			missing = append(missing, name)
		}
	}
	inv.Unsupported = unique(slices.Concat(missing, missingToo))
	slices.Sort(inv.Unsupported)
	emit := inv.adder(q)
	if !can.GetTypes {
		return c.readProperties(ctx, inv, unique(slices.Concat(forDatasets, forSnapshots)), "", emit)
	}
	if err := c.readProperties(ctx, inv, forDatasets, "filesystem,volume", emit); err != nil {
		return err
	}
	return c.readProperties(ctx, inv, forSnapshots, "snapshot", emit)
}

// readProperties runs one recursive zfs get. None of the columns makes OpenZFS open the snapshot's file
// system, as all, version or utf8only would (a six-hundredfold slowness).
func (c *Client) readProperties(ctx context.Context, inv *Inventory, properties []string, types string, emit func(string, map[string]Value) error) error {
	argv := []string{"zfs", "get", "-Hp", "-r", "-o", "name,property,value,source"}
	if types != "" {
		argv = append(argv, "-t", types)
	}
	argv = append(argv, strings.Join(properties, ","), inv.Pool.Name)
	reader := newPropertyReader(inv.Pool.Name, properties, emit)
	if err := c.stream(ctx, listDeadline, reader, inv.Pool.Name, argv...); err != nil {
		return err
	}
	return reader.Close()
}

// adder takes the datasets and snapshots of a listing, with the properties that the query names.
func (i *Inventory) adder(q Query) func(string, map[string]Value) error {
	return func(name string, values map[string]Value) error {
		if values["type"].Value == "" || values["guid"].Value == "" {
			return fmt.Errorf("zfs get showed %s without type or guid", name)
		}
		n := numbers{name: name, values: values}
		if dataset, short, ok := strings.Cut(name, "@"); ok {
			i.Snapshots = append(i.Snapshots, Snapshot{
				Dataset: dataset, Name: short, GUID: values["guid"].Value,
				CreateTXG: uint64(n.read("createtxg")), Creation: time.Unix(n.read("creation"), 0).UTC(),
				UserRefs: int(n.read("userrefs")), Used: n.read("used"), Properties: only(values, q.SnapshotProperties),
			})
			return n.err
		}
		i.Datasets = append(i.Datasets, Dataset{
			Name: name, Type: values["type"].Value, GUID: values["guid"].Value,
			Origin: values["origin"].Value, Mountpoint: values["mountpoint"].Value, Mounted: values["mounted"].Value == "yes",
			Used: n.read("used"), Available: n.read("available"), Referenced: n.read("referenced"),
			Key: keyOf(values), Properties: only(values, q.DatasetProperties),
		})
		return n.err
	}
}

// only returns those of the named properties that are there.
func only(values map[string]Value, names []string) map[string]Value {
	kept := make(map[string]Value, len(names))
	for _, name := range names {
		if v, ok := values[name]; ok {
			kept[name] = v
		}
	}
	return kept
}

// settle sorts, and counts the clones of each snapshot by the origins of the datasets: numclones is not
// shown by every tool. A clone lives in the pool of its snapshot, so none is missed.
func (i *Inventory) settle() {
	slices.SortFunc(i.Datasets, func(a, b Dataset) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(i.Snapshots, func(a, b Snapshot) int {
		return cmp.Or(cmp.Compare(a.CreateTXG, b.CreateTXG), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Name, b.Name))
	})
	clones := map[string]int{}
	for _, d := range i.Datasets {
		if d.Origin != "" {
			clones[d.Origin]++
		}
	}
	for at := range i.Snapshots {
		i.Snapshots[at].Clones = clones[i.Snapshots[at].Full()]
	}
	if root, ok := i.Dataset(i.Pool.Name); ok {
		i.Pool.estimate(root)
	}
}

// numbers reads numeric properties and remembers the first that is none.
type numbers struct {
	name   string
	values map[string]Value
	err    error
}

func (n *numbers) read(property string) int64 {
	text := n.values[property].Value
	if text == "" {
		return 0 // not a property of this type
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("zfs get showed %s of %s as %q, which is no number", property, n.name, text)
	}
	return v
}

// unique drops repeated entries and keeps the order.
func unique(names []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}
