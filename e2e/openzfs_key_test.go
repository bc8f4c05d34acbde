//go:build vm

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// key makes a key file and returns its place as keylocation names it.
func (s *site) key(t *testing.T, name, content string) (location string) {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return "file://" + path
}

// TestOpenZFSKeys: after an import no key is loaded; apply loads them from their
// files and mounts what they encrypt, and asks a person where it can't. Pitfall 56.
func TestOpenZFSKeys(t *testing.T) {
	s, d := newStorage(t, 1)
	raw, phrase := strings.Repeat("r", 32), "a pass phrase that nobody may see"
	root, own := s.key(t, "root.key", raw), s.key(t, "own.key", phrase)
	text := func(rootKey, ownKey, format string) string {
		return fmt.Sprintf(`  vdevs: [{devices: [%[1]s]}]
  rootProperties: {canmount: off, encryption: on, keyformat: raw, keylocation: "%[2]s"}
datasets:
  - {name: a, properties: {mountpoint: %[5]s/a}}
  - {name: b, properties: {mountpoint: %[5]s/b, encryption: aes-256-gcm, keyformat: %[4]s, keylocation: "%[3]s"}}
  - {name: b/c}
`, d[0], rootKey, ownKey, format, s.Dir)
	}
	again := func() {
		t.Helper()
		command(t, "zpool", "export", s.Name)
		command(t, "zpool", "import", "-d", filepath.Dir(d[0]), s.Name)
	}
	a, b := s.Name+"/a", s.Name+"/b"
	mounted := func() []string {
		t.Helper()
		return strings.Fields(command(t, "sh", "-c", "findmnt -n -l -t zfs -o SOURCE | grep ^"+s.Name+" | sort || true"))
	}
	all := []string{a, b, b + "/c"}

	s.describe(t, text(root, own, "passphrase"))
	s.converges(t)
	command(t, "zpool", "export", s.Name)
	s.converges(t) // imported, keys loaded, mounted
	if got := mounted(); !slices.Equal(got, all) {
		t.Errorf("mounted: %v", got)
	}

	again()
	s.plansOnly(t, exitPending, "update dataset/"+s.Name, "update dataset/"+b).says(t, "its key is not loaded", s.Dir+"/a")
	command(t, "zfs", "load-key", s.Name) // by hand, or by a run that was killed then
	s.plansOnly(t, exitPending, "update dataset/"+s.Name, "update dataset/"+b).says(t, "its key is loaded")
	s.converges(t)
	if got := mounted(); !slices.Equal(got, all) {
		t.Errorf("mounted: %v", got)
	}

	again()
	must(t, os.Rename(strings.TrimPrefix(own, "file://"), s.Dir+"/moved.key"))
	s.apply(t).exits(t, exitRefused).says(t, "own.key: no such file", "zfs load-key")
	if got := mounted(); !slices.Equal(got, all[:1]) {
		t.Errorf("mounted: %v", got)
	}
	own = "file://" + s.Dir + "/moved.key"
	s.describe(t, text(root, own, "passphrase")) // its place is set, and then it is loaded
	s.converges(t)

	s.describe(t, text(root, "prompt", "passphrase"))
	s.converges(t)
	again()
	s.apply(t).exits(t, exitRefused).says(t, "keylocation is prompt", "zfs load-key -r "+b)
	command(t, "zfs", "load-key", "-L", own, b)
	s.converges(t)

	s.describe(t, text(root, "prompt", "hex"))
	s.plansOnly(t, exitRefused, "block dataset/"+b).alters(t, "passphrase", "hex")
	s.describe(t, strings.Replace(text(root, "prompt", "passphrase"), "encryption: aes-256-gcm", "encryption: off", 1))
	s.plansOnly(t, exitRefused, "block dataset/"+b).alters(t, "aes-256-gcm", "off")

	// A wrong key is an error in zfs's own words; no key is in them.
	s.describe(t, text(root, own, "passphrase"))
	s.converges(t)
	again()
	s.key(t, "root.key", strings.Repeat("w", 32))
	r := s.apply(t).exits(t, exitFailed).says(t, "Incorrect key")
	for _, secret := range []string{raw, strings.Repeat("w", 32), phrase} {
		if strings.Contains(r.Stdout+r.Stderr, secret) {
			t.Errorf("a key in %v", r)
		}
	}
	s.key(t, "root.key", raw)
	s.converges(t)
}

// TestOpenZFSEncryptedSite brings a whole encrypted site back after an export:
// pool, key, datasets, standby and restore, in this order, and no second copy.
func TestOpenZFSEncryptedSite(t *testing.T) {
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.RootProperties = fmt.Sprintf(", encryption: on, keyformat: raw, keylocation: %q", s.key(t, "key", strings.Repeat("k", 32)))
	s.write(t)
	s.converges(t)
	base := s.snapshotNames(t)[0]
	s.declare(t, entry{Name: "r", Target: "snapshot: " + base, Port: s.RestorePort})
	s.converges(t)
	clone := restoreOf(t, s, "r")
	if got := strings.TrimSpace(command(t, "zfs", "get", "-H", "-o", "value", "encryptionroot", s.Name+"/zreconcile/"+s.Name+"/r")); got != s.Name {
		t.Errorf("the clone's encryption root is %s", got)
	}
	guid := command(t, "zfs", "get", "-Hp", "-o", "value", "guid", s.Name+"/data")
	witness := filepath.Join(s.DataDir(), "witness") // a second copy would not have it
	must(t, os.WriteFile(witness, nil, 0o600))

	for _, dir := range []string{s.DataDir(), clone.dataDir} {
		s.asOSUser(t, "pg_ctl", "stop", "-w", "-m", "fast", "-D", dir)
	}
	command(t, "zpool", "export", s.Name)
	command(t, "zpool", "import", "-d", filepath.Dir(s.Vdev), s.Name)
	s.plansOnly(t, exitPending, "update dataset/"+s.Name)
	command(t, "zpool", "export", s.Name)
	s.converges(t)
	if _, err := os.Stat(witness); err != nil {
		t.Errorf("the data directory is another one: %v", err)
	}
	if got := command(t, "zfs", "get", "-Hp", "-o", "value", "guid", s.Name+"/data"); got != guid {
		t.Errorf("dataset %s became %s", guid, got)
	}
	s.standbyStreams(t)
	if names := s.snapshotNames(t); !slices.Contains(names, base) {
		t.Errorf("the snapshots are %v, and %s was there", names, base)
	}
	if again := restoreOf(t, s, "r"); again.dataDir != clone.dataDir {
		t.Errorf("%+v became %+v", clone, again)
	}
}
