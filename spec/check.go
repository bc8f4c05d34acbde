package spec

import (
	"maps"
	"slices"
	"strconv"
)

// check looks for what no schema can say: how the values fit together. Each
// check reports all that it finds and skips what is missing or faulty.
func (d *draft) check() {
	d.checkPool()
	d.checkDatasets()
	d.checkPrimary()
	d.checkStandby()
	d.checkPorts()
	d.checkPaths()
	d.checkMountpoints()
	d.checkCadences()
	d.checkRetention()
	d.checkRestores()
	d.checkNeeds()
}

// multiline are the keys whose values may hold more than one line.
var multiline = map[string]bool{"sql": true, "expect": true, "set": true}

// checkNewlines keeps line breaks out of everything that ends in an argument,
// a path or a line of a file.
func (d *draft) checkNewlines(n *node) {
	for _, m := range n.members() {
		if !multiline[m.key] {
			d.checkNewlines(m.value)
		}
	}
	for _, item := range n.list() {
		d.checkNewlines(item)
	}
	if n != nil && n.kind == scalarNode && slices.Contains([]byte(n.text), '\n') {
		d.errorf(n, "", "the value holds a line break")
	}
}

// checkNeeds names the sections that others are built on.
func (d *draft) checkNeeds() {
	has := func(key string) bool { return d.root.get(key) != nil }
	if !has("standby") {
		for _, key := range []string{"archive", "snapshots", "verify"} {
			if has(key) {
				d.errorf(d.root.get(key), "add standby, or remove "+key, "%s needs a standby, and the file has none", key)
			}
		}
		for i, n := range d.restores {
			d.errorf(n, "add standby, or remove the restore", "the restore %q needs a standby, and the file has none", d.site.Restores[i].Name)
		}
		return
	}
	if has("snapshots") && !has("archive") {
		d.warnf(d.root.get("snapshots"), "add archive",
			"without an archive there will be no restore to a moment between two snapshots")
	}
	if has("verify") && !has("snapshots") {
		d.warnf(d.root.get("verify"), "add snapshots", "drills restore the newest snapshot, and the file takes none")
	}
	if has("archive") {
		return
	}
	for i, n := range d.restores {
		if r := d.site.Restores[i]; !r.Target.isZero() && r.Target.Snapshot == "" {
			d.errorf(n.get("target"), "add archive, or restore to a snapshot",
				"the restore %q to this target needs an archive, and the file has none", r.Name)
		}
	}
}

func (t Target) isZero() bool { return t == Target{} }

// distinct reports each value that is used a second time, naming the first.
type distinct[K comparable] struct {
	d     *draft
	first map[K]use
}

// use is where a value stands, and what for.
type use struct {
	by string
	at *node
}

func (u *distinct[K]) add(what string, value K, at *node, by string) {
	if u.first == nil {
		u.first = map[K]use{}
	}
	first, found := u.first[value]
	if !found {
		u.first[value] = use{by, at}
		return
	}
	u.d.errorf(at, "", "the %s %v is used twice: first by %s (%s)", what, value, first.by, first.at.place().from(at.place()))
}

// from names a place as seen from another one: the file only when it is not
// the same.
func (p Pos) from(other Pos) string {
	if p.File == other.File {
		return "line " + strconv.Itoa(p.Line)
	}
	return p.File + ", line " + strconv.Itoa(p.Line)
}

// checkPorts keeps the servers of this host on ports of their own.
func (d *draft) checkPorts() {
	ports := distinct[int]{d: d}
	if s := d.site.Standby; s != nil && s.Port != 0 {
		ports.add("port", s.Port, d.root.get("standby", "port"), "the standby")
	}
	for i, n := range d.restores {
		if r := d.site.Restores[i]; r.Port != 0 {
			ports.add("port", r.Port, n.get("port"), "the restore "+strconv.Quote(r.Name))
		}
	}
}

// sortedKeys makes an order for a map's keys.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
