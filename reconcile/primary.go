package reconcile

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
)

// conninfoSettings are the libpq keywords to reach the primary with, without
// any password: that is in a passfile of the OS user's, outside the data
// directory and so outside snapshots.
func conninfoSettings(site *spec.Site, passfile string) []conf.Setting {
	p := site.Standby.Primary
	var ports []string
	for range p.Hosts {
		ports = append(ports, strconv.Itoa(p.Port))
	}
	kv := []conf.Setting{
		{Name: "host", Value: strings.Join(p.Hosts, ",")},
		{Name: "port", Value: strings.Join(ports, ",")},
		{Name: "user", Value: p.User},
		{Name: "application_name", Value: p.ApplicationName},
		{Name: "sslmode", Value: p.SSLMode},
	}
	if p.SSLRootCert != "" {
		kv = append(kv, conf.Setting{Name: "sslrootcert", Value: p.SSLRootCert})
	}
	if passfile != "" {
		kv = append(kv, conf.Setting{Name: "passfile", Value: passfile})
	}
	for _, o := range p.Options {
		kv = append(kv, conf.Setting{Name: o.Name, Value: o.Value})
	}
	return kv
}

// primaryConninfo is what pg_basebackup and primary_conninfo take.
func primaryConninfo(site *spec.Site, passfile string) string {
	return conf.Conninfo(conninfoSettings(site, passfile))
}

// primary is the primary as this program itself asks it; the password stays in memory.
func (h *Host) primary(site *spec.Site, password string) postgres.Primary {
	return postgres.Primary{Conninfo: primaryConninfo(site, ""), Password: password}
}

// passfile is where the standby's server finds the password, in a folder of the
// OS user's alone; "" needs none.
func (h *Host) passfile(site *spec.Site) string {
	if (site.Standby.Primary.PasswordFrom == spec.PasswordFrom{}) {
		return ""
	}
	return filepath.Join(h.Folders.Lib, site.Name, "secret", "primary.pgpass")
}

// passfileLines is a line for each host; replication connections match any database.
func passfileLines(site *spec.Site, password string) ([]string, error) {
	p := site.Standby.Primary
	var lines []string
	for _, host := range p.Hosts {
		line, err := conf.PassfileLine(host, strconv.Itoa(p.Port), "*", p.User, password)
		if err != nil {
			return nil, err
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines, nil
}

// ensurePassfile writes the passfile where it is missing or differs.
func (h *Host) ensurePassfile(in *view) (string, error) {
	path := h.passfile(in.site)
	if path == "" || in.state.Cluster.PasswordUnknown {
		return path, nil
	}
	lines, err := passfileLines(in.site, in.state.Cluster.Password)
	if err != nil {
		return "", err
	}
	_, err = postgres.WritePassfile(path, in.state.Server.User, lines)
	return path, err
}
