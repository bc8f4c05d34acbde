package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres"
)

func TestCallers(t *testing.T) {
	const push = "archive_command = '/var/lib/zreconcile/s/zreconcile wal push --archive /a %p'\n"
	const get = "restore_command = '''/var/lib/zre concile/s/zreconcile'' wal get --archive /a %f %p'\n"
	file := func(text string) map[string][]byte { return map[string][]byte{managedFile: []byte(text)} }
	read := func(dir string) (map[string][]byte, error) {
		switch dir {
		case "/boots":
			return file(get), nil
		case "/plain":
			return file("restore_command = 'cp /a/%f %p'\n"), nil
		}
		return nil, errors.New("no such directory")
	}
	got := callers([]postgres.RunningServer{
		{PID: 1, DataDir: "/standby", Files: file(push + get)},
		{PID: 2, DataDir: "/ejected", Files: map[string][]byte{mainFile: []byte(push), managedFile: []byte("archive_command = '/bin/true'\n")}},
		{PID: 3, DataDir: "/altered", Files: map[string][]byte{managedFile: []byte("archive_command = '/bin/true'\n"), autoFile: []byte(push)}},
		{PID: 4, DataDir: "/alike", Files: file("archive_command = 'my-zreconcile wal push'\nrestore_command = 'zreconcile wallaby get'\n")},
	}, map[string]string{"/standby": "zreconcile-s.service", "/boots": "zreconcile-s@r.service", "/plain": "zreconcile-p.service", "/gone": "zreconcile-g.service", "/ejected": "zreconcile-e.service"}, read)
	both := []string{"archive_command", "restore_command"}
	want := []Caller{
		{DataDir: "/altered", Running: true, Calls: both[:1]},
		{DataDir: "/boots", Unit: "zreconcile-s@r.service", Calls: both[1:]},
		{DataDir: "/gone", Unit: "zreconcile-g.service", Calls: []string{}, Unknown: "no such directory"},
		{DataDir: "/standby", Running: true, Unit: "zreconcile-s.service", Calls: both},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestCallersKnowTheCommandsThatWeWrite, quotes of both kinds included.
func TestCallersKnowTheCommandsThatWeWrite(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	in := givenView(site, &state)
	for _, helper := range []string{"/var/lib/zreconcile/s1/zreconcile", "/var/lib/it's/zreconcile"} {
		settings, err := standbySettings(in, helper, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings {
			ours := s.Name == "archive_command" || s.Name == "restore_command"
			if ours != ourCommand.MatchString(s.Value) {
				t.Errorf("%s = %s calls us: %v", s.Name, s.Value, !ours)
			}
		}
	}
}

func TestBootUnits(t *testing.T) {
	root := t.TempDir()
	wants := filepath.Join(root, "multi-user.target.wants")
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, enabled := range map[string]bool{"zreconcile-a.service": true, "zreconcile-a@r.service": true, "zreconcile-b.service": false, "other.service": true} {
		text := postgres.Unit(postgres.UnitOptions{BinDir: "/bin", DataDir: "/data/" + name, User: "postgres", Notify: true})
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if enabled {
			if err := os.Symlink(filepath.Join(root, name), filepath.Join(wants, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(wants, "zreconcile-gone.service")); err != nil {
		t.Fatal(err)
	}
	got, err := bootUnits(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"/data/zreconcile-a.service": "zreconcile-a.service", "/data/zreconcile-a@r.service": "zreconcile-a@r.service"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
