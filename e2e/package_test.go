package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestPackage builds the Debian package in two versions and puts dpkg to work on
// them in a root of its own: it installs, upgrades, is not removed while a server
// calls its wal commands, and is removed and purged when nothing needs it.
func TestPackage(t *testing.T) {
	dist := t.TempDir()
	before, after := buildPackage(t, dist, "v0.1.0-rc.1"), buildPackage(t, dist, "v0.1.0")
	if _, err := tryCommand("dpkg", "--compare-versions", controlField(t, before, "Version"), "lt", controlField(t, after, "Version")); err != nil {
		t.Errorf("%s is not older than %s", controlField(t, before, "Version"), controlField(t, after, "Version"))
	}
	packageHolds(t, after)

	r := newDpkgRoot(t)
	r.dpkg(t, "--install", before)
	r.did(t, "systemctl --system daemon-reload") // nothing is started or enabled
	if out := command(t, filepath.Join(r.dir, "usr/bin/zreconcile"), "version"); !strings.Contains(out, "v0.1.0-rc.1") {
		t.Errorf("it is version %s", out)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "etc/zreconcile/site.yaml"), []byte("version: 1\n"), 0o644))
	r.dpkg(t, "--install", after)
	r.did(t, "systemctl --system daemon-reload", "deb-systemd-invoke try-restart zreconcile.service zreconcile@*.service") // watches, and no server

	r.refusesRemoval(t)
	r.dpkg(t, "--remove", "zreconcile")
	r.did(t, "deb-systemd-invoke stop zreconcile.service zreconcile@*.service", "systemctl --system daemon-reload")
	r.purges(t)
}

// refusesRemoval while a real standby archives by way of the program; its eject is
// the way out.
func (r *dpkgRoot) refusesRemoval(t *testing.T) {
	t.Helper()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	if out, err := r.try(t, "--remove", "zreconcile"); err == nil || !strings.Contains(out, s.DataDir()+" (runs): archive_command, restore_command") || !strings.Contains(out, "zreconcile eject") {
		t.Errorf("the removal while a standby archives: %v\n%s", err, out)
	}
	if out := r.dpkg(t, "--status", "zreconcile"); !strings.Contains(out, " ok installed") {
		t.Errorf("after a refused removal:\n%s", out)
	}
	r.did(t, "systemctl --system daemon-reload") // what postinst does when it is called back; no watch was stopped
	s.run(t, "eject").exits(t, exitDone)
	left := callers(t)
	if slices.Contains(left, s.DataDir()) {
		t.Errorf("after eject these call zreconcile: %q", left)
	}
	// Servers of somebody else, who tests here as well, have mounts that are not ours.
	r.apart = len(left) > 0
	if r.apart && os.Getenv("CI") != "" {
		t.Errorf("earlier tests left servers that call zreconcile: %q", left)
	}
}

// callers are the data directories that eject --check lists.
func callers(t *testing.T) []string {
	t.Helper()
	var listed struct {
		Servers []struct {
			DataDir string `json:"dataDir"`
		} `json:"servers"`
	}
	zreconcile(t, "eject", "--check", "-o", "json").exits(t, exitDone, exitRefused).decode(t, &listed)
	var dirs []string
	for _, s := range listed.Servers {
		dirs = append(dirs, s.DataDir)
	}
	return dirs
}

// purges what it brought, and nothing that is a person's or a server's.
func (r *dpkgRoot) purges(t *testing.T) {
	t.Helper()
	wants := filepath.Join(r.dir, "etc/systemd/system/multi-user.target.wants")
	must(t, os.MkdirAll(wants, 0o755))
	for _, unit := range []string{"zreconcile.service", "zreconcile@two.service", "zreconcile-prod.service", "zreconcile-prod@eu.service"} {
		must(t, os.Symlink("nowhere", filepath.Join(wants, unit)))
	}
	passfile := filepath.Join(r.dir, "var/lib/zreconcile/prod/secret")
	must(t, os.MkdirAll(passfile, 0o700))
	must(t, os.MkdirAll(filepath.Join(r.dir, "var/log/zreconcile"), 0o755))
	r.dpkg(t, "--purge", "zreconcile")
	for path, want := range map[string]bool{
		"etc/zreconcile/site.yaml": true, "var/lib/zreconcile/prod/secret": true, "var/log/zreconcile": false,
		"usr/bin/zreconcile": false, "usr/share/zreconcile": false, "usr/lib/systemd/system/zreconcile.service": false,
		"etc/systemd/system/multi-user.target.wants/zreconcile.service":         false,
		"etc/systemd/system/multi-user.target.wants/zreconcile@two.service":     false,
		"etc/systemd/system/multi-user.target.wants/zreconcile-prod.service":    true,
		"etc/systemd/system/multi-user.target.wants/zreconcile-prod@eu.service": true,
	} {
		if _, err := os.Lstat(filepath.Join(r.dir, path)); (err == nil) != want {
			t.Errorf("after the purge: is %s there? %v", path, err)
		}
	}
}

