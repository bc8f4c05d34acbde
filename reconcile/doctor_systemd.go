package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
)

// unitFacts are what systemd knows of a unit, in the words of systemctl show.
type unitFacts struct {
	Name      string
	Server    string // whose unit it is; "" is that of watch
	Load      string // loaded, not-found, masked
	Active    string // active, inactive, failed, activating
	UnitState string // enabled, disabled
	Result    string // of the last run: success, exit-code, oom-kill ...
}

// watchUnit is the unit of watch for a site file: zreconcile.service, or the
// instance for the folder that it is in.
func watchUnit(file, site string) string {
	const folder = "/etc/zreconcile"
	file, err := filepath.Abs(file)
	dir := filepath.Dir(file)
	switch {
	case err != nil:
	case file == folder+"/site.yaml":
		return "zreconcile.service"
	case filepath.Dir(dir) == folder:
		site = filepath.Base(dir)
	}
	return "zreconcile@" + site + ".service"
}

// lookAtUnits asks systemd for all units of the site in one process.
func (h *Host) lookAtUnits(ctx context.Context, p *patient) {
	if !p.host.Systemd {
		return
	}
	wanted := []unitFacts{{Name: watchUnit(p.site.File, p.site.Name)}}
	if p.wanted().Supervisor != "process" {
		wanted = append(wanted, unitFacts{Name: unitName(p.site.Name, ""), Server: "the standby"})
		for _, r := range p.site.Restores {
			wanted = append(wanted, unitFacts{Name: unitName(p.site.Name, r.Name), Server: "restore " + r.Name})
		}
	}
	args := []string{"show", "--property=Id,LoadState,ActiveState,UnitFileState,Result", "--"}
	for _, u := range wanted {
		args = append(args, u.Name)
	}
	out, err := h.said(ctx, nil, "systemctl", args...)
	if err != nil {
		p.failures = append(p.failures, fmt.Sprintf("asking systemd for the units: systemctl: %v", err))
		return
	}
	p.host.Units = readUnits(out, wanted)
}

// readUnits reads blocks of NAME=VALUE, an empty line between units.
func readUnits(out string, wanted []unitFacts) []unitFacts {
	for block := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		values := map[string]string{}
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[name] = value
		}
		for i := range wanted {
			if u := &wanted[i]; u.Name == values["Id"] {
				u.Load, u.Active, u.UnitState, u.Result = values["LoadState"], values["ActiveState"], values["UnitFileState"], values["Result"]
			}
		}
	}
	return wanted
}

// examineUnits is about what systemd starts at boot and keeps running. A unit of a
// restore that was not made yet is none of its business.
func examineUnits(p *patient) []DoctorCheck {
	if !p.host.Systemd || p.wanted() == nil {
		return nil
	}
	var list []DoctorCheck
	for _, u := range p.host.Units {
		switch {
		case u.Load == "masked":
			list = append(list, fault(fmt.Sprintf("%s is masked", u.Name), "systemctl unmask "+u.Name))
		case u.Active == "failed":
			list = append(list, fault(fmt.Sprintf("%s has failed (%s)", u.Name, u.Result), fmt.Sprintf("journalctl -u %s; then systemctl reset-failed %s; zreconcile apply", u.Name, u.Name)))
		case u.Server == "" && (u.Load != "loaded" || u.Active != "active"):
			list = append(list, warning("watch does not run as a unit: nothing converges by itself, unless something else calls apply", "systemctl enable --now "+u.Name))
		case u.Load == "loaded" && u.UnitState != "enabled":
			list = append(list, warning(fmt.Sprintf("%s is not enabled: it does not start at boot", u.Name), "systemctl enable "+u.Name))
		}
	}
	if c := p.cluster(); c != nil && c.UnitDiffers {
		list = append(list, warning("the unit of the standby is not installed as it should be", "zreconcile apply writes it, with RequiresMountsFor the datasets"))
	}
	if list == nil && p.host.Units != nil {
		list = one(fine("the units of the site are as they should be"))
	}
	return list
}

// toolDeadline is for tools of the host that answer at once.
const toolDeadline = 20 * time.Second

// said runs a tool of the host's, as a user where one is given, and returns what
// it wrote.
func (h *Host) said(ctx context.Context, user *postgres.OSUser, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolDeadline)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = "/", []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}, &out
	if user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user.Credential()}
	}
	err := h.Run(cmd)
	return out.String(), err
}
