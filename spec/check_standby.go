package spec

import (
	"strings"
)

// ownKeywords are the libpq keywords that have a key of their own in the file,
// or that replication must not get (PostgreSQL: Parameter Key Words).
var ownKeywords = map[string]string{
	"host": "primary.host", "hostaddr": "primary.host", "port": "primary.port", "user": "primary.user",
	"sslmode": "primary.sslmode", "sslrootcert": "primary.sslRootCert",
	"application_name": "primary.applicationName", "fallback_application_name": "primary.applicationName",
	"password": "primary.passwordFrom", "passfile": "primary.passwordFrom: {passfile: ...}",
	"dbname": "", "replication": "", "service": "", "servicefile": "",
}

func (d *draft) checkPrimary() {
	options := d.root.get("standby", "primary", "options")
	for _, m := range options.members() {
		key, found := ownKeywords[m.key]
		switch {
		case looksSecret(m.key) && m.key != "sslpassword":
			d.secretf(m, "options must not hold a password")
		case m.key == "sslpassword":
			d.secretf(m, "options must not hold the password of a key")
		case found && key == "":
			d.errorf(m.value, "leave it out", "the option %s is this program's to set", m.key)
		case found:
			d.errorf(m.value, "write "+key, "the option %s has a key of its own in the file", m.key)
		}
	}
}

// secretf reports a password that stands in the file, without its line.
func (d *draft) secretf(m member, message string) {
	hint := passwordHint
	if m.key == "sslpassword" {
		hint = "use a key without a password, readable by the OS user alone"
	}
	d.problems = append(d.problems, Problem{Pos: m.pos, Message: message, Hint: hint, Source: withheld})
	m.value.faulty = true
}

func (d *draft) checkStandby() {
	s, n := d.site.Standby, d.root.get("standby")
	if s == nil {
		return
	}
	if !listensLocally(s.ListenAddresses) && len(s.Conf.HBA) == 0 {
		d.warnf(n.get("listenAddresses"), "say in standby.conf.hba who may connect",
			"the standby listens on %s, and who may connect is left to the primary's pg_hba.conf", s.ListenAddresses)
	}
	d.checkManaged(n.get("conf", "set"), standbyManaged)
	d.checkDisabled(n.get("conf"), s.Conf)
	d.checkRate(n.get("basebackup", "maxRate"))
	files := map[string]*node{
		"sslRootCert": n.get("primary", "sslRootCert"),
		"file":        n.get("primary", "passwordFrom", "file"),
		"passfile":    n.get("primary", "passwordFrom", "passfile"),
	}
	for _, key := range sortedKeys(files) {
		d.checkClean(files[key], key, files[key].textOr(""))
	}
}

// listensLocally tells whether listen_addresses names nothing that another
// host could reach.
func listensLocally(addresses string) bool {
	for _, address := range strings.Split(addresses, ",") {
		switch address = strings.TrimSpace(address); {
		case address == "" || strings.EqualFold(address, "localhost") || address == "::1":
		case strings.HasPrefix(address, "127."):
		default:
			return false
		}
	}
	return true
}

// checkDisabled warns of a parameter that is both set and disabled.
func (d *draft) checkDisabled(n *node, conf Conf) {
	set := map[string]bool{}
	for _, s := range conf.Set {
		set[s.Name] = true
	}
	for _, item := range n.get("disable").list() {
		if name := strings.ToLower(item.textOr("")); set[name] {
			d.warnf(item, "leave it out of one of the two; set wins", "%s is in conf.set and in conf.disable", name)
		}
	}
}

// checkRate bounds maxRate to what pg_basebackup --max-rate takes: 32 kB to
// 1024 MB a second, with 1 MB being 1024 kB.
func (d *draft) checkRate(n *node) {
	text := n.textOr("")
	if text == "" {
		return
	}
	kilobytes, err := parseRate(text)
	if err != nil || kilobytes < 32 || kilobytes > 1024*1024 {
		d.errorf(n, "", "maxRate must be from 32k to 1024M, not %s", text)
	}
}
