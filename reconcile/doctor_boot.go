package reconcile

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// bootFacts tell what happens to the pool when the host starts.
type bootFacts struct {
	Enabled []string // names of units that a target of systemd's wants, sorted
	Cache   []byte   // of pools to import (manual page zpoolprops, cachefile); nil is none
	Module  string   // version of the loaded kernel module; "" is none
	Listed  []string // pools that zfs-mount-generator knows (its manual page)
}

const poolCache = "etc/zfs/zpool.cache"

func readBoot(root fs.FS) bootFacts {
	var b bootFacts
	for _, pattern := range []string{"etc/systemd/system/*.wants/*", "usr/lib/systemd/system/*.wants/*"} {
		links, _ := fs.Glob(root, pattern)
		for _, link := range links {
			b.Enabled = append(b.Enabled, path.Base(link))
		}
	}
	slices.Sort(b.Enabled)
	b.Enabled = slices.Compact(b.Enabled)
	b.Cache, _ = fs.ReadFile(root, poolCache)
	version, _ := fs.ReadFile(root, "sys/module/zfs/version")
	b.Module = strings.TrimSpace(string(version))
	lists, _ := fs.Glob(root, "etc/zfs/zfs-list.cache/*")
	for _, list := range lists {
		b.Listed = append(b.Listed, path.Base(list))
	}
	return b
}

// examineImportAtBoot: systemd imports the pools of the cache file, and where there
// is no such file, all that it finds (the conditions of zfs-import-cache.service
// and zfs-import-scan.service); then zfs-mount.service mounts.
func examineImportAtBoot(p *patient) []DoctorCheck {
	pool := p.pool()
	if pool == nil {
		return nil
	}
	if !p.host.Systemd {
		return one(unknown("no systemd runs here: whether the pool is imported at boot can't be told",
			fmt.Sprintf("see that the host's start scripts run zpool import %s, zfs mount -a and then zreconcile watch", pool.Name)))
	}
	enabled := func(unit string) bool { return slices.Contains(p.host.Boot.Enabled, unit) }
	if p.zfs.FUSE {
		if enabled("zfs-fuse.service") {
			return one(fine("zfs-fuse starts at boot, with its pools"))
		}
		return one(warning("zfs-fuse is not enabled: the pool is not there after a boot", "systemctl enable zfs-fuse"))
	}
	const enable = "systemctl enable zfs-import-cache.service zfs-import.target zfs-mount.service zfs.target"
	setCache := fmt.Sprintf("zpool set cachefile=/%s %s; %s", poolCache, pool.Name, enable)
	cached := len(p.host.Boot.Cache) > 0
	switch {
	case pool.Properties["cachefile"].Value == "none":
		return one(fault(fmt.Sprintf("pool %s has cachefile=none: it is not imported at boot", pool.Name), setCache))
	case cached && !bytes.Contains(p.host.Boot.Cache, []byte(pool.Name)):
		return one(fault(fmt.Sprintf("pool %s is not in /%s: it is not imported at boot", pool.Name, poolCache), setCache))
	case cached && !enabled("zfs-import-cache.service"), !cached && !enabled("zfs-import-scan.service"):
		return one(fault(fmt.Sprintf("no enabled unit imports pool %s at boot", pool.Name), setCache))
	case !enabled("zfs-mount.service") && !slices.Contains(p.host.Boot.Listed, pool.Name):
		return one(fault(fmt.Sprintf("no enabled unit mounts the datasets of pool %s at boot", pool.Name), enable))
	}
	return one(fine("pool %s is imported and mounted at boot", pool.Name))
}

// unstableName are names that the kernel gives in the order in which it finds
// devices: another one may bear them after the next boot (pitfall 55).
var unstableName = regexp.MustCompile(`^/dev/(sd|vd|xvd|hd|nvme|mmcblk|loop|dm-)[a-z0-9]*$`)

func examineDeviceNames(p *patient) []DoctorCheck {
	if p.site == nil || p.in == nil {
		return nil
	}
	pool := p.pool()
	var names []string
	if pool == nil {
		for _, v := range p.site.Pool.Vdevs {
			names = append(names, unstable(v.Devices)...)
		}
		if names == nil {
			return nil
		}
		return one(warning("the file names devices that may be called otherwise after the next boot: "+join(names), "name them as ls -l /dev/disk/by-id does"))
	}
	for _, v := range pool.Vdevs {
		for _, d := range v.Devices {
			names = append(names, unstable([]string{d.Path})...)
		}
	}
	if names == nil {
		return one(fine("the devices of pool %s have lasting names", pool.Name))
	}
	return one(warning(fmt.Sprintf("pool %s is on devices that may be called otherwise after the next boot: %s", pool.Name, join(names)),
		fmt.Sprintf("stop the servers on it; zpool export %s; zpool import -d /dev/disk/by-id %s; and name them so in pool.vdevs", pool.Name, pool.Name)))
}

func unstable(devices []string) []string {
	var names []string
	for _, d := range devices {
		if unstableName.MatchString(d) {
			names = append(names, d)
		}
	}
	return names
}
