package reconcile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// findIn is what init would find on a host in a state.
func findIn(site *spec.Site, state *State) found {
	f := found{pool: state.ZFS, local: map[string][]string{}, mounts: state.Mounts, devices: map[string]string{}, site: site.Name,
		clones: map[string]map[string][]byte{}}
	for _, d := range state.ZFS.Datasets {
		for name, v := range d.Properties {
			if v.Local() {
				f.local[d.Name] = append(f.local[d.Name], name)
			}
		}
		slices.Sort(f.local[d.Name])
	}
	for _, v := range state.ZFS.Pool.Vdevs {
		for _, d := range v.Devices {
			f.devices[d.Path] = d.Path
		}
	}
	for _, c := range state.Clones {
		f.clones[c.Dataset.Name] = c.Files
	}
	if state.Cluster.Content == DirCluster {
		files := state.Cluster.Files
		f.cluster = &foundCluster{dataDir: site.Standby.DataDir, user: state.Server.User, process: state.Cluster.Process, files: files,
			storage:  postgres.Storage{WALDir: site.Standby.WALDir, Tablespaces: map[string]string{}},
			settings: effective(slices.Concat(files[mainFile], files[managedFile], files[autoFile])), managedBy: siteNamedBy(files[managedFile]),
			bootstrap: state.Cluster.Bootstrap}
		for i, t := range site.Standby.Tablespaces {
			oid := string(rune('0' + i))
			f.cluster.storage.Tablespaces[oid] = t.To
			if f.cluster.locations == nil {
				f.cluster.locations = map[string]string{}
			}
			f.cluster.locations[oid] = t.From
		}
		if site.Standby.Primary.PasswordFrom != (spec.PasswordFrom{}) {
			f.cluster.password = foundPassword{secret: "x", from: spec.PasswordFrom{Passfile: state.Paths.Passfile}}
		}
	}
	return f
}

// written is the file of a deduction, and how it reads.
func written(t *testing.T, d *deduction) (text string, site *spec.Site) {
	t.Helper()
	b, err := spec.Write(&d.site, spec.Remarks{Head: d.head(), At: d.at})
	if err != nil {
		t.Fatal(err)
	}
	site, problems := spec.Parse(map[string][]byte{"site.yaml": b}, "site.yaml")
	if len(problems) > 0 {
		t.Errorf("what was written is not valid, or asks for warnings: %v\n%s", problems, b)
	}
	if site == nil {
		t.FailNow()
	}
	return string(b), site
}

