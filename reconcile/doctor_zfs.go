package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// zfsFacts are about the tools of ZFS.
type zfsFacts struct {
	Missing      string // the tool that PATH does not have
	Err          string // why they did not answer
	NoModule     bool   // because nothing of ZFS runs
	Abilities    zfs.Abilities
	AbilitiesErr string
	FUSE         bool     // it is zfs-fuse, by what is mounted
	Importable   []string // without a site: pools that could be imported
}

func (z *zfsFacts) setErr(err error) {
	if err == nil {
		return
	}
	z.Err, z.NoModule = err.Error(), errors.Is(err, zfs.ErrNoModule)
}

func examineZFSTools(p *patient) []DoctorCheck {
	if p.zfs.Missing != "" {
		return one(fault(fmt.Sprintf("the program %s was not found in PATH", p.zfs.Missing),
			"apt install zfsutils-linux (Red Hat: dnf install zfs, from the repository of OpenZFS), or zfs-fuse where no kernel module can be had"))
	}
	return one(fine("zfs and zpool were found"))
}

// examineZFSRuns tells of the kernel's module, or of the daemon zfs-fuse.
func examineZFSRuns(p *patient) []DoctorCheck {
	module := p.host.Boot.Module
	switch {
	case p.zfs.Missing != "":
		return nil
	case p.zfs.Err != "" && p.host.EUID != 0:
		return one(unknown("ZFS does not answer an ordinary user: "+p.zfs.Err, "run it with sudo"))
	case p.zfs.NoModule:
		return one(fault("the tools reach no ZFS: "+p.zfs.Err, "modprobe zfs (after a new kernel: apt install linux-headers-$(uname -r) zfs-dkms); for zfs-fuse: systemctl start zfs-fuse"))
	case p.zfs.Err != "":
		return one(fault("ZFS does not answer as it should: "+p.zfs.Err, "zpool status; see the kernel's log: dmesg"))
	case module != "":
		return one(fine("the kernel module is loaded (OpenZFS %s)", module))
	case p.zfs.FUSE:
		return one(fine("zfs-fuse answers"))
	}
	return one(fine("ZFS answers"))
}

// examineAbilities tells what the tools can't do that this program has to do
// another way, or not at all.
func examineAbilities(p *patient) []DoctorCheck {
	a := p.zfs.Abilities
	switch {
	case p.zfs.Missing != "" || p.zfs.NoModule || p.zfs.Err != "" && p.host.EUID != 0: // said already
		return nil
	case p.zfs.AbilitiesErr != "":
		return one(unknown("what the tools can do is not known: "+p.zfs.AbilitiesErr, "zfs; zpool: without arguments, each shows what it can do"))
	case !a.SnapshotMany && p.in != nil && p.wanted() != nil && len(clusterDatasets(p.site, p.in.state)) > 1:
		return one(fault("this zfs takes no snapshot of several datasets at once, and the cluster lies on more than one",
			"keep data directory, pg_wal and tablespaces on one dataset, or install OpenZFS 2.0 or later"))
	}
	var slow []string
	for _, missing := range []struct {
		able bool
		text string
	}{
		{a.DestroyList, "it destroys one snapshot a process"},
		{a.GetTypes, "it lists snapshots together with datasets"},
		{a.PoolGetParsable, "it shows the size of a pool rounded"},
	} {
		if !missing.able {
			slow = append(slow, missing.text)
		}
	}
	if slow != nil {
		return one(fine("the tools can do what is needed, if slowly: %s", strings.Join(slow, ", ")))
	}
	return one(fine("the tools can do all that is needed"))
}

