package spec

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// sections are the top-level keys of a site's file, in the order of the
// reference spec; those that belong together have no blank line between them.
func sections(site *Site, at map[string]string) [][]field {
	root := &mapping{at: at}
	root.put("version", scalar("1"))
	root.put("site", scalar(site.Name))
	if site.Timezone != nil {
		root.text("timezone", site.Timezone.String(), "UTC")
	}
	head := root.fields
	root.fields = nil
	root.put("pool", writePool(root.child("pool"), site.Pool))
	root.put("datasets", writeDatasets(root.child("datasets"), site))
	if site.Standby != nil {
		root.put("standby", writeStandby(root.child("standby"), site.Name, site.Standby))
	}
	if a := site.Archive; a != nil {
		m := root.child("archive")
		m.put("dir", scalar(a.Dir))
		m.text("continuousFor", FormatDuration(a.ContinuousFor), "0")
		root.put("archive", block(m.node()))
	}
	if s := site.Snapshots; s != nil {
		m := root.child("snapshots")
		writeCadence(m, s.Schedule, s.Every)
		m.text("prefix", s.Prefix, defaultPrefix)
		m.put("retention", writeRetention(m.child("retention"), s.Retention))
		root.put("snapshots", block(m.node()))
	}
	if v := site.Verify; v != nil {
		root.put("verify", writeVerify(root.child("verify"), v))
	}
	root.put("restoreDefaults", writeDrill(root.child("restoreDefaults"), site.Drill))
	var restores []*yaml.Node
	for _, r := range site.Restores {
		restores = append(restores, writeRestore(root.child("restores").child(r.Name), site, r))
	}
	root.put("restores", items(restores))
	root.put("health", writeHealth(root.child("health"), site.Health))

	out := [][]field{head}
	for _, f := range root.fields {
		out = append(out, []field{f})
	}
	return out
}

// block keeps a mapping off the line of its key.
func block(n *yaml.Node) *yaml.Node {
	if n != nil {
		n.Style &^= yaml.FlowStyle
	}
	return n
}

func writePool(m *mapping, p Pool) *yaml.Node {
	m.put("name", scalar(p.Name))
	var vdevs []*yaml.Node
	for _, v := range p.Vdevs {
		one := m.child("vdevs")
		one.text("type", v.Type, "")
		one.text("class", v.Class, "")
		one.put("devices", list(v.Devices))
		vdevs = append(vdevs, block(one.node()))
	}
	m.put("vdevs", items(vdevs))
	m.put("overwrite", list(p.Overwrite))
	m.put("properties", writeProperties(m.child("properties"), p.Properties))
	m.put("rootProperties", writeProperties(m.child("rootProperties"), p.RootProperties))
	if p.KeepFree != defaultKeepFree {
		m.put("keepFree", percent(p.KeepFree))
	}
	return block(m.node())
}

func percent(share float64) *yaml.Node {
	return scalar(strconv.FormatFloat(math.Round(share*1e6)/1e4, 'g', -1, 64) + "%")
}