// Whatever the file of a converged host said: the one that is written of the
// host leaves nothing to do.
func TestInitOfAConvergedStateLeavesNothingToDo(t *testing.T) {
	const primary = "primary: {host: db, port: 5432, user: replicator}"
	for name, test := range map[string]struct {
		edits []string
		from  func(*spec.Site, *State)
		says  []string
	}{
		"as given": {says: []string{"properties: {ashift: 13}", "{mountpoint: /arch, compression: on}", "every: 1d", "retention: {last: -1}"}},
		"everything of the primary": {edits: []string{primary, `primary: {host: [a, b], port: 5433, user: "a b", sslmode: verify-full, sslRootCert: /etc/ca.pem,
    applicationName: "it's", options: {connect_timeout: 10, channel_binding: prefer}, slot: zr, passwordFrom: {env: X}}`},
			from: func(_ *spec.Site, s *State) {
				s.Paths.Passfile, s.Cluster.Password = "/var/lib/zreconcile/s1/secret/primary.pgpass", "x"
			},
			says: []string{"host: [a, b]", "user: a b", "channel_binding: prefer", "slot: zr", "sslRootCert: /etc/ca.pem", "passfile: /var/lib/zreconcile/s1"}},
		"settings": {edits: []string{"  port: 1922", `  port: 1922
  listenAddresses: "127.0.0.1, ::1"
  socketDir: /tmp/s
  admin: {role: boss}
  conf: {set: {wal_recycle: off, work_mem: "it's 5MB # odd", max_connections: 200}, disable: ["max_conn*", ssl]}`},
			from: func(_ *spec.Site, s *State) { s.Cluster.Bootstrap = "postgres" },
			says: []string{"socketDir: /tmp/s", "admin: {role: boss}", "wal_recycle: off", "max_connections: 200", "max_conn*"}},
		"pg_wal and tablespaces elsewhere": {edits: []string{"  port: 1922", "  port: 1922\n  walDir: /more/pg_wal\n  tablespaces: {/a/ts: /more/ts1, /b/ts: /more/ts2}",
			"  - name: wal", "  - name: more\n    properties: {mountpoint: /more}\n  - name: wal"},
			says: []string{"walDir: /more/pg_wal", "tablespaces: {/a/ts: /more/ts1, /b/ts: /more/ts2}"}},
		"no archive": {edits: []string{"archive:\n  dir: /arch/wal\n", "", "snapshots:\n  every: 1h\n  retention: {last: 2}\n", ""}, says: []string{"standby:"}},
		"another prefix, and fewer snapshots than an hour": {edits: []string{"every: 1h", "every: 30d\n  prefix: a-b"},
			from: func(site *spec.Site, s *State) {
				addSnapshot(s, site, ago(30*24*time.Hour), 90)
				addSnapshot(s, site, ago(60*24*time.Hour), 90)
				addSnapshot(s, site, ago(90*24*time.Hour), 90)
			}, says: []string{"prefix: a-b", "every: 30d", "snapshotAge: "}},
		"a mirror": {edits: []string{"- devices: [/dev/disk/by-id/virtio-data]", "- {type: mirror, devices: [/x, /y]}\n    - devices: [/a, /b]\n    - {class: cache, devices: [/c]}"},
			from: func(_ *spec.Site, s *State) { // nobody set it
				s.ZFS.Pool.Properties["failmode"] = zfs.Value{Value: "wait", Source: "default"}
			}, says: []string{"type: mirror", "devices: [/a, /b]", "class: cache", "  properties: {ashift: 13}\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			was := givenSite(t, test.edits...)
			state := converged(t, was)
			if test.from != nil {
				test.from(was, &state)
				w, err := wantedConf(givenView(was, &state))
				if err != nil {
					t.Fatal(err)
				}
				delete(w.files, signalFile)
				state.Cluster.Files, state.Cluster.Passfile = w.files, []byte(w.passfile)
			}
			if was.Snapshots == nil {
				state.ZFS.Snapshots = nil
			}
			if p := Diff(was, state, givenNow, nil); name != "another prefix, and fewer snapshots than an hour" && len(p.Changes) > 0 {
				t.Fatalf("the host is not converged before: %s", rendered(p))
			}
			d := deduce(findIn(was, &state), givenNow)
			if was.Snapshots == nil {
				d.without(snapshotsPart) // what comment would find out
			}
			text, site := written(t, d)
			if p := Diff(site, state, givenNow, nil); len(p.Changes) > 0 {
				t.Errorf("something is left to do: %s\n%s", rendered(p), text)
			}
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
			if was.Snapshots == nil {
				return
			}
			if again, _ := written(t, deduce(findIn(was, &state), givenNow)); again != text {
				t.Error(cmp.Diff(text, again))
			}
		})
	}
}

