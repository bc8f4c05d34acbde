package conf

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPitfall39_ParseReadsTheServersSyntax(t *testing.T) {
	file := "# comment\n" +
		"\n" +
		"Port 5433\r\n" +
		"\tWORK_MEM=64MB # why\n" +
		"log_line_prefix='it''s \\'q\\' \\t\\101\\n\\q'\n" +
		"#port = 1\n" +
		"port='5434'\n" +
		"INCLUDE 'more.conf'\n" +
		"include_if_exists = x-conf\n" +
		"rds.X = on"
	want := []Entry{
		{Name: "port", Value: "5433", Line: 3},
		{Name: "work_mem", Value: "64MB", Line: 4},
		{Name: "log_line_prefix", Value: "it's 'q' \tA\nq", Line: 5},
		{Name: "port", Value: "5434", Line: 7},
		{Name: "include", Value: "more.conf", Line: 8, Include: true},
		{Name: "include_if_exists", Value: "x-conf", Line: 9, Include: true},
		{Name: "rds.x", Value: "on", Line: 10},
	}
	got, err := Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	effective := Effective([]byte(file), []byte("WORK_MEM = 1GB\n"))
	if effective["port"] != "5434" || effective["work_mem"] != "1GB" {
		t.Errorf("the last one must win: %v", effective)
	}
}

func TestParseListsEveryBadLineAndKeepsTheGoodOnes(t *testing.T) {
	got, err := Parse([]byte("port = 1\nFri Mar 13 09:55:03 CST 2020\nfsync\na = 'b\nwork_mem = 2\nprimary_conninfo = 'password=hunter2\n"))
	if len(got) != 2 || got[1].Line != 5 {
		t.Errorf("good lines lost: %v", got)
	}
	for _, want := range []string{`line 2: syntax error near token "13": Fri Mar 13`, "line 3: syntax error near end of line: fsync", "line 4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("the error shows a password: %v", err)
	}
}

// Each value stands behind "z.v": the server takes any text for a custom name.
var oddLines = []string{
	"z.v 1", "z.v=1", "Z.V  = 1", "z.v\t=\t1\t", "z.v=1#c", "z.v '1'", "z.v'1'", "z.v==1", "z.v\n", "z.v=\n", "z.v = 1 2", "= 1",
	"z.v = ''", "z.v = 'a''b'", `z.v = 'a\'b'`, `z.v = 'a\\'`, `z.v = 'a\'`, `z.v = '\101\1012\8\x\b\f\r\t\n'`, `z.v = '\400\777'`, `z.v = 'a\0b'`,
	"z.v = 'a#b' # c", "z.v = 'a' 'b'", "z.v = 'a''", "z.v = a'b'", "z.v = a-b:c/d._e", "z.v = a.b", "z.v = a.b.c", "z.v = é", "z.v = 'é'",
	"z.v = -1", "z.v = +1.5e-3", "z.v = 1e0", "z.v = 1.e0", "z.v = .5", "z.v = .", "z.v = 1.5GB", "z.v = 0x1F", "z.v = 0xzz", "z.v = 0x", "z.v = 64MB", "z.v = 5 min", "z.v = -", "z.v = 1.2.3",
	"z.v = *", "z.v = $x", "z.v = \"x\"", "z.v = /tmp", "z.v = a;", "z-y.v = 1", "z. = 1", ".z = 1", "z.v.w = 1", "1z = 1", "z.1 = 1",
	"z.v = 1\r", "z.v = 'a\rb'", "z.v = 1\rz.w = 2", "# z.v = 1\rz.w = 2", "\xef\xbb\xbfz.v = 1", "z.v = 1\f", "\vz.v = 1", "z.v = 'a\tb'", "z.v = \xff\xfe",
	"z.v = 1\nz.v = 2", "z.v\n= 1", "z.v = 1\n\n\nbad bad bad\nz.v = 3\n", "z.v = 1\n#z.v = 2",
}

