package spec

import (
	"slices"
	"strings"
	"time"
)

// Defaults of the reference spec.
const (
	defaultKeepFree    = 0.05
	defaultPrefix      = "zr"
	defaultGrace       = time.Hour
	defaultLag         = 5 * time.Minute
	defaultSnapshotAge = 26 * time.Hour
	defaultDrillAge    = 8 * 24 * time.Hour
	defaultFree        = 0.15
	defaultPrimaryPort = 5432
	runDir             = "/run/zreconcile"
)

// decode fills the site from the tree. What is wrong in a way that no later
// check needs to know of is left at its default.
func (d *draft) decode() {
	s, root := d.site, d.root
	s.Name = root.get("site").textOr("")
	s.Timezone = d.timezone(root.get("timezone"))
	s.Pool = d.pool(root.get("pool"))
	for _, n := range root.get("datasets").list() {
		d.datasets = append(d.datasets, n)
		s.Datasets = append(s.Datasets, Dataset{
			Name:       s.Pool.absolute(n.get("name").textOr("")),
			Properties: properties(n.get("properties")),
			Pos:        n.place(),
		})
	}
	if n := root.get("standby"); n.given() {
		s.Standby = d.standby(n)
	}
	if n := root.get("archive"); n.given() {
		s.Archive = &Archive{
			Dir:           n.get("dir").textOr(""),
			ContinuousFor: d.durationOr(n.get("continuousFor"), 0),
			Pos:           n.place(),
		}
	}
	if n := root.get("snapshots"); n.given() {
		s.Snapshots = d.snapshots(n)
	}
	if n := root.get("verify"); n.given() {
		s.Verify = d.verify(n)
	}
	defaults := d.restoreDefaults(root.get("restoreDefaults"))
	s.Drill = Drill{Conf: defaults.conf, Properties: defaults.properties}
	for _, n := range d.restores {
		s.Restores = append(s.Restores, d.restore(n, defaults))
	}
	health := root.get("health")
	s.Health = Health{
		Lag:         d.durationOr(health.get("lag"), defaultLag),
		SnapshotAge: d.durationOr(health.get("snapshotAge"), defaultSnapshotAge),
		DrillAge:    d.durationOr(health.get("drillAge"), defaultDrillAge),
		Free:        d.percentOr(health.get("free"), defaultFree),
	}
}

func (d *draft) timezone(n *node) *time.Location {
	name := n.textOr("UTC")
	zone, err := time.LoadLocation(name)
	switch {
	case err != nil:
		d.errorf(n, "", "%q is no time zone that this host knows: write it like Asia/Shanghai or UTC", name)
	case name == "Local":
		d.errorf(n, "", "the time zone Local is another one on each host: name it, like Asia/Shanghai or UTC")
	default:
		return zone
	}
	return time.UTC
}

func (d *draft) pool(n *node) Pool {
	pool := Pool{
		Name:           n.get("name").textOr(""),
		Overwrite:      n.get("overwrite").texts(),
		Properties:     properties(n.get("properties")),
		RootProperties: properties(n.get("rootProperties")),
		KeepFree:       d.percentOr(n.get("keepFree"), defaultKeepFree),
	}
	if n != nil {
		pool.Pos = n.place()
	}
	for _, v := range n.get("vdevs").list() {
		pool.Vdevs = append(pool.Vdevs, Vdev{
			Type:    v.get("type").textOr(""),
			Class:   v.get("class").textOr(""),
			Devices: v.get("devices").texts(),
			Pos:     v.place(),
		})
	}
	return pool
}

// absolute is the name of a dataset that the file names relative to the pool;
// the name as it is where the pool is unknown.
func (p Pool) absolute(name string) string {
	if p.Name == "" || name == "" {
		return name // a file without a pool is reported as such, and its datasets are still different ones
	}
	return p.Name + "/" + name
}

// properties reads ZFS properties, in the file's order.
func properties(n *node) []Property {
	var out []Property
	for _, m := range n.members() {
		if m.value.faulty || m.value.kind != scalarNode {
			continue
		}
		property := Property{Name: m.key, Pos: m.value.place()}
		if m.value.tag != "!!null" {
			value := m.value.text
			if !strings.Contains(m.key, ":") { // a user property is any text
				value = m.value.onOff()
			}
			property.Value = &value
		}
		out = append(out, property)
	}
	return out
}

// settings reads names and values as text, sorted by name. PostgreSQL's names
// do not depend on case; lower brings them to one.
func settings(n *node, lower bool) []Setting {
	var out []Setting
	for _, m := range n.members() {
		if m.value.faulty || m.value.kind != scalarNode {
			continue
		}
		name := m.key
		if lower {
			name = strings.ToLower(name)
		}
		out = append(out, Setting{Name: name, Value: m.value.text, Pos: m.value.place()})
	}
	sortSettings(out)
	return out
}

func sortSettings(settings []Setting) {
	slices.SortStableFunc(settings, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
}

func (d *draft) snapshots(n *node) *Snapshots {
	r := n.get("retention")
	return &Snapshots{
		Schedule: d.schedule(n.get("schedule")),
		Every:    d.durationOr(n.get("every"), 0),
		Prefix:   n.get("prefix").textOr(defaultPrefix),
		Retention: Retention{
			Last:          r.get("last").intOr(0),
			Hourly:        r.get("hourly").intOr(0),
			Daily:         r.get("daily").intOr(0),
			Weekly:        r.get("weekly").intOr(0),
			Monthly:       r.get("monthly").intOr(0),
			Yearly:        r.get("yearly").intOr(0),
			Within:        d.durationOr(r.get("within"), 0),
			WithinHourly:  d.durationOr(r.get("withinHourly"), 0),
			WithinDaily:   d.durationOr(r.get("withinDaily"), 0),
			WithinWeekly:  d.durationOr(r.get("withinWeekly"), 0),
			WithinMonthly: d.durationOr(r.get("withinMonthly"), 0),
			WithinYearly:  d.durationOr(r.get("withinYearly"), 0),
		},
		Pos: n.place(),
	}
}

func (d *draft) verify(n *node) *Verify {
	verify := &Verify{
		Schedule:  d.schedule(n.get("schedule")),
		Every:     d.durationOr(n.get("every"), 0),
		Checksums: n.get("checksums").boolOr(false),
		Amcheck:   n.get("amcheck").boolOr(false),
		Pos:       n.place(),
	}
	for _, q := range n.get("queries").list() {
		verify.Queries = append(verify.Queries, Query{
			Database: q.get("database").textOr("postgres"),
			SQL:      q.get("sql").textOr(""),
			Expect:   q.get("expect").textOr(""),
		})
	}
	return verify
}