// Restores are written by their marks and their files.
func TestInitWritesRestores(t *testing.T) {
	entries := "retention: {last: 2}\nrestoreDefaults: {grace: 30m, conf: {set: {work_mem: 1MB}}}\nrestores:\n" + `  - {name: time, target: {time: "2026-11-23 11:00:00.5+00"}, port: 6001}
  - {name: lsn, target: {lsn: 0/5000000, stop: before}, port: 6002, dataset: elsewhere, mountpoint: /there}
  - {name: xid, target: {xid: 7, stop: after}, port: 6003, keep: true, grace: 1h}
  - {name: point, target: {restorePoint: "a b after"}, port: 6004, properties: {refquota: 50G}}
  - {name: snap, target: {snapshot: zr-20261123T113000Z}, port: 6005, listenAddresses: "*", hba: ["host all all all trust", "local all all peer"]}
  - {name: latest, target: {latest: true}, port: 6006, action: promote, conf: {set: {shared_buffers: 1GB}}}
`
	was := givenSite(t, "retention: {last: 2}\n", entries)
	state := converged(t, was)
	for _, r := range was.Restores {
		addDataset(&state, r.Dataset, r.Properties)
		marks := []string{markSite, was.Name, markFormat, marksFormat, markRestore, r.Name, markState, stateReady, markDataDir, "pg",
			markTarget, targetText(r.Target), markStop, "1 0/5000000 after", markMajor, "15", markMadeAt, FormatTime(ago(time.Hour))}
		for _, p := range entryMarks(r) {
			marks = append(marks, p.Name, p.Value)
		}
		if r.Mountpoint != "" {
			marks = append(marks, "mountpoint", r.Mountpoint)
		}
		change(&state, r.Dataset, local(marks...))
		data := *dataset(&state, r.Dataset)
		c := Clone{Restore: r.Name, Dataset: data, Marks: localMarks(data.Properties), Process: postgres.Process{Running: true, Port: r.Port}, Promoted: r.Action == "promote"}
		w, err := givenView(was, &state).cloneFiles(r, c)
		if err != nil {
			t.Fatal(err)
		}
		c.Files = w.files
		state.Clones = append(state.Clones, c)
	}
	if p := Diff(was, state, givenNow, nil); len(p.Changes) > 0 {
		t.Fatalf("the host is not converged before: %s", rendered(p))
	}
	text, site := written(t, deduce(findIn(was, &state), givenNow))
	if p := Diff(site, state, givenNow, nil); len(p.Changes) > 0 {
		t.Errorf("something is left to do: %s\n%s", rendered(p), text)
	}
	for _, r := range site.Restores {
		i := slices.IndexFunc(was.Restores, func(o spec.Restore) bool { return o.Name == r.Name })
		if diff := cmp.Diff(was.Restores[i], r, cmp.Comparer(func(a, b spec.Pos) bool { return true })); diff != "" {
			t.Errorf("restore %s:\n%s", r.Name, diff)
		}
	}
	if len(site.Restores) != len(was.Restores) {
		t.Errorf("%d restores were written:\n%s", len(site.Restores), text)
	}

	// What left its file goes its way; what is unfinished is nobody's.
	change(&state, was.Restores[0].Dataset, local(markLeftAt, FormatTime(ago(time.Minute))))
	change(&state, was.Restores[1].Dataset, local(markState, stateMaking))
	change(&state, was.Restores[2].Dataset, local(markTarget, "what a later version knows"))
	d := deduce(findIn(was, &state), givenNow)
	if notes := strings.Join(d.notes, "\n"); len(d.site.Restores) != len(was.Restores)-3 || !strings.Contains(notes, "restore time has no entry: it left its file") ||
		!strings.Contains(notes, "restore lsn has no entry: it was left unfinished") || !strings.Contains(notes, "no target that this version knows") {
		t.Errorf("%d restores are left, and the notes are:\n%s", len(d.site.Restores), notes)
	}
}

// The archive of a site with continuousFor has no WAL between its old snapshots.
func TestInitFindsHowFarBackTheArchiveGoes(t *testing.T) {
	was := givenSite(t, "{last: 2}", "{last: 9}", "dir: /arch/wal", "dir: /arch/wal\n  continuousFor: 90m")
	state := converged(t, was)
	state.ZFS.Snapshots = nil
	for _, s := range []struct {
		at   time.Duration
		redo int
	}{{4 * time.Hour, 60}, {3 * time.Hour, 70}, {2 * time.Hour, 80}, {time.Hour, 90}, {30 * time.Minute, 100}} {
		addSnapshot(&state, was, ago(s.at), s.redo)
	}
	state.Archive.Inventory = wal.Inventory{Segments: slices.Concat(segments(1, 60, 61), segments(1, 70, 71), segments(1, 80, 109))}
	// The second one has what the archive lacks between the first and itself.
	held := state.ZFS.Snapshots[1].Properties
	held[markWALFrom], held[markReplayed] = zfs.Value{Value: lsn(61).String(), Source: "local"}, zfs.Value{Value: (lsn(70) + 9).String(), Source: "local"}
	if p := Diff(was, state, givenNow, nil); len(p.Changes) > 0 {
		t.Fatalf("the host is not converged before: %s", rendered(p))
	}
	settled := func() *spec.Site {
		d := deduce(findIn(was, &state), givenNow)
		_, site := written(t, d)
		site, err := d.settleContinuous(spec.Remarks{}, site, state, givenNow)
		if err != nil {
			t.Fatal(err)
		}
		if p := Diff(site, state, givenNow, nil); len(p.Changes) > 0 {
			t.Errorf("with continuousFor %s: %s", site.Archive.ContinuousFor, rendered(p))
		}
		return site
	}
	if got := settled().Archive.ContinuousFor; got != 2*time.Hour {
		t.Errorf("continuousFor is %s", got)
	}
	held[markWALFrom] = zfs.Value{} // what is missing can't be had: no plan tells of it
	if got := settled().Archive.ContinuousFor; got != 2*time.Hour {
		t.Errorf("where nothing can be brought, continuousFor is %s", got)
	}
	state.Archive.Inventory = wal.Inventory{Segments: segments(1, 60, 109)}
	if got := settled().Archive.ContinuousFor; got != 0 {
		t.Errorf("of a whole archive, continuousFor is %s", got)
	}
}

