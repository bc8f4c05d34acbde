package spec

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const entrySite = `version: 1
site: rds-prod
pool: {name: zp1}
datasets: [{name: data, properties: {mountpoint: /data}}, {name: wal, properties: {mountpoint: /wal}}]
standby: {dataDir: /data/pg, port: 1922, primary: {host: p, user: r}}
archive: {dir: /wal/archive}
snapshots: {every: 1h, retention: {last: 4}}
restoreDefaults: {grace: 2h}
`

func TestEntryFile(t *testing.T) {
	keep := false
	e := Entry{Name: "before-drop", Target: EntryTarget{Time: "2020-03-21 17:28:37.670338+08"}, Port: 1923,
		Action: "promote", ExpiresAfter: "24h", Grace: "0s", Keep: &keep}
	got, err := e.File()
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by zreconcile restore. It may be edited: watch takes that up, or the
# next apply does. To take it out again: zreconcile restore before-drop --remove
restores:
  - name: before-drop
    target: {time: '2020-03-21 17:28:37.670338+08'}
    port: 1923
    action: promote
    expiresAfter: 24h
    grace: 0s
    keep: false
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}

// drawEntry draws an entry that Check has nothing against, of words that YAML
// would take for something else among others.
func drawEntry(t *rapid.T) Entry {
	name := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}`), rapid.SampledFrom([]string{"null", "on", "1e3", "0x1f", "2020-03-21", "12:30:45", "007"})).Draw(t, "name")
	e := Entry{Name: name, Port: rapid.IntRange(1, 65535).Draw(t, "port")}
	stop := rapid.SampledFrom([]string{"before", "after"})
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		at := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at"))
		zone := time.FixedZone("", 900*rapid.IntRange(-48, 56).Draw(t, "zone"))
		form := rapid.SampledFrom([]string{time.RFC3339Nano, "2006-01-02 15:04:05.000000-07:00", "2006-01-02 15:04:05-0700"}).Draw(t, "form")
		e.Target.Time = at.In(zone).Format(form)
	case 1:
		e.Target.LSN, e.Target.Stop = rapid.StringMatching(`[0-9A-F]{1,8}/[0-9A-F]{1,8}`).Draw(t, "lsn"), stop.Draw(t, "stop")
	case 2:
		e.Target.XID, e.Target.Stop = rapid.StringMatching(`[0-9]{1,20}`).Draw(t, "xid"), stop.Draw(t, "stop")
	case 3:
		e.Target.RestorePoint = rapid.StringMatching(`[ -~äß漢]{1,20}`).Draw(t, "point")
	case 4:
		e.Target.Snapshot = rapid.StringMatching(`[A-Za-z0-9_.:-]+`).Draw(t, "snapshot")
	default:
		e.Target.Latest = true
	}
	e.Dataset = rapid.StringMatching(`(d[a-z0-9]{0,8}(/[a-z0-9]{1,8})?)?`).Filter(func(s string) bool { return s != "data" }).Draw(t, "dataset")
	e.Mountpoint = rapid.StringMatching(`(/x[a-z0-9]{1,8})?`).Draw(t, "mountpoint")
	e.Action = rapid.SampledFrom([]string{"", "pause", "promote"}).Draw(t, "action")
	e.ExpiresAfter = rapid.SampledFrom([]string{"", "24h", "7d", "90m", "1h30m", "2s"}).Draw(t, "expires")
	e.Grace = rapid.SampledFrom([]string{"", "0", "0s", "1h", "1y"}).Draw(t, "grace")
	if keep := rapid.IntRange(0, 2).Draw(t, "keep"); keep < 2 {
		value := keep == 1
		e.Keep = &value
	}
	return e
}

// decoded is the Restore that an entry asks for, without its place.
func decoded(t *rapid.T, e Entry) Restore {
	r := Restore{Name: e.Name, Port: e.Port, Mountpoint: e.Mountpoint, ListenAddresses: "localhost", Action: "pause", Grace: 2 * time.Hour,
		Dataset: "zp1/zreconcile/rds-prod/" + e.Name,
		Target:  Target{LSN: e.Target.LSN, XID: e.Target.XID, RestorePoint: e.Target.RestorePoint, Snapshot: e.Target.Snapshot, Latest: e.Target.Latest, Stop: e.Target.Stop}}
	span := func(s string, into *time.Duration) {
		d, err := ParseDuration(s)
		if s != "" && err != nil {
			t.Fatal(err)
		}
		if s != "" {
			*into = d
		}
	}
	span(e.ExpiresAfter, &r.ExpiresAfter)
	span(e.Grace, &r.Grace)
	if e.Dataset != "" {
		r.Dataset = "zp1/" + e.Dataset
	}
	if e.Action != "" {
		r.Action = e.Action
	}
	r.Keep = r.Action == "promote"
	if e.Keep != nil {
		r.Keep = *e.Keep
	}
	if e.Target.Time != "" {
		at, err := ParseTime(e.Target.Time)
		if err != nil {
			t.Fatal(err)
		}
		r.Target.Time = at
	}
	return r
}

// What is written is read as what was asked for: by the site, and by the command
// that wrote it.
func TestEntryFileIsReadAsItWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		data, err := e.File()
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		path := EntryPath("/etc/z/site.yaml", e.Name)
		site, problems := Parse(map[string][]byte{"/etc/z/site.yaml": []byte(entrySite), path: data}, "/etc/z/site.yaml")
		if site == nil {
			t.Fatalf("%s\n%v", data, problems)
		}
		got := site.Restores[0]
		if got.Pos.File != path {
			t.Errorf("its place is %v", got.Pos)
		}
		got.Pos, got.Conf = Pos{}, nil
		if diff := cmp.Diff(decoded(t, e), got); diff != "" {
			t.Errorf("%s\nrestore (-want +got):\n%s", data, diff)
		}
		back, err := ParseEntry(path, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("%s\nread back (-want +got):\n%s", data, diff)
		}
		again, err := back.File()
		if err != nil || string(again) != string(data) {
			t.Errorf("the second time it is written otherwise: %v\n%s", err, again)
		}
	})
}

func TestEntryCheck(t *testing.T) {
	latest := EntryTarget{Latest: true}
	for name, test := range map[string]struct {
		entry Entry
		want  string // "" is nothing wrong
	}{
		"good":             {Entry{Name: "a", Target: latest, Port: 1}, ""},
		"path as name":     {Entry{Name: "../a", Target: latest, Port: 1}, "begins with a letter or digit"},
		"hidden":           {Entry{Name: ".a", Target: latest, Port: 1}, "begins with a letter or digit"},
		"slash":            {Entry{Name: "a/b", Target: latest, Port: 1}, "begins with a letter or digit"},
		"newline":          {Entry{Name: "a\nb", Target: latest, Port: 1}, "name"},
		"long":             {Entry{Name: strings.Repeat("a", 64), Target: latest, Port: 1}, "63"},
		"empty":            {Entry{Target: latest, Port: 1}, "name"},
		"no target":        {Entry{Name: "a", Port: 1}, "target"},
		"two":              {Entry{Name: "a", Target: EntryTarget{Latest: true, LSN: "0/1"}, Port: 1}, "one of"},
		"time, no zone":    {Entry{Name: "a", Target: EntryTarget{Time: "2020-03-21 17:28:37"}, Port: 1}, "has no offset from UTC: add one, such as +08:00"},
		"no time":          {Entry{Name: "a", Target: EntryTarget{Time: "yesterday"}, Port: 1}, "is no time"},
		"no stop":          {Entry{Name: "a", Target: EntryTarget{LSN: "0/1"}, Port: 1}, "needs stop"},
		"stop with time":   {Entry{Name: "a", Target: EntryTarget{Time: "2020-03-21 17:28:37Z", Stop: "before"}, Port: 1}, "stop goes with"},
		"no LSN":           {Entry{Name: "a", Target: EntryTarget{LSN: "zz", Stop: "before"}, Port: 1}, "a WAL location such as"},
		"port":             {Entry{Name: "a", Target: latest, Port: 70000}, "port"},
		"expires":          {Entry{Name: "a", Target: latest, Port: 1, ExpiresAfter: "24"}, "has no unit"},
		"grace":            {Entry{Name: "a", Target: latest, Port: 1, Grace: "soon"}, "is no duration"},
		"relative":         {Entry{Name: "a", Target: latest, Port: 1, Mountpoint: "x"}, "mountpoint"},
		"expires at once":  {Entry{Name: "a", Target: latest, Port: 1, ExpiresAfter: "0s"}, "longer than 0"},
		"dataset of pool?": {Entry{Name: "a", Target: latest, Port: 1, Dataset: "/x"}, "leading /"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.entry.Check()
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v does not say %q", err, test.want)
			}
			if data, err := test.entry.File(); err == nil {
				t.Errorf("it is written all the same:\n%s", data)
			}
		})
	}
}

// What the command would lose is not overwritten: it says where it stands.
func TestParseEntryNamesWhatItCannotSay(t *testing.T) {
	for text, want := range map[string]string{
		"restores:\n  - {name: a, target: {latest: true}, port: 1}\n  - {name: b, target: {latest: true}, port: 2}\n": `d/a.yaml:3 holds the restore "b"`,
		"restores:\n  - name: a\n    target: {latest: true}\n    port: 1\n    hba: [local all all peer]\n":            "d/a.yaml:5 holds hba",
	} {
		_, err := ParseEntry("d/a.yaml", []byte(text))
		var foreign *ForeignError
		if !errors.As(err, &foreign) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, text := range []string{"restores: []\n", "restores: [", "", "restores: [{name: a}]\n"} {
		if e, err := ParseEntry("d/a.yaml", []byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
}

func TestLoadWith(t *testing.T) {
	path := write(t, "site.yaml", entrySite, "site.d/b.yaml", "restores: [{name: b, target: {latest: true}, port: 5436}]\n")
	site, problems, err := LoadWith(path, EntryPath(path, "a"), []byte("restores: [{name: a, target: {latest: true}, port: 5435}]\n"))
	if err != nil || site == nil || len(site.Restores) != 2 {
		t.Fatalf("%v: %v", err, problems)
	}
	site, problems, err = LoadWith(path, EntryPath(path, "a"), []byte("restores: [{name: b, target: {latest: true}, port: 5435}]\n"))
	if err != nil || site != nil || !strings.Contains(problems.Error(), "another restore") {
		t.Errorf("%v: %v", err, problems)
	}
	if site, _, err = Load(path); err != nil || len(site.Restores) != 1 {
		t.Errorf("something was written: %v", err)
	}
}

// FuzzParseEntry: no bytes make it panic, and what it takes for an entry is
// written as that entry.
func FuzzParseEntry(f *testing.F) {
	for _, target := range []string{"{latest: true}", "{lsn: 0/1, stop: before}", "{xid: 7, stop: after}", "{time: 2020-03-21 17:28:37Z}", "{restorePoint: p}", "{snapshot: s}"} {
		f.Add([]byte("restores:\n  - {name: a, target: " + target + ", port: 1, action: promote, expiresAfter: 1h, grace: 0, keep: false, dataset: d, mountpoint: /m}\n"))
	}
	f.Add([]byte("restores: [{name: a, target: {latest: true}, port: 1, hba: [x]}, {name: b}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEntry("a.yaml", data)
		if err != nil {
			return
		}
		written, err := e.File()
		if err != nil {
			return // such as a time that is none: the schema lets it pass
		}
		if back, err := ParseEntry("a.yaml", written); err != nil || !cmp.Equal(e, back) {
			t.Errorf("%q is read as %+v, and once written as %+v: %v", data, e, back, err)
		}
	})
}
