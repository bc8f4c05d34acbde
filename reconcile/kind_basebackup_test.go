package reconcile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/zfs"
)

func TestDiffBasebackup(t *testing.T) {
	only := Only{kindBasebackup}
	created, blocked := []string{"create basebackup//data/pg"}, []string{"block basebackup//data/pg"}
	content := func(c Content) func(testing.TB, *State) {
		return func(_ testing.TB, s *State) { s.Cluster.Content = c }
	}
	cluster := func(f func(*Cluster)) func(testing.TB, *State) { return func(_ testing.TB, s *State) { f(&s.Cluster) } }
	state := func(f func(*State)) func(testing.TB, *State) { return func(_ testing.TB, s *State) { f(s) } }
	space := []postgres.Tablespace{{OID: "1", Location: "/ts", Size: 49 << 30}}
	mapped := []string{"  port: 1922", "  port: 1922\n  tablespaces: {/ts: /ts/here}", "  - name: wal", "  - name: ts\n    properties: {mountpoint: /ts}\n  - name: wal"}
	checkDiffs(t, map[string]diffCase{
		"missing":    {empty: true, only: only, from: content(DirMissing), want: created},
		"empty":      {empty: true, only: only, from: content(DirEmpty), want: created},
		"unfinished": {empty: true, only: only, from: content(DirPartial), want: created},
		"adopted":    {only: only},
		"adopted, of the primary's system identifier": {only: only, from: state(func(s *State) { s.Primary = bareHost(givenSite(t)).Primary })},
		"files that are no cluster": {empty: true, only: only, want: blocked, from: cluster(func(c *Cluster) {
			c.Content, c.Strangers = DirStranger, []string{"a", "b", "c", "d", "e", "f"}
		})},
		"another system identifier than the primary's": {only: only, want: blocked, from: state(func(s *State) {
			s.Primary = bareHost(givenSite(t)).Primary
			s.Primary.SystemID = 42
		})},
		"another major version": {empty: true, only: only, want: blocked, from: state(func(s *State) { s.Primary.Major = 16 })},
		"no server here": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			s.Server = Server{Missing: "no PostgreSQL 15 was found in /usr/lib/postgresql or PATH"}
		})},
		"too big": {empty: true, only: only, want: blocked, from: state(func(s *State) { s.Primary.Size = 51 << 30 })},
		"too big for a dataset that is still to be made": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			s.Primary.Size = 51 << 30
			without(s, "zp1/data")
		})},
		"what an unfinished copy holds is free again": {empty: true, only: only, want: created, from: state(func(s *State) {
			s.Primary.Size, s.Cluster.Content = 51<<30, DirPartial
			dataset(s, "zp1/data").Referenced = 2 << 30
		})},
		"a tablespace that is not mapped": {empty: true, only: only, want: blocked, from: state(func(s *State) { s.Primary.Tablespaces = space })},
		"a tablespace with a place of its own does not count for the data": {empty: true, only: only, edits: mapped, want: created, from: state(func(s *State) {
			s.Primary.Size, s.Primary.Tablespaces = 60<<30, space
		})},
		"a tablespace that is too big for its place": {empty: true, only: only, edits: mapped, want: blocked, from: state(func(s *State) {
			s.Primary.Size, s.Primary.Tablespaces = 60<<30, space
			dataset(s, "zp1/ts").Available = 1 << 30
		})},
		// pitfall 56
		"its dataset is not mounted":   {empty: true, only: only, want: blocked, from: state(func(s *State) { unmount(s, "zp1/data") })},
		"the archive's is not mounted": {empty: true, only: only, want: blocked, from: state(func(s *State) { unmount(s, "zp1/wal") })},
		"its dataset is mounted elsewhere": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			unmount(s, "zp1/data")
			mount(s, "zp1/data", "/elsewhere")
		})},
		"its mountpoint is another": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			unmount(s, "zp1/data")
			dataset(s, "zp1/data").Mountpoint, dataset(s, "zp1/data").Mounted = "/elsewhere", true
			mount(s, "zp1/data", "/elsewhere")
		})},
		"another dataset is mounted there": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			unmount(s, "zp1/data")
			mount(s, "zp1/other", "/data")
		})},
		"another file system hides it": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			s.Mounts = append(s.Mounts, zfs.Mount{Source: "tmpfs", Target: "/data/pg", FSType: "tmpfs"})
		})},
		"the pool was imported under an altroot": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			s.ZFS.Pool.AltRoot = "/mnt"
			unmount(s, "zp1/data")
			dataset(s, "zp1/data").Mountpoint = "/mnt/data"
			mount(s, "zp1/data", "/mnt/data")
		})},
		"its port is taken": {empty: true, only: only, want: blocked, from: state(func(s *State) { s.Ports[1922] = "postgres (pid 5)" })},
		"snapshots of another database": {empty: true, only: only, want: blocked, from: state(func(s *State) {
			snapshot(s, addSnapshot(s, givenSite(t), ago(0), 1)).Properties[markSystemID] = zfs.Value{Value: foreignID, Source: "local"}
		})},
		"an archive of another database":                   {empty: true, only: only, want: blocked, from: state(func(s *State) { s.Archive.SystemID = 42 })},
		"a cluster of another database than the archive's": {only: only, want: blocked, from: state(func(s *State) { s.Archive.SystemID = 42 })},
		// pitfall 51
		"a cluster whose control data could not be read": {only: only, from: cluster(func(c *Cluster) { c.Control = nil })},
		"another site's snapshots are no concern": {empty: true, only: only, want: created, from: state(func(s *State) {
			addStranger(s, "zp1/data", "theirs", local(markSite, "s2", markFormat, marksFormat, markSystemID, foreignID))
		})},
		// pitfall 54
		"nor are a stranger's that inherited our mark": {empty: true, only: only, want: created, from: state(func(s *State) {
			addStranger(s, "zp1/data", "theirs", inherited("zp1/data", markSite, "s1", markFormat, marksFormat, markSystemID, foreignID))
		})},
	})
}