// examinePool is about a pool that is not imported, and about one that is not what
// the file says.
func examinePool(p *patient) []DoctorCheck {
	if p.site == nil {
		if p.zfs.Importable != nil {
			return one(warning("not imported, but importable: "+join(p.zfs.Importable), "zpool import NAME"))
		}
		return nil
	}
	if p.in == nil {
		return nil
	}
	name := p.site.Pool.Name
	var list []DoctorCheck
	for _, c := range append(diffPool(p.in), diffDataset(p.in)...) {
		if c.Action == Block {
			list = append(list, fault(c.Why, c.Mend))
		}
	}
	switch {
	case list != nil:
		return list
	case p.in.state.ZFS.Pool != nil:
		return one(fine("pool %s is imported", name))
	case len(p.in.state.Absent.Importable) > 0:
		return one(warning(fmt.Sprintf("pool %s is not imported, and can be", name), "zreconcile apply, or: zpool import "+name))
	}
	return one(warning(fmt.Sprintf("there is no pool %s yet", name), "zreconcile apply creates it on the devices of pool.vdevs"))
}

func (p *patient) pool() *zfs.Pool {
	if p.in == nil {
		return nil
	}
	return p.in.state.ZFS.Pool
}

func examinePoolHealth(p *patient) []DoctorCheck {
	if pool := p.hung; pool != nil {
		what := fmt.Sprintf("pool %s is %s, and everything that touches its files hangs: nothing on it was looked at%s", pool.Name, zfs.Suspended, listed(pool.Faults()))
		return one(fault(strings.TrimSuffix(what+". "+pool.Status, ". "), fmt.Sprintf("bring its devices back, then: zpool clear %s", pool.Name)))
	}
	pool := p.pool()
	if pool == nil {
		return nil
	}
	what, mend := fmt.Sprintf("pool %s is %s%s. %s", pool.Name, pool.Health, listed(pool.Faults()), pool.Status), poolMend(*pool)
	switch {
	case pool.DataErrors() && pool.Health == poolOnline:
		return one(fault(fmt.Sprintf("pool %s has lost data%s", pool.Name, listed(pool.Faults())), mend))
	case pool.Health != poolOnline:
		return one(fault(what, mend))
	case pool.Faults() != nil:
		return one(warning(what, mend))
	}
	return one(fine("pool %s is ONLINE", pool.Name))
}

// poolMend is what a person can do for a pool with faults. While a disk is written
// anew nothing else can be begun.
func poolMend(pool zfs.Pool) string {
	name := pool.Name
	switch {
	case pool.Resilvering != "":
		return fmt.Sprintf("let the resilver end, and look again; zpool status %s tells how far it is", name)
	case pool.Health != poolOnline:
		return fmt.Sprintf("once the device is back: zpool online %s DEVICE; for a new one: zpool replace %s DEVICE NEW; zpool status -v %s", name, name, name)
	case pool.DataErrors():
		return fmt.Sprintf("zpool status -v %s names the files; what snapshots hold is damaged as well, so let a drill prove them: zreconcile verify; then: zpool clear %s; zpool scrub %s", name, name, name)
	}
	return fmt.Sprintf("zpool scrub -w %s shows whether there are more: then zpool replace %s DEVICE NEW, else zpool clear %s", name, name, name)
}

// listed puts what there is behind a colon.
func listed(facts []string) string {
	if facts == nil {
		return ""
	}
	return ": " + strings.Join(facts, ", ")
}

// scrubAge is after how long a scrub is late: Debian and its like make one each
// month.
const scrubAge = 35 * 24 * time.Hour

// examineScrub is about when the last scrub ended (zpool-scrub(8)).
func examineScrub(p *patient) []DoctorCheck {
	pool := p.pool()
	if pool == nil {
		return nil
	}
	at := pool.Scrubbed
	switch {
	case at.IsZero():
		return one(fine("no scrub of pool %s is told of", pool.Name))
	case p.now.Sub(at) > scrubAge:
		return one(warning(fmt.Sprintf("pool %s was last scrubbed %d days ago: damage that nobody reads goes unnoticed", pool.Name, int(p.now.Sub(at).Hours()/24)),
			fmt.Sprintf("zpool scrub %s, and each month: systemctl enable --now zfs-scrub-monthly@%s.timer", pool.Name, pool.Name)))
	}
	return one(fine("pool %s was scrubbed on %s", pool.Name, at.Format(time.DateOnly)))
}

