package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

const restoreSite = `version: 1
site: rds-prod
pool: {name: zp1}
datasets: [{name: data, properties: {mountpoint: /data}}, {name: wal, properties: {mountpoint: /wal}}]
standby: {dataDir: /data/pg, port: 64000, primary: {host: p, user: r}}
archive: {dir: /wal/archive}
snapshots: {every: 1h, retention: {last: 4}}
restores: [{name: mine, target: {latest: true}, port: 64001}]
`

// restoreFolder is a folder with a site file and files of site.d.
func restoreFolder(t *testing.T, fragments ...string) (site string) {
	t.Helper()
	site = filepath.Join(t.TempDir(), "site.yaml")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write(site, restoreSite)
	for i := 0; i < len(fragments); i += 2 {
		_ = os.Mkdir(filepath.Join(filepath.Dir(site), "site.d"), 0o755)
		write(filepath.Join(filepath.Dir(site), "site.d", fragments[i]), fragments[i+1])
	}
	return site
}

// contents are the files of site.d by name; nil where there is no such folder.
func contents(t *testing.T, site string) map[string]string {
	t.Helper()
	var files map[string]string
	entries, err := os.ReadDir(filepath.Join(filepath.Dir(site), "site.d"))
	for _, e := range entries {
		if files == nil {
			files = map[string]string{}
		}
		data, err := os.ReadFile(filepath.Join(filepath.Dir(site), "site.d", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	if err == nil && files == nil {
		files = map[string]string{}
	}
	return files
}

// planned is a plan with one change of the restore a.
func planned(action reconcile.Action, result reconcile.Result) reconcile.Plan {
	c := reconcile.Change{Kind: "restore", Name: "a", Action: action, Why: "so", Result: result}
	p := reconcile.Plan{Format: 1, Site: "rds-prod", Changes: []reconcile.Change{c}}
	if action == reconcile.Block {
		p.Summary.Block = 1
	}
	return p
}

const fragmentA = `restores: [{name: a, target: {time: "2020-01-01 00:00:00Z"}, port: 64007, expiresAfter: 1h}]` + "\n"

func TestRestoreAppliesOnlyIt(t *testing.T) {
	site := restoreFolder(t)
	r := &recorder{plan: planned(reconcile.Create, reconcile.Done), restore: &reconcile.RestoreStatus{Name: "a", State: "running", Connect: "host=/run/x port=64002", Role: "postgres"}}
	var asked []spec.Restore
	r.during = func(s *spec.Site) { asked = append(asked, s.Restores...) }
	status, stdout, stderr := invokeOn(t, site, r, "restore", "a", "--time", "2020-03-21 17:28:37.67+08", "--expires", "24h", "--lock-timeout", "5s")
	if status != exitDone {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	want := []string{"lock urgently rds-prod for 5s", "renew a", "apply rds-prod at " + reconcile.FormatTime(testNow) + " only [restore/a]", "restore a", "unlock"}
	if diff := cmp.Diff(want, r.asked); diff != "" {
		t.Errorf("the host was asked otherwise (-want +got):\n%s", diff)
	}
	if len(asked) != 2 || asked[1].Name != "a" || asked[1].Port != 64002 || asked[1].ExpiresAfter.Hours() != 24 {
		t.Errorf("applied were %+v", asked)
	}
	if !strings.Contains(stdout, "psql 'host=/run/x port=64002 user=postgres dbname=postgres'") {
		t.Errorf("it does not say how to connect:\n%s", stdout)
	}
	info, err := os.Stat(spec.EntryPath(site, "a"))
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v: %v", info.Mode(), err)
	}
	written := contents(t, site)
	if len(written) != 1 || !strings.HasPrefix(written["a.yaml"], "# Written by zreconcile restore.") {
		t.Errorf("site.d holds %q", written)
	}
	r.asked, r.sees = nil, true
	status, stdout, _ = invokeOn(t, site, r, "restore", "a", "--time", "2020-03-21 17:28:37.67+08", "--expires", "24h")
	if status != exitDone || !strings.Contains(stdout, "psql 'host=/run/x port=64002") {
		t.Errorf("a second time: exit status %d\n%s", status, stdout)
	}
	if slices.Contains(r.asked, "restore a") {
		t.Errorf("what the apply has seen is looked at again: %q", r.asked)
	}
	if now, err := os.Stat(spec.EntryPath(site, "a")); err != nil || !os.SameFile(info, now) {
		t.Errorf("the same again is another file: %v", err)
	}
	if diff := cmp.Diff(written, contents(t, site)); diff != "" {
		t.Errorf("the same again writes (-before +after):\n%s", diff)
	}
}

// The flags that change an entry do so, and nothing else does.
func TestRestoreFlags(t *testing.T) {
	for line, want := range map[string]string{
		"--latest":                             "target: {latest: true}\n    port: 64002",
		"--lsn 11d/97002068 --stop before":     "target: {lsn: 11d/97002068, stop: before}\n    port: 64002",
		"--xid 7964 --stop after":              "target: {xid: \"7964\", stop: after}\n    port: 64002",
		"--restore-point p":                    "target: {restorePoint: p}\n    port: 64002",
		"--snapshot zr-20200321T091701Z":       "target: {snapshot: zr-20200321T091701Z}\n    port: 64002",
		"--latest --port 65000":                "target: {latest: true}\n    port: 65000",
		"--latest --promote":                   "target: {latest: true}\n    port: 64002\n    action: promote",
		"--latest --promote --keep=false":      "target: {latest: true}\n    port: 64002\n    action: promote\n    keep: false",
		"--latest --keep":                      "target: {latest: true}\n    port: 64002\n    keep: true",
		"--latest --grace 0s --expires 2h":     "target: {latest: true}\n    port: 64002\n    expiresAfter: 2h\n    grace: 0s",
		"--latest --dataset x --mountpoint /x": "target: {latest: true}\n    dataset: x\n    mountpoint: /x\n    port: 64002",
	} {
		t.Run(line, func(t *testing.T) {
			site := restoreFolder(t)
			r := &recorder{plan: planned(reconcile.Create, reconcile.Done)}
			args := append([]string{"restore", "a"}, strings.Fields(line)...)
			if status, _, stderr := invokeOn(t, site, r, args...); status != exitDone {
				t.Fatalf("exit status %d: %s", status, stderr)
			}
			_, got, _ := strings.Cut(contents(t, site)["a.yaml"], "- name: a\n    ")
			if diff := cmp.Diff(want+"\n", got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
			e, err := spec.ParseEntry("", []byte(contents(t, site)["a.yaml"]))
			if err != nil {
				t.Fatal(err)
			}
			before := contents(t, site)
			again := strings.Fields((&program{}).again(e))[1:]
			if status, _, stderr := invokeOn(t, site, r, again...); status != exitDone {
				t.Fatalf("%q: exit status %d: %s", again, status, stderr)
			}
			if diff := cmp.Diff(before, contents(t, site)); diff != "" {
				t.Errorf("%q gives another entry (-want +got):\n%s", again, diff)
			}
		})
	}
}

// What is refused leaves the files as they were; what failed leaves the entry,
// for the next apply.
func TestRestoreOutcomes(t *testing.T) {
	failed := planned(reconcile.Create, reconcile.Failed)
	replaced := reconcile.Plan{Format: 1, Changes: append(planned(reconcile.Update, reconcile.Done).Changes, planned(reconcile.Block, reconcile.Skipped).Changes...), Summary: reconcile.Summary{Block: 1}}
	seen := &reconcile.RestoreStatus{Name: "a", State: "running", Connect: "host=/run/other"} // with the entry that is not kept
	for name, test := range map[string]struct {
		host   recorder
		before string // of the file; "" is none
		status int
		stays  bool // the entry that was asked for is in the file
		asked  string
		says   string
	}{
		"refused":             {host: recorder{plan: planned(reconcile.Block, reconcile.Skipped), sees: true, restore: seen}, status: exitBlocked, says: "nothing was made"},
		"replacement refused": {host: recorder{plan: planned(reconcile.Block, reconcile.Skipped), sees: true, restore: seen}, before: fragmentA, status: exitBlocked, says: "is as it was"},
		"renewal taken back":  {host: recorder{plan: planned(reconcile.Block, reconcile.Skipped), sees: true, restore: seen, renewed: true}, before: fragmentA, status: exitBlocked, asked: "take the renewal back"},
		"update taken back":   {host: recorder{plan: replaced, sees: true, restore: seen}, before: fragmentA, status: exitBlocked, asked: "apply|apply"},
		"failed":              {host: recorder{plan: failed}, status: exitFailed, stays: true, says: "the next apply or watch tries again. To give the restore up: zreconcile restore a --remove"},
		"not seen after":      {host: recorder{plan: planned(reconcile.Create, reconcile.Done), lookErr: errors.New("zfs list failed")}, status: exitFailed, stays: true, says: "zfs list failed"},
		"not observed":        {host: recorder{err: errors.New("zfs list failed")}, status: exitFailed, stays: true, says: "zfs list failed"},
		"locked":              {host: recorder{lockErr: reconcile.ErrLocked}, status: exitLocked},
		"locked, one there":   {host: recorder{lockErr: reconcile.ErrLocked}, before: fragmentA, status: exitLocked},
	} {
		t.Run(name, func(t *testing.T) {
			for _, output := range []string{"text", "json"} {
				fragments := []string{"b.yaml", `restores: [{name: b, target: {latest: true}, port: 64009}]` + "\n"}
				if test.before != "" {
					fragments = append(fragments, "a.yaml", test.before)
				}
				site, h := restoreFolder(t, fragments...), test.host
				before := contents(t, site)
				status, stdout, stderr := invokeOn(t, site, &h, "restore", "a", "--latest", "--expires", "1h", "-o", output)
				if status != test.status {
					t.Errorf("exit status %d, want %d: %s", status, test.status, stderr)
				}
				if output == "json" && !json.Valid([]byte(stdout)) {
					t.Errorf("stdout is not JSON: %q", stdout)
				}
				if !strings.Contains(stdout+stderr, test.says) {
					t.Errorf("it does not say %q:\n%s%s", test.says, stdout, stderr)
				}
				if strings.Contains(stdout, seen.Connect) {
					t.Errorf("it leads to what was not asked for:\n%s", stdout)
				}
				for _, want := range strings.Split(test.asked, "|") {
					if n := strings.Count(test.asked, want); strings.Count(strings.Join(h.asked, "\n"), want) < n {
						t.Errorf("it did not ask %d times to %s: %q", n, want, h.asked)
					}
				}
				after := contents(t, site)
				if test.stays != strings.Contains(after["a.yaml"], "latest: true") {
					t.Errorf("the file is %q", after["a.yaml"])
				}
				if diff := cmp.Diff(before, after); !test.stays && diff != "" {
					t.Errorf("left behind (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// Where there was no site.d, a refused restore leaves none.
func TestRestoreRefusedLeavesNoFolder(t *testing.T) {
	site := restoreFolder(t)
	r := &recorder{plan: planned(reconcile.Block, reconcile.Skipped)}
	status, _, stderr := invokeOn(t, site, r, "restore", "a", "--latest")
	if status != exitBlocked || contents(t, site) != nil {
		t.Errorf("exit status %d, left %q: %s", status, contents(t, site), stderr)
	}
}

// What a person wrote is neither changed nor lost, and what is wrong is never
// written: a watch would read it.
func TestRestoreTouchesNothingOfOthers(t *testing.T) {
	foreign := "restores:\n  - name: a\n    target: {latest: true}\n    port: 64007\n    hba: [local all all peer]\n"
	two := fragmentA[:len(fragmentA)-2] + ", {name: b, target: {latest: true}, port: 64008}]\n"
	for name, test := range map[string]struct {
		fragments []string
		args      string
		status    int
		says      string
	}{
		"in the site file":         {nil, "restore mine --latest", exitFailed, "site.yaml:8: change it or take it out there"},
		"in the site file, remove": {nil, "restore mine --remove", exitFailed, "site.yaml:8: change it or take it out there"},
		"in another file":          {[]string{"ops.yaml", fragmentA}, "restore a --latest", exitFailed, "site.d/ops.yaml:1: change it"},
		"in another file, remove":  {[]string{"ops.yaml", fragmentA}, "restore a --remove", exitFailed, "site.d/ops.yaml:1: change it"},
		"with others":              {[]string{"a.yaml", two}, "restore a --latest", exitFailed, "site.d/a.yaml:1 holds the restore b"},
		"with others, remove":      {[]string{"a.yaml", two}, "restore a --remove", exitFailed, "site.d/a.yaml:1 holds the restore b"},
		"with more":                {[]string{"a.yaml", foreign}, "restore a --latest", exitFailed, "site.d/a.yaml:5 holds hba, which this command would lose"},
		"of another's dataset":     {nil, "restore a --latest --dataset zreconcile/rds-prod/mine", exitInvalid, `is also that of "mine"`},
		"on a wanted dataset":      {nil, "restore a --latest --dataset data", exitInvalid, "site.d/a.yaml:6:"},
		"of nothing":               {nil, "restore a --remove", exitFailed, "there is no restore a: neither "},
	} {
		t.Run(name, func(t *testing.T) {
			for _, output := range []string{"text", "json"} {
				site := restoreFolder(t, test.fragments...)
				before := contents(t, site)
				r := &recorder{plan: planned(reconcile.Create, reconcile.Done)}
				status, stdout, stderr := invokeOn(t, site, r, append(strings.Fields(test.args), "-o", output)...)
				if status != test.status || !strings.Contains(stdout+stderr, test.says) {
					t.Errorf("exit status %d, want %d and %q: %s%s", status, test.status, test.says, stdout, stderr)
				}
				if output == "json" && !json.Valid([]byte(stdout)) {
					t.Errorf("stdout is not JSON: %q", stdout)
				}
				if diff := cmp.Diff(before, contents(t, site)); diff != "" {
					t.Errorf("site.d changed (-before +after):\n%s", diff)
				}
				if strings.Contains(strings.Join(r.asked, " "), "apply") {
					t.Errorf("it applied: %q", r.asked)
				}
			}
		})
	}
}

func TestRestoreRemove(t *testing.T) {
	at := reconcile.Time{Time: testNow.Add(3600e9)}
	stopped := &reconcile.RestoreStatus{Name: "a", State: "stopped", Why: "not in the file any more", DestroyedAt: &at}
	for name, test := range map[string]struct {
		fragment string
		restore  *reconcile.RestoreStatus
		says     []string
	}{
		"in its grace": {fragmentA, stopped, []string{"destroyed", "(in 1h)",
			"to bring it back as it is: zreconcile restore a --time '2020-01-01 00:00:00Z' --port 64007 --expires 1h"}},
		"at once": {fragmentA, nil, []string{"to make it again: zreconcile restore a --time"}},
		"kept":    {fragmentA, &reconcile.RestoreStatus{Name: "a", Kept: true}, []string{"--keep=false", "to bring it back"}},
		"edited": {"restores:\n  - name: a\n    target: {latest: true}\n    port: 64007\n    hba: [local all all peer]\n", stopped,
			[]string{"a.yaml again:", "hba: [local all all peer]"}},
		"again": {"", stopped, []string{"(in 1h)"}},
	} {
		t.Run(name, func(t *testing.T) {
			var fragments []string
			if test.fragment != "" {
				fragments = []string{"a.yaml", test.fragment}
			}
			site := restoreFolder(t, fragments...)
			r := &recorder{plan: planned(reconcile.Stop, reconcile.Done), restore: test.restore}
			r.during = func(s *spec.Site) {
				if slices.ContainsFunc(s.Restores, func(r spec.Restore) bool { return r.Name == "a" }) {
					t.Error("the entry is still in the site that is applied")
				}
			}
			status, stdout, stderr := invokeOn(t, site, r, "restore", "a", "--remove")
			if status != exitDone {
				t.Errorf("exit status %d: %s", status, stderr)
			}
			for _, want := range test.says {
				if !strings.Contains(stdout, want) {
					t.Errorf("it does not say %q:\n%s", want, stdout)
				}
			}
			if left := contents(t, site); len(left) > 0 {
				t.Errorf("site.d holds %q", left)
			}
		})
	}
}

// Who held the lock may have written to site.d: the old reading of the site
// would undo that.
func TestFilesAreReadAgainUnderTheLock(t *testing.T) {
	site := restoreFolder(t)
	var applied []string
	h := &writesWhileLocked{recorder: recorder{plan: reconcile.Plan{Converged: true}}, write: func() {
		if err := os.Mkdir(filepath.Dir(spec.EntryPath(site, "a")), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(spec.EntryPath(site, "a"), []byte(fragmentA), 0o644); err != nil {
			t.Fatal(err)
		}
	}}
	h.during = func(s *spec.Site) {
		for _, r := range s.Restores {
			applied = append(applied, r.Name)
		}
	}
	if status, _, stderr := invokeOn(t, site, h, "apply"); status != exitDone {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	if !slices.Equal(applied, []string{"mine", "a"}) {
		t.Errorf("applied were %q", applied)
	}
}

// writesWhileLocked is a host whose lock another run held, which wrote meanwhile.
type writesWhileLocked struct {
	recorder
	write func()
}

func (w *writesWhileLocked) Lock(ctx context.Context, site string, timeout time.Duration) (func(), error) {
	w.write()
	return w.recorder.Lock(ctx, site, timeout)
}

func TestFreePort(t *testing.T) {
	site := &spec.Site{Standby: &spec.Standby{Port: 65533}, Restores: []spec.Restore{{Port: 65534}}}
	if port, err := freePort(site); err != nil || port != 65535 {
		t.Errorf("port %d: %v", port, err)
	}
	site.Restores = append(site.Restores, spec.Restore{Port: 65535})
	if port, err := freePort(site); err == nil || !strings.Contains(err.Error(), "give --port") {
		t.Errorf("port %d: %v", port, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	used := l.Addr().(*net.TCPAddr).Port
	if port, err := freePort(&spec.Site{Standby: &spec.Standby{Port: used - 1}}); err != nil || port <= used {
		t.Errorf("port %d, while somebody listens on %d: %v", port, used, err)
	}
	if _, err := freePort(&spec.Site{}); err == nil {
		t.Error("a site without a standby has a port to begin at")
	}
}
