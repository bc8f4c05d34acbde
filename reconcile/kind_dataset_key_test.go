package reconcile

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zreconcile/zreconcile/zfs"
)

// lock is the host after a reboot: the datasets of an encryption root are not
// mounted, and of what lies on them nothing is seen.
func lock(s *State, root, location string, loaded bool, names ...string) {
	s.KeyFiles = map[string]string{}
	for _, name := range names {
		d := dataset(s, name)
		d.Key = zfs.Key{Root: root, Loaded: loaded, Location: "none"}
		if d.Mounted {
			unmount(s, name)
		}
	}
	dataset(s, root).Key = zfs.Key{Root: root, Loaded: loaded, Location: location}
	s.Cluster = Cluster{Program: s.Cluster.Program}
	s.Archive = Archive{}
}

// A key that is not loaded is loaded, and the datasets are mounted, before
// anything is decided from what lies on them. Pitfall 56.
func TestDiffKey(t *testing.T) {
	const file = "file:///etc/zfs/key"
	both := func(location string, loaded bool, more func(*State)) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) {
			lock(s, "zp1", location, loaded, "zp1/data", "zp1/wal")
			if more != nil {
				more(s)
			}
		}
	}
	one := func(more func(*State)) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) {
			lock(s, "zp1/data", file, false, "zp1/data")
			if more != nil {
				more(s)
			}
		}
	}
	below := []string{"mountpoint: /data\n", "mountpoint: /arch/data\n", "dataDir: /data/pg", "dataDir: /arch/data/pg"}
	nested := func(location string) func(testing.TB, *State) { // zp1/data is mounted below zp1/wal
		return one(func(s *State) { lock(s, "zp1/wal", location, false, "zp1/wal") })
	}
	root, rootBlocked := []string{"update dataset/zp1"}, []string{"block dataset/zp1"}
	elsewhere := []string{"atime: off\n", "atime: off\n      keylocation: file:///elsewhere\n"}
	checkDiffs(t, map[string]diffCase{
		"one key for all":                   {from: both(file, false, nil), want: root},
		"loaded, and killed before a mount": {from: both(file, true, nil), want: root},
		"loaded and mounted": {from: func(t testing.TB, s *State) {
			for _, name := range []string{"zp1", "zp1/data", "zp1/wal"} {
				dataset(s, name).Key = zfs.Key{Root: "zp1", Loaded: true, Location: "none"}
			}
		}},
		"a person has to type it": {from: both("prompt", false, nil), want: rootBlocked},
		"typed, and not mounted":  {from: both("prompt", true, nil), want: root},
		"its file is not there": {from: both(file, false, func(s *State) {
			s.KeyFiles["zp1"] = "the file of keylocation: open /etc/zfs/key: no such file or directory"
		}), want: rootBlocked},
		"a dataset's own": {from: one(nil), want: []string{"update dataset/zp1/data"}},
		"kept elsewhere from now on": {edits: elsewhere, from: one(func(s *State) {
			change(s, "zp1/data", local("keylocation", file))
		}), want: []string{"update dataset/zp1/data", "update dataset/zp1/data"}},
		"typed so far, and kept in a file from now on": {edits: elsewhere, from: one(func(s *State) {
			dataset(s, "zp1/data").Key.Location = "prompt"
			change(s, "zp1/data", local("keylocation", "prompt"))
		}), want: []string{"update dataset/zp1/data", "update dataset/zp1/data"}},
		"files lie where it is to be mounted": {from: one(func(s *State) {
			s.Occupied["/data"] = []string{"pg"}
		}), want: []string{"block dataset/zp1/data"}},
		"a new dataset below": {edits: []string{"  - name: wal\n", "  - name: data/below\n  - name: wal\n"}, from: one(func(s *State) {
			without(s, "zp1/data/below")
		}), want: []string{"update dataset/zp1/data", "create dataset/zp1/data/below"}},
		"one with canmount=noauto is left unmounted": {from: one(func(s *State) {
			change(s, "zp1/data", local("canmount", "noauto"))
			dataset(s, "zp1/data").Key.Loaded = true
		}), only: Only{kindDataset}},
		"the key of what is mounted above comes first":       {edits: below, from: nested(file), want: []string{"update dataset/zp1/data", "update dataset/zp1/wal"}},
		"a person has to type that of what is mounted above": {edits: below, from: nested("prompt"), want: []string{"block dataset/zp1/data", "block dataset/zp1/wal"}},
		"a dataset that is not in the file is mounted above": {edits: []string{below[0], "mountpoint: /srv/data\n", below[2], "dataDir: /srv/data/pg"}, from: one(func(s *State) {
			addDataset(s, "zp1/above", nil)
			above := dataset(s, "zp1/above")
			above.Mountpoint, above.Mounted, above.Key = "/srv", false, dataset(s, "zp1/data").Key
		}), want: []string{"update dataset/zp1/data"}},
		"a stranger's is left alone": {from: func(_ testing.TB, s *State) {
			addDataset(s, "zp1/theirs", nil)
			dataset(s, "zp1/theirs").Key = zfs.Key{Root: "zp1/theirs", Location: file}
		}},
	})
}