func examinePoolSpace(p *patient) []DoctorCheck {
	pool := p.pool()
	if pool == nil || pool.Size == 0 {
		return nil
	}
	if why, mend := p.in.spaceBlock(); why != "" {
		return one(warning(why+": no new restore or drill is made", mend))
	}
	free := float64(pool.Free) / float64(pool.Size)
	if free < p.site.Health.Free {
		return one(warning(fmt.Sprintf("%s of %s of pool %s are free, less than health.free", size(pool.Free), size(pool.Size), pool.Name), "zpool add a vdev, or keep less: snapshots.retention, archive.continuousFor"))
	}
	return one(fine("%s of %s are free", size(pool.Free), size(pool.Size)))
}

// nearlyFull is when a dataset has room for so few segments of WAL that archiving
// is about to stop; full is when it can't go on.
const (
	nearlyFull = 16
	full       = 2
)

// examineDatasetSpace is about what the standby itself writes to: a full archive
// stops replay in the end (pitfall 24). quota counts snapshots, refquota does not
// (pitfall 58).
func examineDatasetSpace(p *patient) []DoctorCheck {
	if p.pool() == nil || p.wanted() == nil {
		return nil
	}
	places := clusterDatasets(p.site, p.in.state)
	if p.site.Archive != nil {
		if archive, ok := placeOf(p.site, p.in.state, p.site.Archive.Dir); ok {
			places = append(places, archive)
		}
	}
	var list []DoctorCheck
	seen := map[string]bool{}
	for _, place := range places {
		d, exists := p.in.state.ZFS.Dataset(place.Dataset)
		if !exists || seen[d.Name] {
			continue
		}
		seen[d.Name] = true
		list = append(list, datasetSpace(d, p.in.segmentSize())...)
	}
	for _, d := range p.site.Datasets {
		if seen[d.Name] {
			list = append(list, quotaCountsSnapshots(d)...)
		}
	}
	if list == nil && len(seen) > 0 {
		list = one(fine("the datasets of the standby and of its archive have room"))
	}
	return list
}

func datasetSpace(d zfs.Dataset, segment int64) []DoctorCheck {
	what := fmt.Sprintf("dataset %s has %s left", d.Name, size(d.Available))
	mend := fmt.Sprintf("zfs get quota,refquota,reservation %s; raise what limits it, zpool add a vdev, or keep less", d.Name)
	switch {
	case d.Available < full*segment:
		return one(fault(what+": no WAL can be written there", mend))
	case d.Available < nearlyFull*segment:
		return one(warning(what+", room for few segments of WAL", mend))
	}
	return nil
}

func quotaCountsSnapshots(d spec.Dataset) []DoctorCheck {
	for _, property := range d.Properties {
		if property.Name == "quota" && property.Value != nil && !zfs.SameValue("quota", *property.Value, "none") {
			return one(warning(fmt.Sprintf("the quota of dataset %s counts its snapshots: they will fill it", d.Name), "use refquota instead of quota"))
		}
	}
	return nil
}

// examineMounts: an unmounted dataset looks like an empty folder (pitfall 56).
func examineMounts(p *patient) []DoctorCheck {
	if p.pool() == nil || p.wanted() == nil {
		return nil
	}
	dirs := clusterDirs(p.in)
	if p.site.Archive != nil {
		dirs = append(dirs, p.site.Archive.Dir)
	}
	var list []DoctorCheck
	for _, dir := range dirs {
		list = append(list, blockFault(mountBlock(p.in, dir))...)
	}
	if list == nil {
		list = one(fine("the datasets of the standby and of its archive are mounted where they should be"))
	}
	return list
}
