package reconcile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
)

// passwordFile is where a password is asked to be put.
const passwordFile = "/etc/zreconcile/primary.password"

// foundPassword is how the standby comes by its password. The password itself
// stays in memory, to ask the primary with, and is written nowhere.
type foundPassword struct {
	secret   string            // "" is none, or not known
	from     spec.PasswordFrom // that it can be read from
	inline   bool              // it stands in primary_conninfo itself
	passfile string            // that primary_conninfo names, and that could not be read: why
}

// findPassword looks where libpq does, and at the usual file of a site.
func (h *Host) findPassword(ctx context.Context, c *foundCluster) {
	kv, err := conf.ParseConninfo(c.settings["primary_conninfo"])
	if err != nil {
		return // the deduction says so
	}
	words := map[string]string{}
	for _, s := range kv {
		words[s.Name] = s.Value
	}
	p := &c.password
	if p.secret = words["password"]; p.secret != "" {
		p.inline = true
	} else {
		p.readPassfile(words, c.user, c.managedBy != "")
	}
	if p.secret == "" {
		return
	}
	// A file that holds the same is what a site file would name.
	if other, err := postgres.Password(postgres.PasswordSource{File: passwordFile}); err == nil && other == p.secret {
		p.from, p.inline = spec.PasswordFrom{File: passwordFile}, false
	}
	if len(c.storage.Tablespaces) > 0 {
		h.askTablespaces(ctx, c)
	}
}

// readPassfile takes the password from the passfile of the connection string,
// or from that of the OS user (libpq, "The Password File").
func (p *foundPassword) readPassfile(words map[string]string, u postgres.OSUser, managed bool) {
	file := words["passfile"]
	if file == "" {
		if file = filepath.Join(u.Home, ".pgpass"); managed || !exists(file) {
			return // it needs none, or has it from an environment that we don't see
		}
	}
	host, _, _ := strings.Cut(words["host"], ",")
	port, _, _ := strings.Cut(words["port"], ",")
	if port == "" {
		port = "5432"
	}
	user := words["user"]
	if user == "" {
		user = u.Name
	}
	secret, err := postgres.Password(postgres.PasswordSource{Passfile: file, Host: host, Port: port, User: user})
	switch {
	case err == nil:
		p.secret, p.from = secret, spec.PasswordFrom{Passfile: file}
	case words["passfile"] != "":
		p.passfile = err.Error()
	}
}

// askTablespaces asks the primary where its tablespaces are; a standby knows
// its own folders only.
func (h *Host) askTablespaces(ctx context.Context, c *foundCluster) {
	p, _, err := primaryOf(c)
	if err != nil {
		return // the deduction says so
	}
	c.locations, err = h.primary(&spec.Site{Standby: &spec.Standby{Primary: p}}, c.password.secret).TablespaceLocations(ctx)
	if err != nil {
		h.Log.Debug("the primary does not say where its tablespaces are", "error", err)
	}
}

// usualKeywords are those that pg_basebackup -R writes with libpq's own defaults.
var usualKeywords = map[string]string{
	"channel_binding": "prefer", "sslcompression": "0", "sslcertmode": "allow", "sslsni": "1", "ssl_min_protocol_version": "TLSv1.2",
	"gssencmode": "prefer", "krbsrvname": "postgres", "gssdelegation": "0", "target_session_attrs": "any", "load_balance_hosts": "disable",
	"sslnegotiation": "postgres",
}

// droppedKeywords stand elsewhere in a site file, or have no place in it.
var droppedKeywords = []string{"host", "hostaddr", "port", "user", "sslmode", "sslrootcert", "application_name",
	"password", "passfile", "dbname", "replication", "fallback_application_name"}

var keyword = regexp.MustCompile(`^[a-z_]+$`)

// primaryOf reads how the primary is reached from primary_conninfo. What of it
// is not taken along is told; an error says what can't stand in a site file.
func primaryOf(c *foundCluster) (p spec.Primary, told []string, err error) {
	text := c.settings["primary_conninfo"]
	if strings.TrimSpace(text) == "" {
		return p, nil, errors.New("it names no primary: primary_conninfo is empty")
	}
	kv, err := conf.ParseConninfo(text)
	if err != nil {
		return p, nil, fmt.Errorf("its primary_conninfo can't be read: %w", err)
	}
	words := map[string]string{}
	for _, s := range kv {
		words[s.Name] = s.Value
	}
	if words["service"] != "" || words["servicefile"] != "" {
		return p, nil, errors.New("its primary_conninfo names a service file: write host, port and user into it")
	}
	p = spec.Primary{User: words["user"], SSLMode: words["sslmode"], SSLRootCert: words["sslrootcert"],
		ApplicationName: words["application_name"], Slot: c.settings["primary_slot_name"], PasswordFrom: c.password.from}
	if p.Hosts, p.Port, err = hostsOf(words); err != nil {
		return p, nil, err
	}
	if p.User == "" {
		p.User = c.user.Name // libpq's default
	}
	if p.SSLMode == "" {
		p.SSLMode = "prefer" // libpq's default
	}
	if p.ApplicationName == "" { // the WAL receiver's own
		if p.ApplicationName = c.settings["cluster_name"]; p.ApplicationName == "" {
			p.ApplicationName = "walreceiver"
		}
	}
	for _, s := range kv {
		switch {
		case contains(droppedKeywords, s.Name), c.managedBy == "" && usualKeywords[s.Name] == s.Value:
		case strings.Contains(s.Name, "password") || !keyword.MatchString(s.Name):
			told = append(told, fmt.Sprintf("the keyword %s of primary_conninfo has no place in a site file, and is left out", s.Name))
		default:
			p.Options = append(p.Options, spec.Setting{Name: s.Name, Value: s.Value})
		}
	}
	sortSettings(p.Options)
	return p, told, nil
}

// hostsOf reads the hosts, all of which have one port in a site file.
func hostsOf(words map[string]string) (hosts []string, port int, err error) {
	names := words["host"]
	if names == "" {
		names = words["hostaddr"]
	}
	for _, host := range strings.Split(names, ",") {
		if host = strings.TrimSpace(host); host == "" {
			return nil, 0, errors.New("its primary_conninfo names no host")
		}
		hosts = append(hosts, host)
	}
	port = 5432
	for i, text := range strings.Split(words["port"], ",") {
		n := 5432
		if text = strings.TrimSpace(text); text != "" {
			if n, err = strconv.Atoi(text); err != nil {
				return nil, 0, fmt.Errorf("its primary_conninfo has the port %q, which is no number", text)
			}
		}
		if i > 0 && n != port {
			return nil, 0, fmt.Errorf("its primary_conninfo has a port for each host (%s), and a site file has one for all", words["port"])
		}
		port = n
	}
	return hosts, port, nil
}
