package reconcile

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
)

// memoryFacts are in bytes; 0 is not known, or none.
type memoryFacts struct {
	Total    int64
	HugePage int64 // of one
	HugeAll  int64 // of all that the kernel has reserved
	ARCMax   int64 // the most that OpenZFS takes for its cache; zfs-fuse has none of its own in the kernel
}

// readMemory reads /proc/meminfo (manual page proc_meminfo) and OpenZFS's
// arcstats.
func readMemory(root fs.FS) memoryFacts {
	var m memoryFacts
	lines, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(lines)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "MemTotal":
			m.Total = n << 10
		case "HugePages_Total":
			m.HugeAll = n
		case "Hugepagesize":
			m.HugePage = n << 10
		}
	}
	m.HugeAll *= m.HugePage
	stats, _ := fs.ReadFile(root, "proc/spl/kstat/zfs/arcstats")
	for line := range strings.Lines(string(stats)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "c_max" {
			m.ARCMax, _ = strconv.ParseInt(fields[2], 10, 64)
		}
	}
	return m
}

// defaultBuffers is PostgreSQL's own shared_buffers (chapter "Resource Consumption").
const defaultBuffers = 128 << 20

// bufferBytes reads a value of shared_buffers: a number with a unit, or of blocks
// of 8 KiB (chapter "Parameter Names and Values").
func bufferBytes(value string) (int64, bool) {
	value = strings.TrimSpace(value)
	digits := strings.TrimRight(value, "kMGTB ")
	n, err := strconv.ParseFloat(digits, 64)
	unit, known := map[string]float64{"": 8 << 10, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}[strings.TrimSpace(value[len(digits):])]
	return int64(n * unit), err == nil && known
}

// settingOf is the value that a server starts with: the file's, or what the
// copied configuration says; "" is the default.
func settingOf(name string, set []spec.Setting, files map[string][]byte) string {
	for _, s := range set {
		if strings.EqualFold(s.Name, name) {
			return s.Value
		}
	}
	return conf.Effective(files[mainFile], files[autoFile], files[managedFile])[name]
}

func buffersOf(set []spec.Setting, files map[string][]byte) int64 {
	if n, ok := bufferBytes(settingOf("shared_buffers", set, files)); ok {
		return n
	}
	return defaultBuffers
}

// copiedFiles are the standby's configuration files, where they could be read.
func (p *patient) copiedFiles() map[string][]byte {
	if c := p.cluster(); c != nil {
		return c.Files
	}
	return nil
}

// wantedBuffers is the shared memory of the standby and of the restores and the
// drill that may run beside it.
func (p *patient) wantedBuffers() (standby, clones int64) {
	standby = buffersOf(p.wanted().Conf.Set, p.copiedFiles())
	for _, r := range p.site.Restores {
		clones += buffersOf(r.Conf, nil)
	}
	if p.site.Verify != nil {
		clones += buffersOf(p.site.Drill.Conf, nil)
	}
	return standby, clones
}

// examineMemory: a standby that is short of memory is killed, and restores compete
// with it (pitfall 61).
func examineMemory(p *patient) []DoctorCheck {
	m := p.host.Memory
	if m.Total == 0 {
		return one(unknown("how much memory this host has could not be read", "see /proc/meminfo"))
	}
	if p.wanted() == nil {
		return one(fine("%s of memory", size(m.Total)))
	}
	standby, clones := p.wantedBuffers()
	need := fmt.Sprintf("shared_buffers want %s for the standby and %s for restores and drills; this host has %s", size(standby), size(clones), size(m.Total))
	switch {
	case standby+clones > m.Total:
		return one(fault(need, "lower shared_buffers in standby.conf.set or restoreDefaults.conf.set"))
	case standby+clones+m.ARCMax > m.Total:
		return one(warning(fmt.Sprintf("%s, of which ZFS may take %s for its cache", need, size(m.ARCMax)),
			fmt.Sprintf("limit that cache: echo %d > /sys/module/zfs/parameters/zfs_arc_max, and the same as options zfs zfs_arc_max=%d in /etc/modprobe.d/zfs.conf", arcLimit(m.Total-standby-clones), arcLimit(m.Total-standby-clones))))
	}
	return one(fine("%s", need))
}

// arcLimit leaves half of what is left to everything else.
func arcLimit(left int64) int64 { return max(left/2, 64<<20) }

// examineHugePages: a server with huge_pages=on does not start without them.
func examineHugePages(p *patient) []DoctorCheck {
	s := p.wanted()
	if s == nil || settingOf("huge_pages", s.Conf.Set, p.copiedFiles()) != "on" {
		return nil
	}
	m := p.host.Memory
	standby := buffersOf(s.Conf.Set, p.copiedFiles())
	if m.HugeAll >= standby {
		return one(fine("%s are reserved as huge pages", size(m.HugeAll)))
	}
	pages := int64(0)
	if m.HugePage > 0 {
		pages = (standby*11/10 + m.HugePage - 1) / m.HugePage // a tenth more: shared memory is not buffers alone
	}
	return one(fault(fmt.Sprintf("huge_pages is on, which needs more than %s of them, and the kernel has reserved %s: the standby can't start", size(standby), size(m.HugeAll)),
		fmt.Sprintf("sysctl vm.nr_hugepages=%d, or name huge_pages in standby.conf.disable", pages)))
}

// size is a number of bytes for a person.
func size(n int64) string { return units.BytesSize(float64(n)) }
