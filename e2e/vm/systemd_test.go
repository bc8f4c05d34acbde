//go:build vm

package vm

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// life is that of a machine with the package on it. Each part needs what those
// before it did.
var life = []struct {
	part string
	test func(*testing.T, *user)
}{
	{"the site converges under the unit of watch", convergesUnderTheUnit},
	{"systemd has no complaints about the units", unitsAreSound},
	{"what watch mounts is seen by everybody", mountsAreSeen},
	{"the end of a watch leaves servers alone", watchEnds},
	{"an upgrade leaves servers alone", upgrades},
	{"a removal is refused", removalIsRefused},
	{"all is back after a reboot", rebootBringsAllBack},
	{"a power cut and a disk that is late lose nothing", lateDiskAfterAPowerCut},
	{"after eject the servers need no package", ejectedServersComeBack},
}

// TestSystemd has the units of watch, standby and restore do their work, hardened,
// and come back whatever happens to the machine.
func TestSystemd(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for _, l := range life {
		began := time.Now()
		if !t.Run(l.part, func(t *testing.T) { l.test(t, u) }) {
			t.FailNow()
		}
		t.Logf("%s: %.0f s", l.part, time.Since(began).Seconds())
	}
}

// convergesUnderTheUnit has the password from a credential, which is no file that
// watch could read by itself, and makes a restore.
func convergesUnderTheUnit(t *testing.T, u *user) {
	u.writes(t, secretFile, password, "600")
	u.writes(t, "/etc/systemd/system/zreconcile.service.d/password.conf", "[Service]\nLoadCredential="+credential+":"+secretFile+"\n", "644")
	u.writes(t, "/etc/zreconcile/site.yaml", siteFile, "644")
	u.does(t, "systemctl", "enable", "--quiet", "--now", watchUnit)
	u.commits(t)
	u.commits(t)
	u.converged(t)
	target := u.onPrimary(t, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')")
	u.commits(t)
	restore := "restores:\n  - {name: back, target: {time: '" + target + "'}, port: " + restorePort + "}\n"
	u.writes(t, "/etc/zreconcile/site.yaml", siteFile+restore, "644")
	u.restored(t)
	u.converged(t)
	for _, unit := range []string{watchUnit, standbyUnit, restoreUnit} {
		if state := u.property(t, unit, "UnitFileState"); state != "enabled" {
			t.Errorf("%s is %s", unit, state)
		}
	}
}

// unitsAreSound, those that are installed here, with manual pages and all.
func unitsAreSound(t *testing.T, u *user) {
	argv := []string{"systemd-analyze", "verify", watchUnit, "zreconcile@vm.service", standbyUnit, restoreUnit}
	if out := u.does(t, argv...); out != "" {
		t.Errorf("systemd-analyze verify says:\n%s", out)
	}
	const most = 5.5
	out := u.does(t, "systemd-analyze", "security", "--no-pager", watchUnit)
	found := regexp.MustCompile(`Overall exposure level for zreconcile.service: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("systemd-analyze says no level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > most {
		t.Errorf("the exposure is %s, and %v is the most:\n%s", found[1], most, out)
	}
	for _, unit := range []string{standbyUnit, restoreUnit} {
		after := strings.Fields(u.property(t, unit, "After"))
		for _, want := range []string{"zfs-mount.service", "network-online.target"} {
			if !slices.Contains(after, want) {
				t.Errorf("%s does not start after %s: %q", unit, want, after)
			}
		}
	}
}

// mountsAreSeen: hardening gave watch no mount namespace. What it mounts, clones
// above all, is there for process 1 and so for whoever logs in.
func mountsAreSeen(t *testing.T, u *user) {
	pid := u.property(t, watchUnit, "MainPID")
	if watch, all := u.does(t, "readlink", "/proc/"+pid+"/ns/mnt"), u.does(t, "readlink", "/proc/1/ns/mnt"); watch != all {
		t.Errorf("watch has the mount namespace %s, everybody %s", watch, all)
	}
	mounts := func() string {
		return u.does(t, "nsenter", "--target", "1", "--mount", "findmnt", "--raw", "--noheadings", "--types=zfs", "--output=SOURCE,TARGET")
	}
	seen := strings.Split(mounts(), "\n")
	for _, want := range []string{"tank/data /tank/data", "tank/wal /tank/wal", "tank/zreconcile/vm/back /tank/zreconcile/vm/back"} {
		if !slices.Contains(seen, want) {
			t.Errorf("%q is not mounted for process 1:\n%s", want, strings.Join(seen, "\n"))
		}
	}
	const more = "tank/more /tank/more"
	site := u.does(t, "cat", "/etc/zreconcile/site.yaml") + "\n"
	u.writes(t, "/etc/zreconcile/site.yaml", strings.Replace(site, "datasets:\n", "datasets:\n  - {name: more, properties: {mountpoint: /tank/more}}\n", 1), "644")
	u.eventually(t, "the watch to make and mount a dataset", func() bool { return strings.Contains(mounts(), more) })
}

// watchEnds by systemctl, by a kill -9, and because it hangs.
func watchEnds(t *testing.T, u *user) {
	watch := func() string { return u.property(t, watchUnit, "MainPID") }
	another := func(t *testing.T, happens func()) {
		t.Helper()
		u.leaves(t, func() {
			before := watch()
			happens()
			u.eventually(t, "another watch", func() bool {
				now := watch()
				return now != before && now != "0" && u.property(t, watchUnit, "ActiveState") == "active"
			})
		})
	}
	t.Run("restart", func(t *testing.T) {
		another(t, func() { u.does(t, "systemctl", "restart", watchUnit) })
	})
	t.Run("reload", func(t *testing.T) {
		before := watch()
		u.leaves(t, func() { u.does(t, "systemctl", "reload", watchUnit) })
		if now := watch(); now != before {
			t.Errorf("a reload made another watch of process %s: %s", before, now)
		}
	})
	t.Run("kill -9", func(t *testing.T) {
		another(t, func() { u.does(t, "systemctl", "kill", "--signal=KILL", watchUnit) })
	})
	t.Run("it hangs", func(t *testing.T) {
		const impatient = "/run/systemd/system/zreconcile.service.d/impatient.conf"
		u.writes(t, impatient, "[Service]\nWatchdogSec=20s\nRestartSec=1s\n", "644")
		u.does(t, "systemctl", "daemon-reload")
		u.does(t, "systemctl", "restart", watchUnit)
		u.converged(t)
		another(t, func() { u.does(t, "kill", "-STOP", watch()) })
		if said := u.does(t, "journalctl", "--no-pager", "--boot", "--unit="+watchUnit); !strings.Contains(said, "Watchdog timeout") {
			t.Errorf("systemd did not say that the watch hung:\n%s", said)
		}
		u.does(t, "rm", impatient)
		u.does(t, "systemctl", "daemon-reload")
	})
}

// upgrades gives the watch the new program at once, and PostgreSQL its copy of it
// without a restart.
func upgrades(t *testing.T, u *user) {
	u.leaves(t, func() {
		u.does(t, "dpkg", "--no-triggers", "--install", "/job/"+newerVersion+".deb")
		u.eventually(t, "a watch of the new version", func() bool {
			out, err := u.try(t, "/proc/"+u.property(t, watchUnit, "MainPID")+"/exe", "version")
			return err == nil && strings.Contains(out, newerVersion)
		})
	})
	if out := u.does(t, "/var/lib/zreconcile/vm/zreconcile", "--version"); !strings.Contains(out, newerVersion) {
		t.Errorf("PostgreSQL still calls %s", out)
	}
	segment := u.onPrimary(t, "SELECT pg_walfile_name(pg_switch_wal())")
	u.eventually(t, "the standby to archive with the new program", func() bool {
		out, err := u.onStandby(t, "SELECT last_archived_wal >= '"+segment+"' FROM pg_stat_archiver")
		return err == nil && out == "t"
	})
}

// removalIsRefused while servers call the program, and changes nothing.
func removalIsRefused(t *testing.T, u *user) {
	u.leaves(t, func() {
		out, err := u.try(t, "dpkg", "--no-triggers", "--remove", "zreconcile")
		if err == nil || !strings.Contains(out, "/tank/data/pgdata") || !strings.Contains(out, "zreconcile eject") {
			t.Errorf("the removal: %v\n%s", err, out)
		}
		if status := u.does(t, "dpkg-query", "--show", "--showformat=${db:Status-Status}", "zreconcile"); status != "installed" {
			t.Errorf("after a refused removal the package is: %s", status)
		}
	})
}