func TestPitfall39_ParseAgreesWithTheServer(t *testing.T) {
	s, dir := localServer(t), t.TempDir()
	for _, text := range oddLines {
		writeConf(t, dir, text)
		value, stderr, ok := serverReads(t, s, dir, "z.v")
		if diff := cmp.Diff(serverBadLines(stderr), ourBadLines([]byte(text))); diff != "" {
			t.Errorf("%q: bad lines (-server +ours):\n%s%s", text, diff, stderr)
			continue
		}
		if ours, set := Effective([]byte(text))["z.v"]; ok && set && ours != value {
			t.Errorf("%q: the server reads %q, we read %q", text, value, ours)
		}
	}
}

// TestParseAgreesWithTheServerOnNoise compares on lines that nobody would
// write: the seed is fixed, so that a failure comes again.
func TestParseAgreesWithTheServerOnNoise(t *testing.T) {
	s, dir := localServer(t), t.TempDir()
	rng := rand.New(rand.NewPCG(39, 15))
	pieces := strings.Split(`a|Z|_|.|.|-|+|0|7|1|9|e|x|'|'|''|\|\\|\'|#| | |=|=|:|/|`+"\t|\r|é|name|name.x|'v'|12|0x1f|1.5", "|")
	var good []string
	for range 12 {
		var lines []string
		for range 60 { // the server gives up after 100 errors
			text := "z.v = "
			if rng.IntN(3) == 0 {
				text = ""
			}
			for range rng.IntN(6) {
				text += pieces[rng.IntN(len(pieces))]
			}
			lines = append(lines, text)
		}
		file := strings.Join(lines, "\n")
		writeConf(t, dir, file)
		_, stderr, _ := serverReads(t, s, dir, "port")
		theirs := serverBadLines(stderr)
		if diff := cmp.Diff(theirs, ourBadLines([]byte(file))); diff != "" {
			t.Fatalf("bad lines (-server +ours):\n%s\n%s\n%s", diff, stderr, file)
		}
		for i, text := range lines {
			if strings.HasPrefix(text, "z.v = ") && !slices.Contains(theirs, i+1) {
				good = append(good, text)
			}
		}
	}
	for _, text := range good[:min(len(good), 40)] {
		writeConf(t, dir, text)
		value, stderr, ok := serverReads(t, s, dir, "z.v")
		if ours := Effective([]byte(text))["z.v"]; !ok || ours != value {
			t.Errorf("%q: the server reads %q, we read %q %s", text, value, ours, stderr)
		}
	}
}

func TestPitfall39_EffectiveOrderIsTheServers(t *testing.T) {
	s, dir := localServer(t), t.TempDir()
	main, auto := "z.v = 1\nz.w = main\nz.V = 2\n", "Z.W = auto\n"
	writeConf(t, dir, main)
	if err := os.WriteFile(filepath.Join(dir, AutoFile), []byte(auto), 0o600); err != nil {
		t.Fatal(err)
	}
	ours := Effective([]byte(main), []byte(auto))
	for _, name := range []string{"z.v", "z.w"} {
		if value, stderr, _ := serverReads(t, s, dir, name); value != ours[name] {
			t.Errorf("%s: the server reads %q, we read %q %s", name, value, ours[name], stderr)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range oddLines {
		f.Add([]byte(text))
	}
	f.Add(readTestdata(f, "managed.conf"))
	f.Add(readTestdata(f, "altersystem.auto.conf"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var joined []byte
		for _, l := range splitLines(b) {
			joined = append(joined, l.body+l.eol...)
		}
		if string(joined) != string(b) {
			t.Fatalf("splitting lost bytes: %q became %q", b, joined)
		}
		entries, _ := Parse(b)
		settings := make([]Setting, 0, len(entries))
		want := map[string]string{}
		for _, e := range entries {
			settings = append(settings, Setting{Name: e.Name, Value: e.Value})
			want[e.Name] = e.Value
		}
		again, err := Parse(Render("from a fuzz test", settings))
		if err != nil {
			t.Fatalf("what Render writes must parse: %v", err)
		}
		got := map[string]string{}
		for _, e := range again {
			got[e.Name] = e.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("values changed on the way through Render (-want +got):\n%s", diff)
		}
	})
}