func TestInitLeavesAlone(t *testing.T) {
	was := givenSite(t)
	state := converged(t, was)
	addDataset(&state, "zp1/clone", nil)
	dataset(&state, "zp1/clone").Origin = "zp1/data@x"
	addDataset(&state, "zp1/volume", nil)
	dataset(&state, "zp1/volume").Type = "volume"
	addDataset(&state, "zp1/others", nil)
	change(&state, "zp1/others", local(markSite, "another", markFormat, marksFormat))
	addDataset(&state, "zp1/zreconcile", nil)
	change(&state, "zp1/zreconcile", local(markSite, "s1", markFormat, marksFormat, "canmount", "off"))
	addDataset(&state, "zp1/be2", nil)
	change(&state, "zp1/be2", local("mountpoint", "/data", "com.example:x", "a\nb", "quota", "1073741824"))
	addDataset(&state, "zp1/path", nil) // ours, and of use: it has a quota
	change(&state, "zp1/path", local(markSite, "s1", markFormat, marksFormat, "canmount", "off", "quota", "0"))
	d := deduce(findIn(was, &state), givenNow)
	var names []string
	for _, dataset := range d.site.Datasets {
		names = append(names, dataset.Name)
	}
	if diff := cmp.Diff([]string{"zp1/be2", "zp1/data", "zp1/path", "zp1/wal"}, names); diff != "" {
		t.Errorf("datasets (-want +got):\n%s", diff)
	}
	notes := strings.Join(d.notes, "\n")
	for _, want := range []string{"dataset zp1/clone is left alone: it is a clone", "zp1/volume is left alone: it is a volume", "zp1/others is left alone: it is another site's",
		`the property "com.example:x" of zp1/be2 is left out`, "the mountpoint /data of dataset zp1/data is left out"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in:\n%s", want, notes)
		}
	}
}

func TestInitOfVdevsThatAFileCannotSay(t *testing.T) {
	device := func(paths ...string) (list []zfs.Device) {
		for _, p := range paths {
			list = append(list, zfs.Device{Path: p})
		}
		return list
	}
	for want, vdevs := range map[string][]zfs.Vdev{
		"draid1 can't be said":    {{Type: "draid1", Devices: device("/a", "/b")}},
		"dedup can't be said":     {{Devices: device("/a")}, {Class: "dedup", Devices: device("/b")}},
		"the device sdx is not":   {{Devices: device("sdx")}},
		"at work in two places":   {{Devices: device("/a")}, {Class: "spare", Devices: device("/a")}},
		"called otherwise after ": {{Devices: device("/dev/sdb1")}},
	} {
		was := givenSite(t)
		state := converged(t, was)
		state.ZFS.Pool.Vdevs = vdevs
		f := findIn(was, &state)
		delete(f.devices, "sdx")
		d := deduce(f, givenNow)
		if notes := strings.Join(d.notes, "\n"); !strings.Contains(notes, want) || (d.site.Pool.Vdevs == nil) != !strings.HasPrefix(want, "called") {
			t.Errorf("vdevs %v, notes %q, want %q", d.site.Pool.Vdevs, notes, want)
		}
	}
}

func TestInitOfAStandbyThatAFileCannotSay(t *testing.T) {
	for want, spoil := range map[string]func(*foundCluster){
		"is the mountpoint of zp1/data itself": func(c *foundCluster) { c.dataDir = "/data" },
		"its pg_wal is a link to /root/wal":    func(c *foundCluster) { c.storage.WALDir = "/root/wal" },
		"its tablespace 1 is at /root/ts":      func(c *foundCluster) { c.storage.Tablespaces = map[string]string{"1": "/root/ts"} },
		"primary_conninfo is empty":            func(c *foundCluster) { c.settings["primary_conninfo"] = " " },
		"connection URI":                       func(c *foundCluster) { c.settings["primary_conninfo"] = "postgresql://u:hidden@h/" },
		"a service file":                       func(c *foundCluster) { c.settings["primary_conninfo"] = "service=x" },
		"names no host":                        func(c *foundCluster) { c.settings["primary_conninfo"] = "user=x" },
		"a port for each host (1,2)":           func(c *foundCluster) { c.settings["primary_conninfo"] = "host=a,b port=1,2 user=x" },
	} {
		was := givenSite(t)
		state := converged(t, was)
		f := findIn(was, &state)
		spoil(f.cluster)
		d := deduce(f, givenNow)
		notes := strings.Join(d.notes, "\n")
		if !strings.Contains(notes, want) || d.site.Standby != nil || d.site.Archive != nil || strings.Contains(notes, "hidden") {
			t.Errorf("standby %v, notes %q, want %q", d.site.Standby, notes, want)
		}
		written(t, d)
	}
}

