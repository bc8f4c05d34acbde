package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const watchUnits = "../examples/systemd"

// harmless are the settings of [Service] that were looked up in systemd.exec(5) and
// systemd.service(5): none makes a mount namespace, which would hide the clones
// that watch mounts from everybody else, and would keep a clone's dataset busy
// when it is destroyed (pitfall 57). None takes /dev/zfs or disks away.
const harmless = ` Type NotifyAccess Environment EnvironmentFile ExecStart ExecReload WatchdogSec SyslogLevel Restart RestartSec
	RestartPreventExitStatus TimeoutStartSec TimeoutStopSec KillMode KillSignal PIDFile User UMask OOMPolicy OOMScoreAdjust
	NoNewPrivileges CapabilityBoundingSet RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID
	LockPersonality ProtectHostname SystemCallArchitectures SystemCallFilter SystemCallErrorNumber
	RuntimeDirectory RuntimeDirectoryMode RuntimeDirectoryPreserve `

// TestUnits holds the units of watch, and those that are written for servers, to
// what systemd says of them.
func TestUnits(t *testing.T) {
	for name, file := range map[string]string{
		"zreconcile.service":             watchUnits + "/zreconcile.service",
		"zreconcile@.service":            watchUnits + "/zreconcile@.service",
		"zreconcile-rds-prod.service":    "../postgres/testdata/unit/notify.service",
		"zreconcile-forks.service":       "../postgres/testdata/unit/forking.service",
		"zreconcile-forks@eu.service":    "../postgres/testdata/unit/odd-forking.service",
		"zreconcile-rds-prod@eu.service": "../postgres/testdata/unit/odd-path.service",
	} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			must(t, err)
			for line := range strings.Lines(section(string(content), "Service")) {
				setting, _, found := strings.Cut(line, "=")
				if found && !strings.HasPrefix(line, "#") && !slices.Contains(strings.Fields(harmless), setting) {
					t.Errorf("%s: look up in systemd.exec(5) whether it makes a mount namespace or takes devices away", setting)
				}
			}
			unit := filepath.Join(t.TempDir(), name)
			must(t, os.WriteFile(unit, runnable(content), 0o644))
			if out, err := tryCommand("systemd-analyze", "verify", "--man=no", unit); err != nil || out != "" {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}

// section is the text of one section of a unit.
func section(unit, name string) string {
	_, text, _ := strings.Cut(unit, "["+name+"]\n")
	text, _, _ = strings.Cut(text, "\n[")
	return text
}

// runnable puts a program that is there in the place of those that are not.
func runnable(unit []byte) []byte {
	return regexp.MustCompile(`(?m)^(ExecStart=)(/usr/bin/zreconcile|/usr/pgsql-12/bin/\w+)`).ReplaceAll(unit, []byte("${1}/bin/true"))
}

// TestWatchUnitIsHardened by what systemd counts; what is left needs a mount
// namespace, or what ZFS, PostgreSQL and the change of user need.
func TestWatchUnitIsHardened(t *testing.T) {
	const most = 5.5
	out := command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", absolute(t, watchUnits+"/zreconcile.service"))
	found := regexp.MustCompile(`Overall exposure level for zreconcile.service: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze says no level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > most {
		t.Errorf("the exposure is %s, and %v is the most:\n%s", found[1], most, out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	must(t, err)
	return path
}

// TestInstanceIsTheSameUnit, but for the folder of its site.
func TestInstanceIsTheSameUnit(t *testing.T) {
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(watchUnits, name))
		must(t, err)
		return string(content)
	}
	want := strings.NewReplacer("keeps this host as", "keeps the site %i as", "/etc/zreconcile/site.yaml", "/etc/zreconcile/%i/site.yaml",
		"/etc/default/zreconcile\n", "/etc/default/zreconcile-%i\n").Replace(read("zreconcile.service"))
	if got := read("zreconcile@.service"); got != want {
		t.Errorf("zreconcile@.service is\n%s\nwant\n%s", got, want)
	}
}
