package reconcile

import (
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// inForce is what the standby's server would load of the state's files, once
// they are as wanted.
func inForce(t *testing.T, in *view) map[string]string {
	t.Helper()
	w, err := wantedConf(in)
	if err != nil {
		t.Fatal(err)
	}
	loaded := conf.Effective(w.files[mainFile])
	for _, name := range []string{managedFile, autoFile} { // in the server's order
		for name, value := range conf.Effective(w.files[name]) {
			loaded[name] = value
		}
	}
	return loaded
}

// TestPitfall20_NothingCleansUpBehindTheStandby: neither what the primary's
// files bring along nor ALTER SYSTEM may remove WAL that snapshots need.
func TestPitfall20_NothingCleansUpBehindTheStandby(t *testing.T) {
	const cleanup = "Archive_Cleanup_Command = 'pg_archivecleanup /arch/wal %r'\n"
	for name, files := range map[string]map[string][]byte{
		"nobody says so":         {},
		"in the primary's file":  {mainFile: []byte("max_connections = 100\n" + cleanup)},
		"by ALTER SYSTEM":        {autoFile: []byte(cleanup)},
		"in both":                {mainFile: []byte(cleanup), autoFile: []byte(cleanup)},
		"behind our own include": {mainFile: []byte("include 'zreconcile.conf'\n" + cleanup)},
	} {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t)
			state := converged(t, site)
			for file, content := range files {
				state.Cluster.Files[file] = content
			}
			if got, set := inForce(t, givenView(site, &state))["archive_cleanup_command"]; !set || got != "" {
				t.Errorf("archive_cleanup_command is %q, %v", got, set)
			}
		})
	}
}

// TestPitfall20_NorInAClone: what a snapshot's files say must not act in its clone.
func TestPitfall20_NorInAClone(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	flat := givenView(site, &state).cloneBase(map[string][]byte{
		mainFile: []byte("archive_cleanup_command = 'rm %r'\n"), autoFile: []byte("archive_cleanup_command = 'rm %r'\n")}, *state.Cluster.Control, wal.Settings{})
	if got := conf.Effective(flat)["archive_cleanup_command"]; got != "" {
		t.Errorf("archive_cleanup_command is %q", got)
	}
}

// TestPitfall21_TheClustersSegmentSize: what calls wal get says the size that
// pg_control has.
func TestPitfall21_TheClustersSegmentSize(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.Cluster.Control.SegmentSize, state.Archive.SegmentSize = 1<<20, 64<<20
	in := givenView(site, &state)
	if got := inForce(t, in)["restore_command"]; !strings.Contains(got, "--segment-size 1048576 ") {
		t.Errorf("restore_command is %q", got)
	}
	state.Cluster.Control = nil
	if got := in.segmentSize(); got != 64<<20 {
		t.Errorf("without a cluster the size is %d, not that of the archive", got)
	}
}

// TestPitfall23_TheStandbyReadsItsOwnArchive: it can catch up from there where
// the primary's WAL is gone; and nothing the primary carried stands in the way.
func TestPitfall23_TheStandbyReadsItsOwnArchive(t *testing.T) {
	site := givenSite(t)
	state := converged(t, site)
	state.Cluster.Files[mainFile] = []byte("restore_command = 'false'\n")
	state.Cluster.Files[autoFile] = []byte("restore_command = 'false'\n")
	got := inForce(t, givenView(site, &state))["restore_command"]
	if !strings.Contains(got, "wal get --archive /arch/wal ") || strings.Contains(got, "--clone") {
		t.Errorf("restore_command is %q", got)
	}
}