// handmadeCluster is a standby that pg_basebackup -R made.
func handmadeCluster(conninfo string) *foundCluster {
	return &foundCluster{user: postgres.OSUser{Name: "pg"}, settings: map[string]string{"primary_conninfo": conninfo, "primary_slot_name": "s"}}
}

func TestInitReadsConnectionStrings(t *testing.T) {
	for conninfo, want := range map[string]spec.Primary{
		"user=r password=hidden channel_binding=prefer host=db port=5433 sslmode=prefer sslcompression=0 sslsni=1 ssl_min_protocol_version=TLSv1.2 gssencmode=prefer krbsrvname=postgres target_session_attrs=any": {
			Hosts: []string{"db"}, Port: 5433, User: "r", SSLMode: "prefer", ApplicationName: "walreceiver", Slot: "s"},
		"hostaddr=10.0.0.1": {Hosts: []string{"10.0.0.1"}, Port: 5432, User: "pg", SSLMode: "prefer", ApplicationName: "walreceiver", Slot: "s"},
		"host=a,b port=,5432 user='a b' dbname=replication application_name=x sslmode=verify-ca sslrootcert=/ca connect_timeout=10 channel_binding=require sslpassword=hidden": {
			Hosts: []string{"a", "b"}, Port: 5432, User: "a b", SSLMode: "verify-ca", SSLRootCert: "/ca", ApplicationName: "x", Slot: "s",
			Options: []spec.Setting{{Name: "channel_binding", Value: "require"}, {Name: "connect_timeout", Value: "10"}}},
	} {
		got, told, err := primaryOf(handmadeCluster(conninfo))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", conninfo, err, diff)
		}
		if all := strings.Join(told, " "); strings.Contains(all, "hidden") || strings.Contains(conninfo, "sslpassword") != strings.Contains(all, "sslpassword") {
			t.Errorf("%s: told %q", conninfo, told)
		}
	}
	c := handmadeCluster("host=db")
	c.settings["cluster_name"] = "named"
	if p, _, _ := primaryOf(c); p.ApplicationName != "named" {
		t.Errorf("the WAL receiver is called %s", p.ApplicationName)
	}
}

// A password that stands in the connection string is asked to be put elsewhere.
func TestInitSaysWhereThePasswordGoes(t *testing.T) {
	for name, test := range map[string]struct {
		password foundPassword
		from     spec.PasswordFrom
		note     string
	}{
		"none":           {},
		"inline":         {foundPassword{secret: "hidden", inline: true}, spec.PasswordFrom{File: passwordFile}, "put the primary's password"},
		"in a passfile":  {foundPassword{secret: "hidden", from: spec.PasswordFrom{Passfile: "/p"}}, spec.PasswordFrom{Passfile: "/p"}, "the standby's own copy"},
		"in a file":      {foundPassword{secret: "hidden", from: spec.PasswordFrom{File: passwordFile}}, spec.PasswordFrom{File: passwordFile}, ""},
		"not to be read": {foundPassword{passfile: "no such file"}, spec.PasswordFrom{File: passwordFile}, "could not be read (no such file)"},
	} {
		was := givenSite(t)
		state := converged(t, was)
		f := findIn(was, &state)
		f.cluster.password = test.password
		d := deduce(f, givenNow)
		text, site := written(t, d)
		notes := strings.Join(d.notes, "\n")
		if site.Standby.Primary.PasswordFrom != test.from || !strings.Contains(notes, test.note) || strings.Contains(text+notes, "hidden") || test.note == "" && notes != "" {
			t.Errorf("%s: from %+v, notes %q", name, site.Standby.Primary.PasswordFrom, notes)
		}
	}
}

