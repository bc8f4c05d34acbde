package reconcile

import (
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// selinuxFacts are empty where the kernel has no SELinux.
type selinuxFacts struct {
	Enforcing bool
	Label     string // of the data directory: user:role:type:level
}

// readSELinux reads the mode from selinuxfs, and the label from the extended
// attribute that holds it (manual page xattr).
func readSELinux(root fs.FS, dataDir string) selinuxFacts {
	mode, _ := fs.ReadFile(root, "sys/fs/selinux/enforce")
	f := selinuxFacts{Enforcing: strings.TrimSpace(string(mode)) == "1"}
	if !f.Enforcing {
		return f
	}
	label := make([]byte, 256)
	if n, err := unix.Lgetxattr(dataDir, "security.selinux", label); err == nil {
		f.Label = strings.TrimRight(string(label[:n]), "\x00")
	}
	return f
}

// databaseType is the type that the policy lets a server of systemd's open.
const databaseType = "postgresql_db_t"

func examineSELinux(p *patient) []DoctorCheck {
	f := p.host.SELinux
	if p.wanted() == nil || !f.Enforcing {
		return nil
	}
	dir := p.wanted().DataDir
	if f.Label == "" {
		return one(unknown(fmt.Sprintf("SELinux is enforcing, and the label of %s could not be read", dir), "ls -Zd "+dir))
	}
	fields := strings.Split(f.Label, ":")
	if len(fields) >= 3 && fields[2] == databaseType {
		return one(fine("SELinux is enforcing, and %s has its label", dir))
	}
	what := fmt.Sprintf("SELinux is enforcing, and %s has the label %s, not one of the type %s", dir, f.Label, databaseType)
	mend := fmt.Sprintf("semanage fcontext -a -t %s '%s(/.*)?'; restorecon -R %s; the same for archive and sockets", databaseType, dir, dir)
	if p.host.Systemd && p.wanted().Supervisor != "process" {
		return one(fault(what+": a unit's server may not open it", mend))
	}
	return one(warning(what, mend))
}