// Who asks for a part alone that lies behind a key, and not for the key, is not
// told that there is nothing to change.
func TestLockedAndNotAskedFor(t *testing.T) {
	site := givenSite(t, "retention: {last: 2}\n", "retention: {last: 2}\nrestores:\n  - {name: r, target: {latest: true}, port: 1923}\n")
	for _, test := range []struct {
		only Only
		told bool
	}{
		{nil, false},
		{Only{kindDataset}, false},
		{Only{kindPool}, false},
		{Only{"dataset/zp1", kindStandby}, false},
		{besideKinds, false},
		{Only{kindStandby}, true},
		{Only{"dataset/zp1/data", "snapshot"}, true},
		{Only{"restore/r"}, true},
		{Only{"restore/gone"}, false}, // its removal looks at no file
	} {
		state := converged(t, site)
		lock(&state, "zp1", "file:///etc/zfs/key", false, "zp1/data", "zp1/wal")
		plan := Diff(site, state, givenNow, test.only)
		if told := len(plan.Failures) > 0; told != test.told {
			t.Errorf("--only %v: %q", test.only, plan.Failures)
		}
		if test.told && !strings.Contains(plan.Failures[0], "--only dataset/zp1 as well") {
			t.Errorf("--only %v: %q", test.only, plan.Failures)
		}
	}
}

// What a snapshot is kept for can't be told while the archive is locked: none is
// destroyed then.
func TestNothingIsRemovedWhileTheArchiveIsLocked(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	for n := range 3 {
		addSnapshot(&state, site, ago(time.Duration(n+2)*time.Hour), 90)
	}
	if plan := Diff(site, state, givenNow, nil); plan.Summary.Delete == 0 {
		t.Fatalf("nothing is to be removed: %+v", plan.Changes)
	}
	wal := dataset(&state, "zp1/wal")
	wal.Key = zfs.Key{Root: "zp1/wal", Location: "prompt"}
	unmount(&state, "zp1/wal")
	state.Archive = Archive{}
	if got := briefly(Diff(site, state, givenNow, nil)); !slices.Equal(got, []string{"block dataset/zp1/wal"}) {
		t.Errorf("%q", got)
	}
}

// A clone has the key of its origin, and is mounted with it.
func TestDiffKeyOfAClone(t *testing.T) {
	site := givenSite(t, "retention: {last: 2}\n", "retention: {last: 2}\nrestores:\n  - {name: r, target: {latest: true}, port: 1923}\n")
	state := converged(t, site)
	addClone(&state, site, "r", markTarget, "latest")
	lock(&state, "zp1/data", "file:///k", false, "zp1/data", "zp1/zreconcile/s1/r")
	changes := Diff(site, state, givenNow, nil).Changes
	if len(changes) != 1 || changes[0].Name != "zp1/data" || len(changes[0].Attrs) != 3 {
		t.Errorf("%+v", changes)
	}
}

// encryption and keyformat are for good; keylocation is not.
func TestDiffEncryption(t *testing.T) {
	encrypted := func(_ testing.TB, s *State) {
		change(s, "zp1/data", map[string]zfs.Value{"encryption": {Value: "aes-256-gcm", Source: "none"}, "keyformat": {Value: "raw", Source: "none"},
			"keylocation": {Value: "file:///k", Source: "local"}})
		dataset(s, "zp1/data").Key = zfs.Key{Root: "zp1/data", Loaded: true, Location: "file:///k"}
	}
	with := func(text string) []string { return []string{"atime: off\n", "atime: off\n      " + text + "\n"} }
	blocked := []string{"block dataset/zp1/data"}
	checkDiffs(t, map[string]diffCase{
		"on is aes-256-gcm":      {edits: with("encryption: on"), from: encrypted},
		"another suite":          {edits: with("encryption: aes-128-ccm"), from: encrypted, want: blocked},
		"off":                    {edits: with("encryption: off"), from: encrypted, want: blocked},
		"another format":         {edits: with("keyformat: passphrase"), from: encrypted, want: blocked},
		"another place":          {edits: with("keylocation: file:///l"), from: encrypted, want: []string{"update dataset/zp1/data"}},
		"wanted where none is":   {edits: with("encryption: on"), want: blocked, from: func(_ testing.TB, s *State) { change(s, "zp1/data", local("encryption", "off")) }},
		"its place is as it was": {edits: with("keylocation: file:///k"), from: encrypted},
	})
}

// What is mounted above is mounted first, though its key has another name that comes
// later; and once, though both keys wait for it.
func TestLoadKeyMountsWhatIsAboveFirst(t *testing.T) {
	site := givenSite(t, "mountpoint: /data\n", "mountpoint: /arch/data\n", "dataDir: /data/pg", "dataDir: /arch/data/pg")
	state := emptyPool(site)
	for _, name := range []string{"zp1/data", "zp1/wal"} {
		lock(&state, name, "file:///k", false, name)
	}
	h, ran := lockingHost(t), []string{}
	h.ZFS = zfs.New(func(c *exec.Cmd) error { ran = append(ran, strings.Join(c.Args, " ")); return nil })
	if err := loadKey(t.Context(), h, &view{site: site, state: &state, now: givenNow}, "zp1/data"); err != nil {
		t.Fatal(err)
	}
	want := []string{"zfs load-key zp1/data", "zfs load-key zp1/wal", "zfs mount zp1/wal", "zfs mount zp1/data"}
	if !slices.Equal(ran, want) {
		t.Errorf("%q", ran)
	}
}

// A key file that is missing is told of; one that is a named pipe, whose other end a
// key agent may hold, is not opened, which would wait for it.
func TestKeyFilesAreLookedFor(t *testing.T) {
	site := givenSite(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{pipe: false, pipe + ".gone": true} {
		state := converged(t, site)
		lock(&state, "zp1/data", "file://"+file, false, "zp1/data")
		looked := make(chan struct{})
		go func() {
			defer close(looked)
			lockingHost(t).observeKeys(&view{site: site, state: &state})
		}()
		select {
		case <-looked:
			if why := state.KeyFiles["zp1/data"]; (why != "") != want {
				t.Errorf("%s: %q", file, why)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for whoever writes to the pipe")
		}
	}
}
