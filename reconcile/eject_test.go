package reconcile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
)

func ejectView(archive string) *view {
	return &view{
		site:  &spec.Site{Name: "s", Archive: &spec.Archive{Dir: archive}},
		state: &State{Paths: Paths{Helper: "/var/lib/zreconcile/s/zreconcile"}},
	}
}

func TestPlainFileLeavesWhatDoesNotCallUs(t *testing.T) {
	own := "archive_command = 'pgbackrest archive-push %p'\narchive_mode = 'always'\nport = '1'\nprimary_slot_name = 'x'\n"
	got, attrs, err := ejectView("/a").plainFile([]byte(own), false, false)
	if err != nil || string(got) != own || len(attrs) != 0 {
		t.Errorf("%v, %v:\n%s", err, attrs, got)
	}
}

func TestPlainFileIsReachedOnce(t *testing.T) {
	in := ejectView("/a")
	have := conf.Render(managedHeader("s"), []conf.Setting{
		{Name: "archive_command", Value: "/var/lib/zreconcile/s/zreconcile wal push %p"}, {Name: "archive_mode", Value: "always"},
		{Name: "port", Value: "1922", Why: "standby.port"}, {Name: "primary_slot_name", Value: "x"},
		{Name: "restore_command", Value: "/var/lib/zreconcile/s/zreconcile wal get %f %p"},
	})
	for _, dropSlot := range []bool{false, true} {
		got, attrs, err := in.plainFile(have, false, dropSlot)
		if err != nil || len(attrs) == 0 || strings.Contains(string(got), "wal get") || strings.Contains(string(got), "change the site's file") {
			t.Errorf("%v, %v:\n%s", err, attrs, got)
		}
		values := conf.Effective(got)
		if slot := values["primary_slot_name"]; values["port"] != "1922" || values["archive_mode"] != "off" || values["archive_command"] != "/bin/true" || (slot == "") != dropSlot {
			t.Errorf("it has %v", values)
		}
		again, attrs, err := in.plainFile(got, false, dropSlot)
		if err != nil || string(again) != string(got) || len(attrs) != 0 {
			t.Errorf("a second time: %v, %v:\n%s", err, attrs, again)
		}
	}
}

// Pitfall 17: in a clone only a proven absence is 1, all else is above 125; on a
// standby nothing is above 125.
func TestPitfall17_PlainRestoreCommand(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "it's 100% $HOME")
	if err := os.Mkdir(archive, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(archive, "there"), []byte("wal"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "to")
	tests := []struct {
		name, archive, file, to string
		clone, standby          int
	}{
		{"there", archive, "there", to, 0, 0},
		{"absent", archive, "absent", to, 1, 1},
		{"no archive", archive + ".gone", "there", to, 255, 1},
		{"no place", archive, "there", to + "/no/folder", 255, 1},
	}
	for _, test := range tests {
		for clone, want := range map[bool]int{true: test.clone, false: test.standby} {
			s, err := plainRestoreCommand(test.archive, clone)
			if err != nil {
				t.Fatal(err)
			}
			// As PostgreSQL expands it.
			command := strings.NewReplacer("%%", "%", "%f", test.file, "%p", test.to).Replace(s.Value)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			_ = cmd.Run() // its status is what is asked for
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("%s, clone %v: %d, want %d: %s", test.name, clone, got, want, command)
			}
		}
	}
}

func TestTheSlotGoesOnlyWhereNothingIsLost(t *testing.T) {
	const segment = 16 << 20
	streaming := postgres.Status{InRecovery: true, ReceiverState: "streaming"}
	promoted, away := streaming, streaming
	promoted.InRecovery, away.ReceiverState = false, ""
	tests := map[string]struct {
		standby  *postgres.Status
		retained int64
		needed   bool
	}{
		"streams":           {&streaming, segment, false},
		"behind":            {&streaming, segment + 1, true},
		"down":              {nil, 0, true},
		"not connected":     {&away, 0, true},
		"no standby's slot": {&promoted, 0, true},
	}
	for name, test := range tests {
		if why := slotNeeded(test.standby, test.retained, segment); (why != "") != test.needed {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestAWatchClaimsItsSite(t *testing.T) {
	h := &Host{Clock: time.Now, Folders: Folders{Run: t.TempDir()}}
	wants := func(site string, want bool) {
		t.Helper()
		if got, err := h.watched(site); err != nil || got != want {
			t.Errorf("watched %s: %v, %v", site, got, err)
		}
	}
	wants("a", false)
	var c watchClaim
	if err := h.claim(&c, "a"); err != nil {
		t.Fatal(err)
	}
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatalf("the claim keeps others from the lock: %v", err)
	}
	wants("a", true)
	lock.Release() // closes another description of the same file
	wants("a", true)
	if err := h.claim(&c, "b"); err != nil {
		t.Fatal(err)
	}
	wants("a", false)
	wants("b", true)
	c.release()
	wants("b", false)
}

// What stays is told as it is: a server that was promoted follows nobody.
func TestEjectTellsOfAPromotedServer(t *testing.T) {
	in := ejectView("/a")
	in.site.Standby = &spec.Standby{DataDir: "/d", Primary: spec.Primary{Hosts: []string{"db"}}}
	in.state.Cluster.Content = DirCluster
	for _, inRecovery := range []bool{true, false} {
		in.state.Cluster.Status = &postgres.Status{InRecovery: inRecovery}
		if told := in.standbyStays(true)[0]; strings.Contains(told, "follows db") != inRecovery || strings.Contains(told, "promoted") == inRecovery {
			t.Errorf("in recovery %v: %s", inRecovery, told)
		}
	}
}
