package spec

import (
	"path"
	"slices"
	"strings"
	"time"
)

// defaultRestoreBuffers is small, since restores run beside the standby and
// would inherit its shared_buffers.
var defaultRestoreBuffers = Setting{Name: "shared_buffers", Value: "256MB"}

// restoreDefaults is what a restore has that does not say otherwise.
type restoreDefaults struct {
	conf       []Setting
	properties []Property
	grace      time.Duration
}

func (d *draft) restoreDefaults(n *node) restoreDefaults {
	return restoreDefaults{
		conf:       mergeSettings([]Setting{defaultRestoreBuffers}, settings(n.get("conf", "set"), true)),
		properties: properties(n.get("properties")),
		grace:      d.durationOr(n.get("grace"), defaultGrace),
	}
}

func (d *draft) restore(n *node, defaults restoreDefaults) Restore {
	restore := Restore{
		Name:            n.get("name").textOr(""),
		Target:          d.target(n.get("target")),
		Mountpoint:      n.get("mountpoint").textOr(""),
		Port:            n.get("port").intOr(0),
		ListenAddresses: n.get("listenAddresses").textOr("localhost"),
		HBA:             n.get("hba").texts(),
		Conf:            mergeSettings(defaults.conf, settings(n.get("conf", "set"), true)),
		Properties:      mergeProperties(defaults.properties, properties(n.get("properties"))),
		Action:          n.get("action").textOr("pause"),
		ExpiresAfter:    d.durationOr(n.get("expiresAfter"), 0),
		Grace:           d.durationOr(n.get("grace"), defaults.grace),
		Pos:             n.place(),
	}
	restore.Keep = n.get("keep").boolOr(restore.Action == "promote")
	name := n.get("dataset").textOr("")
	if name == "" && d.site.Name != "" && restore.Name != "" {
		name = path.Join("zreconcile", d.site.Name, restore.Name)
	}
	restore.Dataset = d.site.Pool.absolute(name)
	for i := range restore.Conf {
		if restore.Conf[i].Pos == (Pos{}) {
			restore.Conf[i].Pos = restore.Pos // a built-in default: the restore asks for it
		}
	}
	return restore
}

func (d *draft) target(n *node) Target {
	target := Target{
		LSN:          strings.ToUpper(n.get("lsn").textOr("")),
		XID:          n.get("xid").textOr(""),
		RestorePoint: n.get("restorePoint").textOr(""),
		Snapshot:     n.get("snapshot").textOr(""),
		Latest:       n.get("latest").boolOr(false),
		Stop:         n.get("stop").textOr(""),
	}
	if at := n.get("time"); at.given() && at.kind == scalarNode {
		moment, err := ParseTime(at.text)
		if err != nil {
			d.errorf(at, "", "%v", err)
		}
		target.Time = moment
	}
	return target
}

// mergeSettings is the settings of both, sorted by name; those of own win.
func mergeSettings(defaults, own []Setting) []Setting {
	merged := slices.Clone(own)
	for _, s := range defaults {
		if !slices.ContainsFunc(own, func(o Setting) bool { return o.Name == s.Name }) {
			merged = append(merged, s)
		}
	}
	sortSettings(merged)
	return merged
}

// mergeProperties is the properties of both, the defaults' first; those of own
// win, and one that is null there is inherited.
func mergeProperties(defaults, own []Property) []Property {
	var merged []Property
	for _, p := range defaults {
		if !slices.ContainsFunc(own, func(o Property) bool { return o.Name == p.Name }) {
			merged = append(merged, p)
		}
	}
	return append(merged, own...)
}