func TestContentOf(t *testing.T) {
	file := func(t *testing.T, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		files     []string
		folders   []string
		want      Content
		strangers []string
	}{
		"missing":                             {want: DirMissing},
		"empty":                               {folders: []string{"pg"}, want: DirEmpty},
		"left unfinished":                     {folders: []string{"pg" + postgres.PartialSuffix}, want: DirPartial},
		"left unfinished beside an empty one": {folders: []string{"pg", "pg" + postgres.PartialSuffix}, want: DirPartial},
		"verified and not yet renamed":        {folders: []string{"pg" + postgres.VerifiedSuffix}, want: DirPartial},
		"a cluster":                           {files: []string{"pg/PG_VERSION", "pg/global/pg_control"}, want: DirCluster},
		"a cluster beside an unfinished copy": {files: []string{"pg/PG_VERSION", "pg/global/pg_control"}, folders: []string{"pg" + postgres.PartialSuffix}, want: DirCluster},
		"half a cluster":                      {files: []string{"pg/PG_VERSION"}, want: DirStranger, strangers: []string{"PG_VERSION"}},
		"strangers":                           {files: []string{"pg/notes.txt"}, want: DirStranger, strangers: []string{"notes.txt"}},
		"strangers beside an unfinished copy": {files: []string{"pg/notes.txt"}, folders: []string{"pg" + postgres.PartialSuffix}, want: DirStranger, strangers: []string{"notes.txt"}},
		"lost+found makes a folder not empty": {folders: []string{"pg/lost+found"}, want: DirStranger, strangers: []string{"lost+found"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range test.folders {
				if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, f := range test.files {
				file(t, filepath.Join(dir, f))
			}
			got, strangers, err := contentOf(filepath.Join(dir, "pg"))
			if err != nil || got != test.want || !cmp.Equal(strangers, test.strangers) {
				t.Errorf("contentOf = %v, %q, %v; want %v, %q", got, strangers, err, test.want, test.strangers)
			}
		})
	}
	// pitfall 51
	plain := filepath.Join(t.TempDir(), "pg")
	file(t, plain)
	if _, _, err := contentOf(plain); err == nil {
		t.Error("a file in the data directory's place must be an error, not an empty directory")
	}
}

// The primary is asked for its size only where a copy can follow: asked again and
// again while the disk is late, it would remove WAL that the standby still needs.
func TestCopyInSight(t *testing.T) {
	late := func(c zfs.Content) func(*State) {
		return func(s *State) { s.Absent.Devices[givenDevice] = c }
	}
	site := givenSite(t)
	for name, test := range map[string]struct {
		from  State
		spoil func(*State)
		want  bool
	}{
		"a pool that will be made":   {bareHost(site), func(*State) {}, true},
		"datasets that are mounted":  {emptyPool(site), func(*State) {}, true},
		"a late disk":                {bareHost(site), late(zfs.Content{Kind: zfs.Missing}), false},
		"a disk with a label":        {bareHost(site), late(zfs.Content{Kind: zfs.Label}), false},
		"a pool to import":           {bareHost(site), func(s *State) { s.Absent.Importable = []zfs.Importable{{Name: "zp1", GUID: "1", State: "ONLINE"}} }, false},
		"a dataset that is not":      {emptyPool(site), func(s *State) { unmount(s, "zp1/data") }, false},
		"another version of servers": {bareHost(site), func(s *State) { s.Primary.Major++ }, false},
		"no servers":                 {bareHost(site), func(s *State) { s.Server = Server{Missing: "no PostgreSQL is here"} }, false},
		"servers not looked for":     {bareHost(site), func(s *State) { s.Server = Server{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := test.from
			test.spoil(&state)
			if got := (&view{site: site, state: &state, now: givenNow}).copyInSight(); got != test.want {
				t.Errorf("a copy is in sight: %v", got)
			}
		})
	}
}

// Where no copy can be made the primary is not asked; one that is asked and does
// not answer is a failure.
func TestSizesAreAskedForACopyAlone(t *testing.T) {
	site := givenSite(t, "host: db, port: 5432", "host: "+t.TempDir()+", port: 5432")
	h := lockingHost(t)
	for name, test := range map[string]struct {
		state State
		asked bool
	}{
		"a copy is to be made":        {bareHost(site), true},
		"the primary was not reached": {func() State { s := bareHost(site); s.Primary = nil; return s }(), false},
		"of another version":          {func() State { s := bareHost(site); s.Primary.Major++; return s }(), false},
		"a cluster is there":          {func() State { s := bareHost(site); s.Cluster.Content = DirCluster; return s }(), false},
	} {
		t.Run(name, func(t *testing.T) {
			h.observeSizes(t.Context(), &view{site: site, state: &test.state, now: givenNow})
			if asked := test.state.failed(kindBasebackup); asked != test.asked {
				t.Errorf("asked: %v, %q", asked, test.state.failureTexts())
			}
		})
	}
}
