package reconcile

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// patient is all that the doctor decides from, as plain data.
type patient struct {
	site     *spec.Site // nil: there is no site file
	in       *view      // nil: the pool could not be read, or there is no site
	failures []string   // what could not be observed, beside those of the state
	hung     *zfs.Pool  // the pool, where it is suspended: in is nil then
	now      time.Time

	host    hostFacts
	zfs     zfsFacts
	server  programFacts
	primary primaryFacts
	standby standbyFacts
}

// hostFacts are about the machine.
type hostFacts struct {
	EUID    int
	Systemd bool // it runs the services here
	Memory  memoryFacts
	SELinux selinuxFacts
	Files   []fileRights // the site file, those of site.d, and their folders
	User    postgres.OSUser
	UserErr string
	Rivals  []rival
	Boot    bootFacts
	Units   []unitFacts
}

// standby is what is wanted as standby; nil is none.
func (p *patient) wanted() *spec.Standby {
	if p.site == nil {
		return nil
	}
	return p.site.Standby
}

// cluster is the observed data directory; nil where nothing could be observed.
func (p *patient) cluster() *Cluster {
	if p.in == nil || p.wanted() == nil {
		return nil
	}
	return &p.in.state.Cluster
}

// rootFS is the host's file system, as io/fs names it: without the leading slash.
func rootFS() fs.FS { return os.DirFS("/") }

// lookAt observes, and changes nothing. What fails is told, and the rest goes on.
func (h *Host) lookAt(ctx context.Context, site *spec.Site, now time.Time) *patient {
	p := &patient{site: site, now: now}
	root := rootFS()
	_, err := fs.Stat(root, "run/systemd/system") // the documented test (manual page sd_booted)
	p.host.EUID, p.host.Systemd = os.Geteuid(), err == nil
	p.host.Memory = readMemory(root)
	p.host.Boot = readBoot(root)
	h.lookAtZFS(ctx, p)
	p.server.Installed = installedServers(root)
	if site == nil {
		return p
	}
	p.host.Files = siteFileRights(site)
	if p.zfs.Missing == "" {
		h.lookAtState(ctx, p)
	}
	if site.Standby == nil {
		return p
	}
	if p.host.User, err = postgres.LookupOSUser(site.Standby.OSUser); err != nil {
		p.host.UserErr = err.Error()
	}
	if p.hung == nil { // whoever asks a file there for its label hangs
		p.host.SELinux = readSELinux(root, site.Standby.DataDir)
	}
	p.host.Rivals = readRivals(root)
	h.lookAtPrimary(ctx, p)
	h.lookAtPrograms(p)
	h.lookAtStandby(ctx, p)
	p.server.Amcheck = p.findAmcheck(root)
	h.lookAtUnits(ctx, p)
	return p
}

// lookAtZFS asks the tools what they are.
func (h *Host) lookAtZFS(ctx context.Context, p *patient) {
	for _, name := range []string{"zfs", "zpool"} {
		if _, err := exec.LookPath(name); err != nil {
			p.zfs.Missing = name
			return
		}
	}
	abilities, err := h.ZFS.Abilities(ctx)
	if err != nil {
		p.zfs.AbilitiesErr = err.Error()
	}
	p.zfs.Abilities = abilities
	if p.site != nil {
		return // its pool is asked for
	}
	found, err := h.ZFS.Importable(ctx, nil)
	p.zfs.setErr(err)
	for _, pool := range found {
		p.zfs.Importable = append(p.zfs.Importable, pool.Name)
	}
}

// lookAtState observes as a status does: the primary is asked apart.
func (h *Host) lookAtState(ctx context.Context, p *patient) {
	state, err := h.observe(ctx, p.site, p.now, false)
	if isKind(err, zfs.ErrSuspended) {
		if p.hung = state.ZFS.Pool; p.hung == nil { // it became so between two commands
			p.hung = &zfs.Pool{Name: p.site.Pool.Name, Health: zfs.Suspended, Suspended: true}
		}
		return
	}
	if err != nil {
		p.zfs.setErr(err)
		p.failures = append(p.failures, err.Error())
		return
	}
	p.in = &view{site: p.site, state: &state, now: p.now}
	p.zfs.FUSE = p.zfs.FUSE || usesFUSE(state.Mounts)
}

func usesFUSE(mounts []zfs.Mount) bool {
	for _, m := range mounts {
		if m.FSType == "fuse.zfs" {
			return true
		}
	}
	return false
}

// siteFileRights reads who may write what root will act upon.
func siteFileRights(site *spec.Site) []fileRights {
	var list []fileRights
	seen := map[string]bool{}
	for _, file := range site.Files {
		for _, path := range []string{file, filepath.Dir(file)} {
			if r, err := rightsOf(path, os.Stat); err == nil && !seen[path] {
				seen[path] = true
				list = append(list, r)
			}
		}
	}
	return list
}