func writeProperties(m *mapping, properties []Property) *yaml.Node {
	for _, p := range properties {
		if p.Value == nil {
			m.put(p.Name, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"})
			continue
		}
		m.put(p.Name, propertyNode(p.Name, *p.Value))
	}
	return m.node()
}

// propertyNode keeps the words of YAML's booleans as they are; on and off need
// nothing for that.
func propertyNode(name, value string) *yaml.Node {
	n := scalar(value)
	if !strings.Contains(name, ":") && (&node{text: value}).onOff() != value {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func writeDatasets(m *mapping, site *Site) *yaml.Node {
	var nodes []*yaml.Node
	for _, d := range site.Datasets {
		name := strings.TrimPrefix(d.Name, site.Pool.Name+"/")
		one := &mapping{path: m.path + name + ".", at: m.at}
		one.fields = append(one.fields, field{"name", scalar(name), m.at[m.path+name]})
		one.put("properties", writeProperties(one.child("properties"), d.Properties))
		nodes = append(nodes, block(one.node()))
	}
	return items(nodes)
}

func writeStandby(m *mapping, site string, s *Standby) *yaml.Node {
	m.put("dataDir", scalar(s.DataDir))
	m.text("walDir", s.WALDir, "")
	m.put("port", scalar(strconv.Itoa(s.Port)))
	m.text("listenAddresses", s.ListenAddresses, "localhost")
	m.text("socketDir", s.SocketDir, path.Join(runDir, site))
	m.text("osUser", s.OSUser, "postgres")
	admin := m.child("admin")
	admin.text("role", s.AdminRole, "")
	admin.text("database", s.AdminDatabase, "postgres")
	m.put("admin", admin.node())
	m.text("binDir", s.BinDir, "")
	m.text("supervisor", s.Supervisor, "auto")
	m.text("restart", s.Restart, "auto")
	backup := m.child("basebackup")
	backup.text("checkpoint", s.Basebackup.Checkpoint, "fast")
	backup.text("maxRate", s.Basebackup.MaxRate, "")
	m.put("basebackup", backup.node())
	m.put("primary", writePrimary(m.child("primary"), site, s.Primary))
	spaces := m.child("tablespaces")
	for _, t := range s.Tablespaces {
		spaces.put(t.From, scalar(t.To))
	}
	m.put("tablespaces", spaces.node())
	m.put("conf", writeConf(m.child("conf"), s.Conf))
	return block(m.node())
}

func writePrimary(m *mapping, site string, p Primary) *yaml.Node {
	if len(p.Hosts) == 1 {
		m.put("host", scalar(p.Hosts[0]))
	} else {
		m.put("host", list(p.Hosts))
	}
	m.put("port", scalar(strconv.Itoa(p.Port)))
	m.put("user", scalar(p.User))
	from := m.child("passwordFrom")
	from.text("file", p.PasswordFrom.File, "")
	from.text("env", p.PasswordFrom.Env, "")
	from.text("passfile", p.PasswordFrom.Passfile, "")
	from.text("credential", p.PasswordFrom.Credential, "")
	m.put("passwordFrom", from.node())
	m.put("sslmode", scalar(p.SSLMode))
	m.text("sslRootCert", p.SSLRootCert, "")
	m.text("applicationName", p.ApplicationName, "zreconcile-"+site)
	m.put("options", writeSettings(m.child("options"), p.Options))
	m.text("slot", p.Slot, "")
	return block(m.node())
}

func writeSettings(m *mapping, settings []Setting) *yaml.Node {
	for _, s := range settings {
		m.put(s.Name, scalar(s.Value))
	}
	return m.node()
}

func writeConf(m *mapping, c Conf) *yaml.Node {
	m.put("set", writeSettings(m.child("set"), c.Set))
	m.put("disable", list(c.Disable))
	m.text("unsupported", c.Unsupported, "disable")
	m.put("hba", list(c.HBA))
	return block(m.node())
}

func writeCadence(m *mapping, schedule string, every time.Duration) {
	m.text("schedule", schedule, "")
	m.text("every", FormatDuration(every), "0")
}

func writeRetention(m *mapping, r Retention) *yaml.Node {
	for _, rule := range []struct {
		name  string
		count int
	}{
		{"last", r.Last}, {"hourly", r.Hourly}, {"daily", r.Daily}, {"weekly", r.Weekly}, {"monthly", r.Monthly}, {"yearly", r.Yearly},
	} {
		m.text(rule.name, strconv.Itoa(rule.count), "0")
	}
	for _, rule := range []struct {
		name string
		time time.Duration
	}{
		{"within", r.Within}, {"withinHourly", r.WithinHourly}, {"withinDaily", r.WithinDaily},
		{"withinWeekly", r.WithinWeekly}, {"withinMonthly", r.WithinMonthly}, {"withinYearly", r.WithinYearly},
	} {
		m.text(rule.name, FormatDuration(rule.time), "0")
	}
	return m.node()
}

func writeVerify(m *mapping, v *Verify) *yaml.Node {
	writeCadence(m, v.Schedule, v.Every)
	m.text("checksums", strconv.FormatBool(v.Checksums), "false")
	m.text("amcheck", strconv.FormatBool(v.Amcheck), "false")
	var queries []*yaml.Node
	for _, q := range v.Queries {
		one := m.child("queries")
		one.text("database", q.Database, "postgres")
		one.put("sql", scalar(q.SQL))
		one.put("expect", scalar(q.Expect))
		queries = append(queries, one.node())
	}
	m.put("queries", items(queries))
	return block(m.node())
}

// writeDrill is what drills are made with, and so each restore that does not
// say otherwise.
func writeDrill(m *mapping, d Drill) *yaml.Node {
	conf := m.child("conf")
	conf.put("set", writeSettings(conf.child("set"), lessSettings(d.Conf, []Setting{defaultRestoreBuffers})))
	m.put("conf", conf.node())
	m.put("properties", writeProperties(m.child("properties"), d.Properties))
	return block(m.node())
}

// lessSettings leaves out what is in usual with the same value.
func lessSettings(settings, usual []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(settings), func(s Setting) bool {
		return slices.ContainsFunc(usual, func(u Setting) bool { return u.Name == s.Name && u.Value == s.Value })
	})
}

func lessProperties(properties, usual []Property) []Property {
	same := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	return slices.DeleteFunc(slices.Clone(properties), func(p Property) bool {
		return slices.ContainsFunc(usual, func(u Property) bool { return u.Name == p.Name && same(u.Value, p.Value) })
	})
}

func writeRestore(m *mapping, site *Site, r Restore) *yaml.Node {
	m.fields = append(m.fields, field{"name", scalar(r.Name), m.at["restores."+r.Name]})
	m.put("target", writeTarget(m.child("target"), r.Target))
	m.text("dataset", strings.TrimPrefix(r.Dataset, site.Pool.Name+"/"), path.Join("zreconcile", site.Name, r.Name))
	m.text("mountpoint", r.Mountpoint, "")
	m.put("port", scalar(strconv.Itoa(r.Port)))
	m.text("listenAddresses", r.ListenAddresses, "localhost")
	m.put("hba", list(r.HBA))
	conf := m.child("conf")
	conf.put("set", writeSettings(conf.child("set"), lessSettings(r.Conf, site.Drill.Conf)))
	m.put("conf", conf.node())
	m.put("properties", writeProperties(m.child("properties"), lessProperties(r.Properties, site.Drill.Properties)))
	m.text("action", r.Action, "pause")
	m.text("expiresAfter", FormatDuration(r.ExpiresAfter), "0")
	m.text("grace", FormatDuration(r.Grace), FormatDuration(defaultGrace))
	m.text("keep", strconv.FormatBool(r.Keep), strconv.FormatBool(r.Action == "promote"))
	return block(m.node())
}

func writeTarget(m *mapping, t Target) *yaml.Node {
	if !t.Time.IsZero() {
		m.put("time", scalar(t.Time.UTC().Format("2006-01-02 15:04:05.999999+00:00")))
	}
	m.text("lsn", t.LSN, "")
	m.text("xid", t.XID, "")
	m.text("restorePoint", t.RestorePoint, "")
	m.text("snapshot", t.Snapshot, "")
	m.text("latest", strconv.FormatBool(t.Latest), "false")
	m.text("stop", t.Stop, "")
	return m.node()
}

func writeHealth(m *mapping, h Health) *yaml.Node {
	m.text("lag", FormatDuration(h.Lag), FormatDuration(defaultLag))
	m.text("snapshotAge", FormatDuration(h.SnapshotAge), FormatDuration(defaultSnapshotAge))
	m.text("drillAge", FormatDuration(h.DrillAge), FormatDuration(defaultDrillAge))
	if h.Free != defaultFree {
		m.put("free", percent(h.Free))
	}
	return m.node()
}

// Defaults are the values of a site that its file may leave out.
func Defaults() Site {
	return Site{Timezone: time.UTC, Pool: Pool{KeepFree: defaultKeepFree}, Drill: Drill{Conf: []Setting{defaultRestoreBuffers}},
		Health: Health{Lag: defaultLag, SnapshotAge: defaultSnapshotAge, DrillAge: defaultDrillAge, Free: defaultFree}}
}

// FormatDuration writes a duration as ParseDuration reads it, in the largest
// unit that gives a whole number, such as 15m, 48h or 7d.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0"
	case d%day == 0 && d > 2*day || d == day:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d/time.Millisecond)
}