// A server that reads its configuration elsewhere, as Debian's do, keeps it.
func TestInitTakesSettingsFromOutside(t *testing.T) {
	was := givenSite(t)
	state := converged(t, was)
	f := findIn(was, &state)
	c := f.cluster
	c.managedBy, c.files, c.confFile = "", map[string][]byte{autoFile: []byte("work_mem = '1MB'\n")}, "/etc/postgresql/15/main/postgresql.conf"
	c.outside = []byte("port = 5432\ndata_directory = '/x'\nshared_buffers = 1GB\nwork_mem = '2MB'\nssl_passphrase_command = 'cat /key'\narchive_command = 'x'\n")
	d := deduce(f, givenNow)
	if diff := cmp.Diff([]spec.Setting{{Name: "shared_buffers", Value: "1GB"}}, d.site.Standby.Conf.Set); diff != "" {
		t.Error(diff)
	}
	if notes := strings.Join(d.notes, "\n"); !strings.Contains(notes, "ssl_passphrase_command") || strings.Contains(notes, "/key") {
		t.Errorf("notes %q", notes)
	}
}

func TestInitChoosesTheSite(t *testing.T) {
	marked := func(sites ...string) zfs.Inventory {
		pool := zfs.Inventory{Pool: &zfs.Pool{Name: "tank"}, Datasets: []zfs.Dataset{{Name: "tank", Properties: inherited("x", markSite, "stranger")}}}
		for _, s := range sites {
			pool.Snapshots = append(pool.Snapshots, zfs.Snapshot{Properties: local(markSite, s)})
		}
		return pool
	}
	for _, test := range []struct {
		option, managed string
		marks           []string
		want            string
		guessed         bool
	}{
		{want: "tank", guessed: true},
		{marks: []string{"a", "a"}, want: "a"},
		{marks: []string{"a", "b"}, managed: "b", want: "b"},
		{marks: []string{"a", "b"}, managed: "b", option: "c", want: "c"},
		{marks: []string{"a", "b"}},
	} {
		got, guessed, err := chooseSite(InitOptions{Site: test.option}, marked(test.marks...), test.managed)
		if got != test.want || guessed != test.guessed || (err != nil) != (test.want == "") {
			t.Errorf("%+v: %q, %v, %v", test, got, guessed, err)
		}
		if test.want == "" && (err == nil || !isKind(err, ErrRefused) || !strings.Contains(err.Error(), "a, b") || !strings.Contains(err.Error(), "--site")) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestInitKnowsTheSiteOfAFile(t *testing.T) {
	for header, want := range map[string][2]string{
		managedHeader("a.b"): {"a.b", ""},
		ejectedHeader("a.b"): {"", "a.b"},
		"Something else":     {},
	} {
		b := conf.Render(header, []conf.Setting{{Name: "port", Value: "1"}})
		if got := [2]string{siteNamedBy(b), siteLeft(b)}; got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestInitPicksThePool(t *testing.T) {
	for _, test := range []struct {
		wanted      string
		pools, used []string
		want, says  string
	}{
		{says: "no ZFS pool is imported"},
		{pools: []string{"a"}, want: "a"},
		{pools: []string{"a", "b"}, says: "several pools: a, b; say which one the file is about: --pool a"},
		{pools: []string{"a", "b"}, used: []string{"b", "b"}, want: "b"},
		{pools: []string{"a", "b"}, used: []string{"b", "gone"}, want: "b"},
		{pools: []string{"a", "b"}, used: []string{"gone"}, says: "several pools"},
		{pools: []string{"a", "b"}, used: []string{"a", "b"}, says: "several pools"},
		{wanted: "a", pools: []string{"a", "b"}, used: []string{"b"}, want: "a"},
		{wanted: "c", pools: []string{"a", "b"}, says: "no pool c is imported here; there are: a, b"},
	} {
		got, err := pickPool(test.wanted, test.pools, test.used)
		if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
		if isKind(err, ErrRefused) != strings.Contains(test.says, "several") {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func TestArchiveOf(t *testing.T) {
	for command, want := range map[string]string{
		"":                                   "",
		"/bin/true":                          "",
		"cp %p /arch/wal/%f":                 "/arch/wal",
		"test ! -f /a/%f && cp %p '/a/b/%f'": "/a",
		"cp %p \"/arch/wal//%f\"":            "/arch/wal",
		"/x/zreconcile wal push --archive '/a b/it'\\''s %%' --data-dir /d %p":      "/a b/it's %",
		"/x/zreconcile wal push --archive /arch/wal --data-dir /d --system-id 1 %p": "/arch/wal",
	} {
		if got := archiveOf(command); got != want {
			t.Errorf("%s archives to %q, want %q", command, got, want)
		}
	}
}

// WAL that snapshots by hand may need stays where apply never removes anything.
func TestInitKeepsTheArchiveOfOthers(t *testing.T) {
	was := givenSite(t)
	for name, test := range map[string]struct {
		spoil func(*found)
		want  string
	}{
		"of the site":                         {func(*found) {}, "/arch/wal"},
		"by hand, nothing in it":              {func(f *found) { f.cluster.managedBy = "" }, "/arch/wal"},
		"by hand, snapshots, WAL":             {func(f *found) { f.cluster.managedBy, f.cluster.archived = "", 1 }, "/arch/wal-zreconcile"},
		"of the site, with others' snapshots": {func(f *found) { f.cluster.archived = 1 }, "/arch/wal"},
		"by hand, WAL, nobody's snapshots":    {func(f *found) { f.cluster.managedBy, f.cluster.archived, f.pool.Snapshots = "", 1, nil }, "/arch/wal"},
		"at the mountpoint": {func(f *found) {
			f.cluster.managedBy, f.cluster.settings["archive_command"] = "", "cp %p /arch/%f"
		}, "/arch/zreconcile"},
		"ejected": {func(f *found) {
			c := f.cluster
			c.managedBy, c.ejected, c.archived = "", "s1", 1
			c.settings["archive_command"], c.settings["restore_command"] = "/bin/true", "test -f /arch/wal/%f && cp /arch/wal/%f %p"
		}, "/arch/wal-zreconcile"},
		"restored from, and not archived to": {func(f *found) {
			f.cluster.managedBy, f.cluster.settings["archive_command"], f.cluster.settings["restore_command"] = "", "", "cp /arch/wal/%f %p"
		}, ""},
		"elsewhere": {func(f *found) { f.cluster.settings["archive_command"] = "cp %p /mnt/%f" }, ""},
		"nowhere":   {func(f *found) { f.cluster.settings["archive_command"] = "" }, ""},
	} {
		state := converged(t, was)
		addStranger(&state, "zp1/data", "by-hand", nil)
		f := findIn(was, &state)
		test.spoil(&f)
		d := deduce(f, givenNow)
		got := ""
		if d.site.Archive != nil {
			got = d.site.Archive.Dir
		}
		if got != test.want || got == "" && !strings.Contains(strings.Join(d.notes, "\n"), "the file has no archive") {
			t.Errorf("%s: %q, want %q; notes %q", name, got, test.want, d.notes)
		}
	}
}

func TestCadenceOf(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		ages []time.Duration // oldest first
		own  bool
		want time.Duration
	}{
		"none":                {nil, false, day},
		"one":                 {[]time.Duration{time.Minute}, true, day},
		"hourly":              {[]time.Duration{185 * time.Minute, 125 * time.Minute, 65 * time.Minute, 5 * time.Minute}, true, time.Hour},
		"hourly, a bit late":  {[]time.Duration{187 * time.Minute, 125 * time.Minute, 63 * time.Minute, time.Minute}, true, time.Hour},
		"hourly, one by hand": {[]time.Duration{125 * time.Minute, 65 * time.Minute, 64 * time.Minute, 4 * time.Minute}, true, time.Hour},
		"hourly, due soon":    {[]time.Duration{175 * time.Minute, 115 * time.Minute, 55 * time.Minute}, true, 2 * time.Hour},
		"hourly, long ago":    {[]time.Duration{75 * time.Hour, 74 * time.Hour, 73 * time.Hour}, true, 7 * day},
		"years ago":           {[]time.Duration{800 * day}, true, 800*day + 365*day},
		"others', daily":      {[]time.Duration{75 * time.Hour, 51 * time.Hour, 27 * time.Hour}, false, day},
	} {
		var taken []time.Time
		for _, age := range test.ages {
			taken = append(taken, ago(age))
		}
		var newest *time.Time
		if test.own {
			newest = &taken[len(taken)-1]
		}
		got := cadenceOf(taken, newest, givenNow)
		if got != test.want {
			t.Errorf("%s: every %s, want %s", name, got, test.want)
		}
		if due, _, _, err := Due("", got, time.UTC, newest, givenNow.Add(soon-time.Second)); err != nil || due && newest != nil {
			t.Errorf("%s: due soon: %v, %v", name, due, err)
		}
	}
}

func TestLastingName(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if vdev := file("vdev"); lastingName(vdev, nil) != vdev {
		t.Error("a file has not its own name")
	}
	links := []string{link("wwn-0x5", "/dev/null"), link("ata-Long_Model_S1", "/dev/null"), link("ata-Model_S1", "/dev/null"), link("other", "/dev/zero")}
	if got := lastingName("/dev/null", links); filepath.Base(got) != "ata-Model_S1" {
		t.Errorf("the best link is %s", got)
	}
	if got := lastingName("null", links); filepath.Base(got) != "ata-Model_S1" {
		t.Errorf("by its last name alone, it is %s", got)
	}
	if got := lastingName("/dev/null", links[:1]); filepath.Base(got) != "wwn-0x5" {
		t.Errorf("the only link is %s", got)
	}
	if got := lastingName("null", nil); got != "/dev/null" {
		t.Errorf("without links, it is %s", got)
	}
	if got := lastingName("no-such-device", links); got != "" {
		t.Errorf("what is not there is %s", got)
	}
}

func TestHostZone(t *testing.T) {
	dir := t.TempDir()
	for target, want := range map[string]string{"/usr/share/zoneinfo/Asia/Shanghai": "Asia/Shanghai", "/usr/share/zoneinfo/Etc/UTC": "", "/usr/share/zoneinfo/No/Where": "", "/etc/x": ""} {
		path := filepath.Join(dir, strings.ReplaceAll(target, "/", "_"))
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		got := ""
		if zone := hostZone(path); zone != nil {
			got = zone.String()
		}
		if got != want {
			t.Errorf("%s is %q, want %q", target, got, want)
		}
	}
}

// What an apply would do tells of settings that take effect, and of no password.
func TestInitTellsWhatTakesEffect(t *testing.T) {
	now := map[string]string{"archive_mode": "on", "hot_standby": "on", "work_mem": "4MB", "primary_conninfo": "host=a password=hidden", "restore_command": ""}
	attrs := []Attr{{Name: "archive_mode", After: "always"}, {Name: "hot_standby", After: "on"}, {Name: "work_mem", After: "4096kB"},
		{Name: "primary_conninfo", After: "host=a"}, {Name: "restore_command", After: "x"}, {Name: "pg_hba.conf", Before: "present", After: "y"},
		{Name: "postgresql.auto.conf: port", Before: "1"}, {Name: "postgresql.auto.conf: archive_mode", Before: "on"}}
	got, restart := effectiveAttrs(attrs, now, 15)
	want := []Attr{{Name: "archive_mode", Before: "on", After: "always"}, {Name: "primary_conninfo", Before: "(not shown: it may hold a password)", After: "host=a"},
		{Name: "restore_command", After: "x"}, {Name: "pg_hba.conf", Before: "present", After: "y"}, {Name: "postgresql.auto.conf", After: "commented out: port, archive_mode"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"archive_mode"}, restart); diff != "" {
		t.Error(diff)
	}
	if _, restart := effectiveAttrs(attrs, now, 12); len(restart) != 3 {
		t.Errorf("with PostgreSQL 12 these restart: %v", restart)
	}
}

// A restore that stands in site.d beside the file is not written into it as well.
func TestInitLeavesOutWhatStandsBeside(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "site.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(dir, "site.d", "one.yaml")
	if err := os.WriteFile(beside, []byte("restores:\n  - {name: one, target: {latest: true}, port: 6001}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	was := givenSite(t)
	state := converged(t, was)
	d := deduce(findIn(was, &state), givenNow)
	d.site.Restores = []spec.Restore{{Name: "one"}, {Name: "two"}}
	if err := (&Host{}).leaveOutBeside(d, filepath.Join(dir, "site.yaml")); err != nil {
		t.Fatal(err)
	}
	if len(d.site.Restores) != 1 || d.site.Restores[0].Name != "two" || !strings.Contains(strings.Join(d.notes, "\n"), "restore one is not written: it stands in "+beside) {
		t.Errorf("restores %v, notes %q", d.site.Restores, d.notes)
	}
	d.site.Restores = nil
	site, problems, err := d.parse(spec.Remarks{})
	if err != nil || len(problems.Errors()) > 0 || len(site.Restores) != 1 || site.Restores[0].Name != "one" {
		t.Errorf("with what stands beside, the file reads as %+v (%v, %v)", site, problems, err)
	}
}

func TestInitTellsOfRivals(t *testing.T) {
	was := givenSite(t)
	state := converged(t, was)
	f := findIn(was, &state)
	f.rivals = []rival{{Name: "unit a", DataDir: "/data/pg", Mend: "stop a"}, {Name: "unit b", DataDir: "/elsewhere", Mend: "stop b"}}
	d := deduce(f, givenNow)
	if diff := cmp.Diff([]string{"unit a is for the same data directory; before the first apply of the standby: stop a"}, d.rivalNotes()); diff != "" {
		t.Error(diff)
	}
}
