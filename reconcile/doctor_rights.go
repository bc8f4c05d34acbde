package reconcile

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/zreconcile/zreconcile/postgres"
)

// fileRights are whose a file is, and who may do what with it.
type fileRights struct {
	Path string
	UID  uint32
	Mode fs.FileMode // permissions and the sticky bit
	Dir  bool
}

func rightsOf(path string, stat func(string) (fs.FileInfo, error)) (fileRights, error) {
	info, err := stat(path)
	if err != nil {
		return fileRights{}, err
	}
	r := fileRights{Path: path, Mode: info.Mode() & (fs.ModePerm | fs.ModeSticky), Dir: info.IsDir()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		r.UID = st.Uid
	}
	return r, nil
}

func examineRoot(p *patient) []DoctorCheck {
	if p.host.EUID == 0 {
		return one(fine("this is root"))
	}
	return one(warning("this is an ordinary user: what only root may see is unknown", "run it with sudo"))
}

// examineSiteFiles: whoever may write the file, or put another one in its place,
// decides what root does here.
func examineSiteFiles(p *patient) []DoctorCheck {
	if p.site == nil {
		return one(unknown("there is no site file: only the host itself was looked at", "write /etc/zreconcile/site.yaml, or name one with -f"))
	}
	var list []DoctorCheck
	for _, f := range p.host.Files {
		switch {
		case f.Mode&0o022 != 0 && !(f.Dir && f.Mode&fs.ModeSticky != 0):
			list = append(list, warning(fmt.Sprintf("%s can be written by others than its owner (mode %04o), and root does what stands there", f.Path, f.Mode.Perm()), "chmod go-w "+f.Path))
		case f.UID != 0 && p.host.EUID == 0:
			list = append(list, warning(fmt.Sprintf("%s belongs to the uid %d, and root does what stands there", f.Path, f.UID), "chown root "+f.Path))
		}
	}
	if list == nil {
		list = one(fine("%s can be written by its owner alone", p.site.File))
	}
	return list
}

func examineOSUser(p *patient) []DoctorCheck {
	switch {
	case p.wanted() == nil:
		return nil
	case p.host.UserErr != "":
		return one(fault(p.host.UserErr, fmt.Sprintf("useradd --system --user-group %s, or correct standby.osUser", p.wanted().OSUser)))
	}
	return one(fine("%s has the uid %d", p.host.User.Name, p.host.User.UID))
}

// examineOwner: after a pool came from another host, its files belong to the uid
// that the user had there.
func examineOwner(p *patient) []DoctorCheck {
	if p.wanted() == nil || p.host.UserErr != "" || len(p.standby.Dirs) == 0 {
		return nil
	}
	user := p.host.User
	var list []DoctorCheck
	for _, d := range p.standby.Dirs {
		if d.UID != user.UID {
			list = append(list, fault(fmt.Sprintf("%s belongs to the uid %d, and %s has the uid %d, as after the pool came from another host", d.Path, d.UID, user.Name, user.UID),
				fmt.Sprintf("stop the server, then: chown -R %s: %s", user.Name, clusterTop(p, d.Path))))
		}
	}
	if list == nil {
		for _, d := range p.standby.Dirs {
			if d.Path == p.wanted().DataDir && d.Mode&0o027 != 0 { // PostgreSQL starts with 0700 and 0750 alone
				return one(fault(fmt.Sprintf("%s has the mode %04o, with which PostgreSQL does not start", d.Path, d.Mode.Perm()), "chmod 0700 "+d.Path))
			}
		}
		list = one(fine("data directory and archive belong to %s", user.Name))
	}
	return list
}

// clusterTop is the directory of the site that a path lies in.
func clusterTop(p *patient, path string) string {
	if under(path, p.wanted().DataDir) {
		return p.wanted().DataDir
	}
	return path
}

// examinePassfile is about libpq's file, which it ignores where others can read it.
func examinePassfile(p *patient) []DoctorCheck {
	f := p.standby.Passfile
	if f == nil || p.host.UserErr != "" {
		return nil
	}
	switch {
	case f.Mode&0o077 != 0:
		return one(fault(fmt.Sprintf("%s has the mode %04o: others can read the password, and the server ignores it", f.Path, f.Mode.Perm()), "chmod 0600 "+f.Path))
	case f.UID != p.host.User.UID:
		return one(fault(fmt.Sprintf("%s belongs to the uid %d, and the server can't read it", f.Path, f.UID), "zreconcile apply, or: chown "+p.host.User.Name+": "+f.Path))
	}
	return one(fine("%s can be read by %s alone", f.Path, p.host.User.Name))
}

// clusterFiles are those whose owner tells of all: a chown that was broken off,
// or that left out what is below, shows too.
func clusterFiles(dataDir string) []string {
	return []string{dataDir, filepath.Join(dataDir, "PG_VERSION"), filepath.Join(dataDir, "global", "pg_control"), filepath.Join(dataDir, "base")}
}

// userOf is the account that a cluster's programs run as; false where it is not known.
func (p *patient) userOf() (postgres.OSUser, bool) { return p.host.User, p.host.UserErr == "" }
