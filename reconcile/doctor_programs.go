package reconcile

import (
	"fmt"
	"io/fs"
	"path"

	"github.com/zreconcile/zreconcile/postgres"
)

// programFacts are about the PostgreSQL that is installed here.
type programFacts struct {
	Wanted    int      // the major version that the cluster or its primary has; 0 is not known
	Dir       string   // of its programs
	Missing   string   // why they were not found
	Installed []string // folders with servers
	Amcheck   answer
}

// answer to a question that can't always be answered.
type answer int

const (
	notKnown answer = iota
	yes
	no
)

// installedServers looks where packages put servers.
func installedServers(root fs.FS) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/postgresql/*/bin/postgres", "usr/pgsql-*/bin/postgres", "usr/local/pgsql/bin/postgres"} {
		files, _ := fs.Glob(root, pattern)
		for _, f := range files {
			dirs = append(dirs, "/"+path.Dir(f))
		}
	}
	return dirs
}

// lookAtPrograms finds those of the version that the cluster has, or the primary
// that it will be copied from.
func (h *Host) lookAtPrograms(p *patient) {
	f := &p.server
	if c := p.cluster(); c != nil && c.Content == DirCluster {
		f.Wanted, _ = (&postgres.Cluster{DataDir: p.wanted().DataDir}).PGVersion() // the state says why not
	}
	if f.Wanted == 0 && p.primary.Info != nil {
		f.Wanted = p.primary.Info.Major
	}
	if f.Wanted == 0 {
		return
	}
	var err error
	if f.Dir, err = postgres.FindBinaries(p.wanted().BinDir, f.Wanted); err != nil {
		f.Missing = err.Error()
	}
}

func examinePrograms(p *patient) []DoctorCheck {
	f := p.server
	const install = "install the server's package (Debian: postgresql-N; Red Hat, from postgresql.org: postgresqlN-server), or name its folder as standby.binDir"
	switch {
	case f.Missing != "":
		return one(fault(f.Missing, fmt.Sprintf("apt install postgresql-%d, or name the folder as standby.binDir", f.Wanted)))
	case f.Dir != "":
		return one(fine("PostgreSQL %d is in %s, with pg_basebackup", f.Wanted, f.Dir))
	case len(f.Installed) == 0:
		return one(warning("no server of PostgreSQL was found where packages put it", install))
	case p.wanted() == nil:
		return one(fine("servers of PostgreSQL are in %s", join(f.Installed)))
	}
	return one(unknown(fmt.Sprintf("which version the primary has is not known; here are %s", join(f.Installed)), install))
}

// findAmcheck asks the running standby, or looks where the extension's control
// file stands beside the programs.
func (p *patient) findAmcheck(root fs.FS) answer {
	if p.standby.Amcheck != notKnown || p.server.Dir == "" {
		return p.standby.Amcheck
	}
	bin := p.server.Dir[1:]
	known := false
	for _, share := range []string{
		fmt.Sprintf("usr/share/postgresql/%d", p.server.Wanted),
		path.Join(bin, "../share"), path.Join(bin, "../share/postgresql"),
	} {
		if _, err := fs.Stat(root, path.Join(share, "extension/plpgsql.control")); err == nil {
			known = true
		}
		if _, err := fs.Stat(root, path.Join(share, "extension/amcheck.control")); err == nil {
			return yes
		}
	}
	if known {
		return no
	}
	return notKnown
}

// examineAmcheck is about the extension that drills want (pitfall 60).
func examineAmcheck(p *patient) []DoctorCheck {
	if p.site == nil || p.site.Verify == nil || !p.site.Verify.Amcheck || p.server.Wanted == 0 {
		return nil
	}
	mend := fmt.Sprintf("install the server's additional modules (Debian: postgresql-%d; Red Hat, from postgresql.org: postgresql%d-contrib)", p.server.Wanted, p.server.Wanted)
	switch p.server.Amcheck {
	case yes:
		return one(fine("drills have the extension amcheck"))
	case no:
		return one(fault("verify.amcheck wants the extension amcheck, which is not installed: drills fail", mend))
	}
	return one(unknown("whether the extension amcheck is installed is not known", mend))
}
