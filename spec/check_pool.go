package spec

import (
	"path"
	"strconv"
	"strings"
)

// minDevices is how many devices a kind of vdev needs (zpoolconcepts(7)).
var minDevices = map[string]int{"mirror": 2, "raidz1": 2, "raidz2": 3, "raidz3": 4}

func (d *draft) checkPool() {
	pool, n := d.site.Pool, d.root.get("pool")
	if pool.Name != "" {
		if err := checkPoolName(pool.Name); err != nil {
			d.errorf(n.get("name"), "", "%v", err)
		}
	}
	devices, normal := distinct[string]{d: d}, false
	for i, v := range n.get("vdevs").list() {
		vdev := pool.Vdevs[i]
		normal = normal || vdev.Class == ""
		d.checkVdev(vdev, v)
		for _, device := range v.get("devices").list() {
			name := device.textOr("")
			if d.checkClean(device, "device", name) {
				devices.add("device", name, device, "vdevs["+strconv.Itoa(i)+"]")
			}
		}
	}
	if len(pool.Vdevs) > 0 && !normal {
		d.errorf(n.get("vdevs"), "add a vdev without class", "a pool needs a vdev for normal data, and each of these has a class")
	}
	for _, device := range n.get("overwrite").list() {
		name := device.textOr("")
		if _, found := devices.first[path.Clean(name)]; name != "" && !found {
			d.errorf(device, suggest(name, sortedKeys(devices.first)), "overwrite names %s, which is no device of vdevs", name)
		}
	}
	d.checkAshift(n.get("properties", "ashift"))
	d.checkProperties(n.get("properties"))
	d.checkProperties(n.get("rootProperties"))
}

func (d *draft) checkVdev(vdev Vdev, n *node) {
	if least := minDevices[vdev.Type]; len(n.get("devices").list()) > 0 && len(vdev.Devices) < least {
		d.errorf(n.get("devices"), "", "a %s needs at least %d devices, and this one has %d", vdev.Type, least, len(vdev.Devices))
	}
	if vdev.Type == "" {
		return
	}
	switch {
	case vdev.Class == "cache" || vdev.Class == "spare":
		d.errorf(n.get("type"), "leave out type", "a vdev of class %s takes no type: its devices stand side by side", vdev.Class)
	case vdev.Class == "log" && vdev.Type != "mirror":
		d.errorf(n.get("type"), "use mirror, or leave out type", "a log can't be %s", vdev.Type)
	}
}

// checkAshift bounds ashift to the sector sizes of 512 bytes to 64 KiB
// (zpoolprops(7)).
func (d *draft) checkAshift(n *node) {
	if !n.given() {
		return
	}
	if shift, err := strconv.Atoi(n.text); err != nil || shift < 9 || shift > 16 {
		d.errorf(n, "12 is 4 KiB sectors, 13 is 8 KiB", "ashift must be from 9 to 16, not %s", n.text)
	}
}

// checkProperties keeps this program's own marks out of the file's hands.
func (d *draft) checkProperties(n *node) {
	for _, m := range n.members() {
		if strings.HasPrefix(m.key, "zreconcile:") {
			d.errorf(m.value, "", "the property %s is one of this program's own marks", m.key)
		}
	}
}

func (d *draft) checkDatasets() {
	names := distinct[string]{d: d}
	for i, n := range d.datasets {
		d.checkProperties(n.get("properties"))
		name := n.get("name")
		if text := name.textOr(""); text != "" && d.checkDataset(name, text) {
			names.add("dataset", d.site.Datasets[i].Name, name, "datasets["+strconv.Itoa(i)+"]")
		}
	}
}

// checkDataset tells whether a relative name is one, and reports when not.
func (d *draft) checkDataset(n *node, name string) bool {
	hint, err := checkDatasetName(d.site.Pool.Name, name)
	if err != nil {
		d.errorf(n, hint, "%v", err)
	}
	return err == nil
}

// checkClean tells whether a path is absolute and has no detours, and reports
// when not. A path that the schema refused is not reported again.
func (d *draft) checkClean(n *node, what, name string) bool {
	if name == "" {
		return false
	}
	if !path.IsAbs(name) {
		d.errorf(n, "", "the %s %s is not an absolute path", what, name)
		return false
	}
	if clean := path.Clean(name); clean != name {
		d.errorf(n, "write "+clean, "the %s %s has a detour in its path", what, name)
		return false
	}
	return true
}
