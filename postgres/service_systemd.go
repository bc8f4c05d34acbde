package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// systemdService is a server in a unit of its own, which outlives us and comes
// back at boot.
type systemdService struct {
	cluster *Cluster
	options ServiceOptions
	text    string
}

func newSystemdService(c *Cluster, o ServiceOptions) (Service, error) {
	name, ok := strings.CutSuffix(o.Unit, ".service")
	if !ok || name == "" || filepath.Base(o.Unit) != o.Unit {
		return nil, fmt.Errorf("%q is no name of a systemd service", o.Unit)
	}
	if o.UnitDir == "" {
		o.UnitDir = "/etc/systemd/system"
	}
	text := Unit(UnitOptions{
		Description: o.Description,
		BinDir:      c.BinDir, DataDir: c.DataDir, LogFile: c.LogFile, SocketDir: c.SocketDir, User: c.User.Name,
		RequiresMountsFor: o.RequiresMountsFor,
		OOMScoreAdj:       o.Start.OOMScoreAdj,
		Restart:           o.Restart,
		Notify:            NotifiesSystemd(c.BinDir),
		SocketMode:        o.SocketMode,
	})
	return systemdService{cluster: c, options: o, text: text}, nil
}

func (systemdService) Supervisor() string { return "systemd" }

func (s systemdService) path() string { return filepath.Join(s.options.UnitDir, s.options.Unit) }

// enabled looks for the link that systemctl enable makes.
func (s systemdService) enabled() bool {
	_, err := os.Lstat(filepath.Join(s.options.UnitDir, "multi-user.target.wants", s.options.Unit))
	return err == nil
}

func (s systemdService) written() (bool, error) {
	have, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return string(have) == s.text, err
}

func (s systemdService) Installed() (bool, error) {
	written, err := s.written()
	return written && s.enabled() == s.options.Enable, err
}

func (s systemdService) Install(ctx context.Context) (changed bool, err error) {
	written, err := s.written()
	if err != nil {
		return false, err
	}
	if !written {
		if err := renameio.WriteFile(s.path(), []byte(s.text), 0o644, renameio.IgnoreUmask()); err != nil {
			return false, fmt.Errorf("writing the unit: %w", err)
		}
		if err := s.systemctl(ctx, "daemon-reload"); err != nil {
			return true, err
		}
	}
	if s.enabled() == s.options.Enable {
		return !written, nil
	}
	verb := "enable"
	if !s.options.Enable {
		verb = "disable"
	}
	return true, s.systemctl(ctx, verb, s.options.Unit)
}

func (s systemdService) Remove(ctx context.Context) error {
	if _, err := os.Lstat(s.path()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := s.systemctl(ctx, "disable", s.options.Unit); err != nil {
		return err
	}
	if err := os.Remove(s.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.systemctl(ctx, "daemon-reload")
}

func (s systemdService) Start(ctx context.Context) error {
	p, err := s.cluster.Process()
	switch {
	case err != nil:
		return err
	case p.Foreign:
		return p.foreignError(s.cluster.DataDir)
	case p.Running:
		return nil
	}
	return s.starting(ctx)
}

// starting runs systemctl start, with the server's words on failure. A server that
// is not ready in time goes on getting there, as with pg_ctl.
func (s systemdService) starting(ctx context.Context) error {
	timeout := cmp.Or(s.options.Start.Timeout, time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it accepts no connections after %s, and goes on starting", timeout))
	defer cancel()
	if s.cluster.LogFile != "" {
		if err := s.cluster.prepareLog(); err != nil {
			return err
		}
	}
	s.cluster.started = s.cluster.markLog()
	if err := s.systemctl(ctx, "start", s.options.Unit); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &StartError{DataDir: s.cluster.DataDir, LastWords: s.LastWords(), Err: err}
	}
	return nil
}

// LastWords are in the log of a server without sd_notify, else in the journal.
func (s systemdService) LastWords() string {
	if words := s.cluster.lastWords(s.cluster.started); words != "" {
		return words
	}
	return s.journal(s.cluster.started.at)
}

// journal is what the unit said since a moment. Its own deadline: the caller's
// may be what ended the start.
func (s systemdService) journal(since time.Time) string {
	ctx, cancel := deadline(context.Background())
	defer cancel()
	cmd := s.command(ctx, "journalctl", "--unit="+s.options.Unit, fmt.Sprintf("--since=@%d", max(since.Unix(), 0)),
		"--lines=200", "--output=cat", "--no-pager", "--quiet")
	out, err := output(s.cluster.Run, cmd)
	if err != nil {
		return "" // systemctl's own words remain
	}
	return telling(out)
}

// Stop ends the unit's server, or one that was started without the unit.
func (s systemdService) Stop(ctx context.Context) error {
	p, err := s.cluster.Process()
	switch {
	case err != nil:
		return err
	case p.Foreign:
		return p.foreignError(s.cluster.DataDir)
	}
	if _, err := os.Lstat(s.path()); err == nil {
		if err := s.systemctl(ctx, "stop", s.options.Unit); err != nil {
			return err
		}
	}
	return s.cluster.Stop(ctx, "fast")
}

func (s systemdService) Restart(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.starting(ctx)
}

func (s systemdService) Reload(ctx context.Context) error { return s.cluster.Reload(ctx) }

func (s systemdService) systemctl(ctx context.Context, args ...string) error {
	_, err := output(s.cluster.Run, s.command(ctx, "systemctl", args...))
	return err
}

func (s systemdService) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment(OSUser{Name: "root", Home: "/root"})
	cmd.Dir = "/"
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
