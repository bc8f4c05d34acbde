package spec

import (
	"path"
	"slices"
	"strings"
)

func (d *draft) standby(n *node) *Standby {
	standby := &Standby{
		DataDir:         n.get("dataDir").textOr(""),
		WALDir:          n.get("walDir").textOr(""),
		Port:            n.get("port").intOr(0),
		ListenAddresses: n.get("listenAddresses").textOr("localhost"),
		SocketDir:       n.get("socketDir").textOr(path.Join(runDir, d.site.Name)),
		OSUser:          n.get("osUser").textOr("postgres"),
		AdminRole:       n.get("admin", "role").textOr(""),
		AdminDatabase:   n.get("admin", "database").textOr("postgres"),
		BinDir:          n.get("binDir").textOr(""),
		Supervisor:      n.get("supervisor").textOr("auto"),
		Restart:         n.get("restart").textOr("auto"),
		Basebackup: Basebackup{
			Checkpoint: n.get("basebackup", "checkpoint").textOr("fast"),
			MaxRate:    n.get("basebackup", "maxRate").textOr(""),
		},
		Primary: d.primary(n.get("primary")),
		Conf:    d.conf(n.get("conf")),
		Pos:     n.place(),
	}
	for _, m := range n.get("tablespaces").members() {
		standby.Tablespaces = append(standby.Tablespaces, Tablespace{From: m.key, To: m.value.textOr("")})
	}
	slices.SortFunc(standby.Tablespaces, func(a, b Tablespace) int { return strings.Compare(a.From, b.From) })
	return standby
}

func (d *draft) primary(n *node) Primary {
	primary := Primary{
		Hosts: n.get("host").texts(),
		Port:  n.get("port").intOr(defaultPrimaryPort),
		User:  n.get("user").textOr(""),
		PasswordFrom: PasswordFrom{
			File:       n.get("passwordFrom", "file").textOr(""),
			Env:        n.get("passwordFrom", "env").textOr(""),
			Passfile:   n.get("passwordFrom", "passfile").textOr(""),
			Credential: n.get("passwordFrom", "credential").textOr(""),
		},
		SSLRootCert:     n.get("sslRootCert").textOr(""),
		ApplicationName: n.get("applicationName").textOr("zreconcile-" + d.site.Name),
		Options:         settings(n.get("options"), false),
		Slot:            n.get("slot").textOr(""),
	}
	sslmode := "require"
	if primary.SSLRootCert != "" {
		sslmode = "verify-full"
	}
	primary.SSLMode = n.get("sslmode").textOr(sslmode)
	if n != nil {
		primary.Pos = n.place()
	}
	return primary
}

func (d *draft) conf(n *node) Conf {
	return Conf{
		Set:         settings(n.get("set"), true),
		Disable:     n.get("disable").texts(),
		Unsupported: n.get("unsupported").textOr("disable"),
		HBA:         n.get("hba").texts(),
	}
}