// buildPackage is `make deb`.
func buildPackage(t *testing.T, dist, version string) (deb string) {
	t.Helper()
	cmd := exec.Command("make", "-s", "-C", "..", "deb", "VERSION="+version, "DIST="+dist)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("make deb: %v\n%s%s", err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

func controlField(t *testing.T, deb, name string) string {
	t.Helper()
	return strings.TrimSpace(command(t, "dpkg-deb", "--field", deb, name))
}

// packageHolds what is promised, all of it root's.
func packageHolds(t *testing.T, deb string) {
	t.Helper()
	modes := map[string]string{}
	for line := range strings.Lines(command(t, "dpkg-deb", "--contents", deb)) {
		words := strings.Fields(line)
		if len(words) != 6 || words[1] != "root/root" {
			t.Errorf("not root's, or a link: %s", line)
			continue
		}
		modes[strings.TrimPrefix(words[5], ".")] = words[0]
	}
	for path, want := range map[string]string{
		"/usr/bin/zreconcile":                                  "-rwxr-xr-x",
		"/usr/lib/systemd/system/zreconcile.service":           "-rw-r--r--",
		"/usr/lib/systemd/system/zreconcile@.service":          "-rw-r--r--",
		"/usr/share/zreconcile/site.schema.json":               "-rw-r--r--",
		"/usr/share/man/man1/zreconcile.1.gz":                  "-rw-r--r--",
		"/usr/share/man/man1/zreconcile-wal-push.1.gz":         "-rw-r--r--",
		"/usr/share/man/man5/zreconcile-site.5.gz":             "-rw-r--r--",
		"/usr/share/bash-completion/completions/zreconcile":    "-rw-r--r--",
		"/usr/share/zsh/vendor-completions/_zreconcile":        "-rw-r--r--",
		"/usr/share/fish/vendor_completions.d/zreconcile.fish": "-rw-r--r--",
		"/usr/share/doc/zreconcile/copyright":                  "-rw-r--r--",
		"/usr/share/doc/zreconcile/changelog.Debian.gz":        "-rw-r--r--",
		"/usr/share/doc/zreconcile/licenses.gz":                "-rw-r--r--",
		"/usr/share/doc/zreconcile/examples/production.yaml":   "-rw-r--r--",
		"/etc/zreconcile/":                                     "drwxr-xr-x",
	} {
		if modes[path] != want {
			t.Errorf("%s has the mode %q, want %q", path, modes[path], want)
		}
	}
	completion := filepath.Join(t.TempDir(), "completion")
	must(t, os.WriteFile(completion, []byte(command(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -xO ./usr/share/bash-completion/completions/zreconcile`, "sh", deb)), 0o644))
	if out := command(t, "bash", "-c", `source "$1" && complete -p zreconcile`, "bash", completion); !strings.Contains(out, "zreconcile") {
		t.Errorf("bash completes: %s", out)
	}
}

// dpkgRoot is a file system for dpkg, with the little that maintainer scripts need:
// a shell, /proc, and a systemd that writes down what it is asked.
type dpkgRoot struct {
	dir   string
	apart bool // run with mounts of its own, as in a container
}

func newDpkgRoot(t *testing.T) *dpkgRoot {
	t.Helper()
	r := &dpkgRoot{dir: t.TempDir()}
	for _, dir := range []string{"proc", "dev", "bin", "usr/bin", "etc", "run/systemd/system", "var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		must(t, os.MkdirAll(filepath.Join(r.dir, dir), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "var/lib/dpkg/status"),
		[]byte("Package: init-system-helpers\nStatus: install ok installed\nVersion: 1.65\nArchitecture: all\nMaintainer: x\nDescription: x\n\n"), 0o644))
	busybox, err := os.ReadFile("/bin/busybox")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.dir, "bin/busybox"), busybox, 0o755))
	for _, program := range []string{"sh", "rm", "rmdir", "cat"} {
		must(t, os.Symlink("busybox", filepath.Join(r.dir, "bin", program)))
	}
	for _, program := range []string{"systemctl", "deb-systemd-invoke"} {
		must(t, os.WriteFile(filepath.Join(r.dir, "bin", program), []byte("#!/bin/sh\necho "+program+" \"$@\" >>/asked\n"), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "dev/null"), nil, 0o666))
	proc := filepath.Join(r.dir, "proc")
	must(t, unix.Mount("/proc", proc, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(proc, unix.MNT_DETACH)) })
	return r
}

func (r *dpkgRoot) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	argv := append([]string{"dpkg", "--root=" + r.dir, "--no-triggers"}, args...)
	if r.apart {
		argv = append([]string{"unshare", "--mount"}, argv...)
	}
	return tryCommand(argv[0], argv[1:]...)
}

func (r *dpkgRoot) dpkg(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.try(t, args...)
	if err != nil {
		t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
	return out
}

// did wants that just this was asked of systemd since the last look.
func (r *dpkgRoot) did(t *testing.T, want ...string) {
	t.Helper()
	asked := filepath.Join(r.dir, "asked")
	content, _ := os.ReadFile(asked)
	must(t, os.RemoveAll(asked))
	got := strings.Split(strings.TrimSpace(string(content)), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("systemd was asked %q, want %q", got, want)
	}
}
