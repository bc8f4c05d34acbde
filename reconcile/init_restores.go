package reconcile

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// deduceRestores writes an entry for each finished restore of the site. One that
// left its file goes its way, and has none.
func (d *deduction) deduceRestores() {
	defer func() {
		slices.SortFunc(d.site.Restores, func(a, b spec.Restore) int { return strings.Compare(a.Name, b.Name) })
	}()
	for _, have := range d.pool.Datasets {
		m := localMarks(have.Properties)
		if !m.ours(d.site.Name) || m[markRestore] == "" || m[markRestore] == drillName || m[markDataDir] == "" && m[markState] == "" {
			continue
		}
		name := m[markRestore]
		if left := m[markLeftAt]; left != "" {
			d.note("restore %s has no entry: it left its file, or expired, at %s", name, left)
			continue
		}
		if m[markState] != stateReady {
			d.note("restore %s has no entry: it was left unfinished", name)
			continue
		}
		r, err := d.restoreOf(have, m, d.clones[have.Name])
		if err != nil {
			d.note("restore %s has no entry: %v", name, err)
			continue
		}
		d.site.Restores = append(d.site.Restores, r)
		d.remark("restores."+name, "write expiresAfter anew, if it had one: the host does not tell")
	}
}

// whyRestore stands beside the settings of a clone that its entry asks for.
func whyRestore(name string) string { return "restores: " + name + ": conf.set" }

// restoreOf is the entry of a clone, by its marks and its files.
func (d *deduction) restoreOf(have zfs.Dataset, m marks, files map[string][]byte) (spec.Restore, error) {
	r := spec.Restore{Name: m[markRestore], Dataset: have.Name, Port: int(m.int(markPort)), ListenAddresses: "localhost", Action: "pause",
		Grace: time.Duration(m.int(markGrace)) * time.Second, Keep: m[markKeep] == "on"}
	var err error
	if r.Target, err = parseTarget(m[markTarget]); err != nil {
		return r, err
	}
	if contains(d.local[have.Name], "mountpoint") {
		r.Mountpoint = withoutAltRoot(path.Clean(have.Mountpoint), d.pool.Pool.AltRoot)
	}
	for _, p := range d.propertiesOf(have) {
		if p.Name != "mountpoint" && p.Name != "canmount" {
			r.Properties = append(r.Properties, p)
		}
	}
	_, settings := conf.Rendered(files[managedFile])
	for _, s := range settings {
		switch {
		case s.Why == whyRestore(r.Name):
			r.Conf = append(r.Conf, spec.Setting{Name: s.Name, Value: s.Value})
		case s.Name == "listen_addresses":
			r.ListenAddresses = s.Value
		case s.Name == "recovery_target_action":
			r.Action = s.Value
		}
	}
	if r.ListenAddresses != "localhost" { // its own rules are asked for then
		r.HBA = rulesOf(files[hbaFile])
	}
	return r, nil
}

// rulesOf are the rules of a pg_hba.conf below our own.
func rulesOf(hba []byte) []string {
	var rules []string
	for line := range bytes.Lines(hba) {
		text := strings.TrimSpace(string(line))
		_, own := conf.HBARole(line)
		if text != "" && !strings.HasPrefix(text, "#") && !own {
			rules = append(rules, text)
		}
	}
	return rules
}

// parseTarget reads a target as targetText writes it.
func parseTarget(mark string) (spec.Target, error) {
	kind, value, _ := strings.Cut(mark, " ")
	var t spec.Target
	switch kind {
	case "time":
		at, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			return t, fmt.Errorf("its mark %s is %q, which holds no time", markTarget, mark)
		}
		t.Time = at.UTC()
	case "lsn":
		t.LSN, t.Stop, _ = strings.Cut(value, " ")
	case "xid":
		t.XID, t.Stop, _ = strings.Cut(value, " ")
	case "restorePoint":
		t.RestorePoint = value
	case "snapshot":
		t.Snapshot = value
	case "latest":
		t.Latest = true
	}
	if targetText(t) != mark || mark == "" {
		return t, fmt.Errorf("its mark %s is %q, which is no target that this version knows", markTarget, mark)
	}
	return t, nil
}
