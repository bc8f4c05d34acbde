package reconcile

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// deduceStandby writes the standby, if there is one that a site file can say.
func (d *deduction) deduceStandby() bool {
	c := d.cluster
	if c == nil {
		d.note("no standby was found on pool %s, so the file has none: examples/site.yaml shows how to write one", d.site.Pool.Name)
		return false
	}
	m, _ := zfs.Holding(d.mounts, c.dataDir)
	c.dataset, c.mount = m.Source, m.Target
	s := &spec.Standby{DataDir: c.dataDir, ListenAddresses: c.settings["listen_addresses"], OSUser: c.user.Name, BinDir: c.binDir,
		Supervisor: "auto", Restart: "auto", AdminDatabase: "postgres", Basebackup: spec.Basebackup{Checkpoint: "fast"}, Conf: spec.Conf{Unsupported: "disable"}}
	p, told, err := primaryOf(c)
	if err == nil {
		err = d.placeStandby(s)
	}
	if err != nil {
		d.note("the standby in %s is not written: %v", c.dataDir, err)
		return false
	}
	d.notes = append(d.notes, told...)
	d.site.Standby, s.Primary = s, p
	s.Port, s.SocketDir = c.portAndSocket()
	if s.SocketDir == "" {
		s.SocketDir = path.Join("/run/zreconcile", d.site.Name)
	}
	if role, managed := conf.HBARole(c.files[hbaFile]); managed && c.bootstrap != "" && c.bootstrap != role {
		s.AdminRole = role
	}
	if c.systemd && c.managedBy != "" && !c.unit {
		s.Supervisor = "process"
	}
	d.deduceConf(s)
	d.deducePassword(s)
	d.deduceTablespaces(s)
	return true
}

// placeStandby wants its folders where a site file may have them.
func (d *deduction) placeStandby(s *spec.Standby) error {
	c := d.cluster
	if c.dataDir == c.mount {
		return fmt.Errorf("it is the mountpoint of %s itself, and must lie below: stop it, move its files into a folder of their own (mkdir %s/data), and start it there", c.dataset, c.mount)
	}
	onPool := func(dir string) bool {
		m, ok := zfs.Holding(d.mounts, dir)
		return ok && m.IsZFS() && poolOf(m.Source) == d.site.Pool.Name && m.Target != dir
	}
	if dir := c.storage.WALDir; dir != "" {
		if !onPool(dir) {
			return fmt.Errorf("its pg_wal is a link to %s, which lies below no mountpoint of pool %s", dir, d.site.Pool.Name)
		}
		s.WALDir = dir
	}
	for _, oid := range namesOf(c.storage.Tablespaces) {
		if dir := c.storage.Tablespaces[oid]; !onPool(dir) {
			return fmt.Errorf("its tablespace %s is at %s, which lies below no mountpoint of pool %s", oid, dir, d.site.Pool.Name)
		}
	}
	return nil
}

// portAndSocket are those of the running server, else of its files.
func (c *foundCluster) portAndSocket() (port int, socketDir string) {
	if port = c.process.Port; port == 0 || !c.process.Running {
		port, _ = strconv.Atoi(c.settings["port"])
	}
	socketDir = c.process.SocketDir
	if socketDir == "" || !c.process.Running {
		first, _, _ := strings.Cut(c.settings["unix_socket_directories"], ",")
		socketDir = strings.TrimSpace(first)
	}
	if !path.IsAbs(socketDir) {
		return port, ""
	}
	return port, path.Clean(socketDir)
}

// whySet stands beside the settings of a managed file that the site file asks for.
const whySet = "standby.conf.set"

// deduceConf writes what the site file must have asked for: the settings of the
// managed file that it brought, and the patterns by which lines were taken out.
// What a server reads from outside of its data directory is asked for as well:
// under zreconcile it reads what is inside.
func (d *deduction) deduceConf(s *spec.Standby) {
	c := d.cluster
	_, managed := conf.Rendered(c.files[managedFile])
	for _, m := range managed {
		if m.Why == whySet {
			s.Conf.Set = append(s.Conf.Set, spec.Setting{Name: m.Name, Value: m.Value})
		}
	}
	s.Conf.Disable = unique(append(conf.Disabled(c.files[mainFile]), conf.Disabled(c.files[autoFile])...))
	if c.outside == nil || c.managedBy != "" {
		return
	}
	outside, inside := effective(c.outside), effective(c.files[autoFile])
	for _, name := range namesOf(outside) {
		switch _, again := inside[name]; {
		case again || spec.Managed(name):
		case strings.Contains(name, "passphrase") || hidden(outside[name]) != outside[name]:
			d.note("the setting %s of %s is left out, since it may hold a password: put it into postgresql.conf of the data directory", name, c.confFile)
		default:
			s.Conf.Set = append(s.Conf.Set, spec.Setting{Name: name, Value: outside[name]})
		}
	}
	d.remark("standby.conf.set", "from %s, which this server reads now; under zreconcile it reads the files of its data directory", c.confFile)
}

// deducePassword says where the password is, or where to put it: it never
// stands in the file.
func (d *deduction) deducePassword(s *spec.Standby) {
	const key = "standby.primary.passwordFrom"
	p := &d.cluster.password
	switch {
	case p.inline:
		s.Primary.PasswordFrom = spec.PasswordFrom{File: passwordFile}
		d.remark(key, "put it there: it stands in primary_conninfo now")
		d.note("put the primary's password, which stands in the standby's primary_conninfo, alone into %s, root's and of mode 0600", passwordFile)
	case p.passfile != "":
		s.Primary.PasswordFrom = spec.PasswordFrom{File: passwordFile}
		d.remark(key, "put it there")
		d.note("the password of the primary could not be read (%s): put it alone into %s, root's and of mode 0600", p.passfile, passwordFile)
	case p.from.Passfile != "" && d.cluster.managedBy != "":
		d.remark(key, "the standby's own copy. Better: {file: %s}", passwordFile)
		d.note("the file takes the primary's password from the standby's own copy, which a new host does not have: put it alone into %s, root's and of mode 0600, and write passwordFrom: {file: %s}", passwordFile, passwordFile)
	}
}

// deduceTablespaces pairs the folders here with those of the primary.
func (d *deduction) deduceTablespaces(s *spec.Standby) {
	c := d.cluster
	for _, oid := range namesOf(c.storage.Tablespaces) {
		from, to := c.locations[oid], c.storage.Tablespaces[oid]
		if from == "" {
			from = to
			d.remark("standby.tablespaces", "guessed: the left side is where each is on the primary: select oid, pg_tablespace_location(oid) from pg_tablespace")
			d.note("where the primary keeps the tablespace %s is not known; standby.tablespaces guesses that it is %s", oid, from)
		}
		s.Tablespaces = append(s.Tablespaces, spec.Tablespace{From: from, To: to})
	}
	slices.SortFunc(s.Tablespaces, func(a, b spec.Tablespace) int { return strings.Compare(a.From, b.From) })
}

// rivalNotes tell who else starts a server on the data directory.
func (d *deduction) rivalNotes() []string {
	var list []string
	for _, r := range d.rivals {
		if d.site.Standby != nil && r.DataDir == filepath.Clean(d.site.Standby.DataDir) {
			list = append(list, fmt.Sprintf("%s is for the same data directory; before the first apply of the standby: %s", r.Name, r.Mend))
		}
	}
	return list
}
