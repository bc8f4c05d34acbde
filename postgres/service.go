package postgres

import (
	"context"
	"fmt"
	"os"
)

// Service keeps a server running: as a systemd unit, which also starts it at
// boot, or as a process that pg_ctl starts.
type Service interface {
	// Installed tells whether Install would change nothing. It runs no program.
	Installed() (bool, error)
	// Install makes the service known and enabled at boot; changed tells whether
	// it was not. The server's state stays as it is.
	Install(ctx context.Context) (changed bool, err error)
	// Remove undoes Install, after Stop.
	Remove(ctx context.Context) error
	// Start is nothing when the server runs. It waits until connections are
	// accepted; a failure is a *StartError.
	Start(ctx context.Context) error
	Stop(ctx context.Context) error // fast, and waits
	Restart(ctx context.Context) error
	Reload(ctx context.Context) error
	// LastWords is what the server said since it was last started through this
	// process, for one that ended by itself.
	LastWords() string
	// Supervisor is systemd or process.
	Supervisor() string
}

// ServiceOptions say how a cluster is kept running.
type ServiceOptions struct {
	Supervisor string // auto, systemd or process
	Start      StartOptions

	// For systemd alone.
	Unit              string      // zreconcile-SITE.service or zreconcile-SITE@RESTORE.service
	UnitDir           string      // empty: /etc/systemd/system
	Description       string      // one line
	RequiresMountsFor []string    // folders on the datasets under the cluster
	SocketMode        os.FileMode // of the socket's folder, which a boot takes away; 0: 0755
	Enable            bool        // start it at boot
	Restart           bool        // start it again when it fails; a clone that can't reach its target would fail for ever
}

// systemdRuns is the documented test for a running systemd (manual page sd_booted).
const systemdRuns = "/run/systemd/system"

// Service returns the cluster's service. The supervisor auto is systemd where
// that runs.
func (c *Cluster) Service(o ServiceOptions) (Service, error) {
	if o.Supervisor == "" || o.Supervisor == "auto" {
		o.Supervisor = "process"
		if _, err := os.Stat(systemdRuns); err == nil {
			o.Supervisor = "systemd"
		}
	}
	switch o.Supervisor {
	case "process":
		return processService{cluster: c, start: o.Start}, nil
	case "systemd":
		return newSystemdService(c, o)
	}
	return nil, fmt.Errorf("standby.supervisor is %q, and auto, systemd or process are known", o.Supervisor)
}
