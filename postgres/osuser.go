// Package postgres is a typed client of one local PostgreSQL cluster and of the
// primary that it follows, for PostgreSQL 12 to 18. It runs the programs of the
// server (pg_ctl, pg_basebackup, pg_controldata ...) as the user that owns the
// data, and treats that user's folders as hostile ground: as root it follows no
// link in them.
package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// OSUser is the account that owns the data directory and runs the server.
type OSUser struct {
	Name     string
	UID, GID uint32
	Groups   []uint32 // supplementary groups, such as ssl-cert
	Home     string
}

// LookupOSUser reads the account called name from the user database.
func LookupOSUser(name string) (OSUser, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return OSUser{}, fmt.Errorf("the operating system has no user %q: install the PostgreSQL server package, or name its user as standby.osUser: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return OSUser{}, fmt.Errorf("user %q has the uid %q, which is no number", name, u.Uid)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return OSUser{}, fmt.Errorf("user %q has the gid %q, which is no number", name, u.Gid)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return OSUser{}, fmt.Errorf("reading the groups of user %q: %w", name, err)
	}
	groups := make([]uint32, 0, len(ids))
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups = append(groups, uint32(g))
		}
	}
	return OSUser{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Groups: groups, Home: u.HomeDir}, nil
}

// Credential is what a child process needs to run as u, and nil when this
// process already does.
func (u OSUser) Credential() *syscall.Credential {
	if os.Geteuid() == int(u.UID) {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// own gives an open file to u. It works on the descriptor, so a link put in the
// file's place meanwhile leads nowhere.
func (u OSUser) own(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil // what we make is already ours, and so u's
	}
	return f.Chown(int(u.UID), int(u.GID))
}

func owned(info os.FileInfo, u OSUser) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == u.UID
}

// ownFolder opens the folder at path, made with mode 0700 for u when it is
// missing. What is above it is trusted; it may itself stand in a folder of u's,
// so a link in its place is not followed out of there.
func (u OSUser) ownFolder(path string) (*os.Root, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	parent, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	name := filepath.Base(path)
	err = parent.Mkdir(name, 0o700)
	if err == nil && os.Geteuid() == 0 {
		err = parent.Lchown(name, int(u.UID), int(u.GID))
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return parent.OpenRoot(name)
}
