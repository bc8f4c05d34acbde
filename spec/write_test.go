package spec

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sameSite compares what two files say, wherever it stands in them.
func sameSite(t *testing.T, want, got *Site) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(Pos{}), cmpopts.IgnoreFields(Site{}, "File", "Files"), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("what was read is not what was written (-want +got):\n%s", diff)
	}
}

func readBack(t *testing.T, text []byte) *Site {
	t.Helper()
	site, problems := Parse(map[string][]byte{"x.yaml": text}, "x.yaml")
	if len(problems.Errors()) > 0 {
		t.Fatalf("what was written is not valid: %v\n%s", problems.Errors(), text)
	}
	return site
}

// What Write writes, Parse reads back, whatever the file says.
func TestWriteIsReadBack(t *testing.T) {
	for _, file := range []string{"../examples/site.yaml", "../examples/production.yaml", "testdata/write/odd.yaml"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := readBack(t, text)
			written, err := Write(want, Remarks{Head: "x", At: map[string]string{"standby.port": "a comment", "pool.vdevs": "one", "datasets.data": "two"}})
			if err != nil {
				t.Fatal(err)
			}
			sameSite(t, want, readBack(t, written))
			again, err := Write(want, Remarks{})
			if err != nil {
				t.Fatal(err)
			}
			sameSite(t, want, readBack(t, again))
		})
	}
}

// A section that is off is no part of the file, until its mark is taken away.
func TestWriteCommentedOut(t *testing.T) {
	text, err := os.ReadFile("../examples/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := readBack(t, text)
	written, err := Write(want, Remarks{Why: "because\nof that",
		Off: []string{"standby", "archive", "snapshots", "verify", "restoreDefaults", "restores", "health"}, At: map[string]string{"standby.conf": "a comment"}})
	if err != nil {
		t.Fatal(err)
	}
	bare := Defaults()
	bare.Name, bare.Timezone, bare.Pool, bare.Datasets = want.Name, want.Timezone, want.Pool, want.Datasets
	sameSite(t, &bare, readBack(t, written))
	uncommented := strings.ReplaceAll("\n"+string(written), "\n"+OffMark, "\n")
	sameSite(t, want, readBack(t, []byte(uncommented)))
	if !strings.Contains(string(written), "\n# because\n# of that\n\n"+OffMark+"standby:") {
		t.Errorf("the reason does not stand above:\n%s", written)
	}
}

func TestWriteReadsWell(t *testing.T) {
	site := Defaults()
	site.Name, site.Pool.Name = "s", "p"
	site.Pool.Vdevs = []Vdev{{Type: "mirror", Devices: []string{"/dev/disk/by-id/a", "/dev/disk/by-id/b"}}}
	off := "off"
	site.Pool.RootProperties = []Property{{Name: "canmount", Value: &off}}
	site.Archive = &Archive{Dir: "/p/wal/archive"}
	site.Snapshots = &Snapshots{Every: 36 * time.Hour, Prefix: "zr", Retention: Retention{Last: -1}}
	got, err := Write(&site, Remarks{Head: "One.\n\nTwo.", At: map[string]string{
		"site": "a short one", "snapshots.every": "guessed", "snapshots.retention": "guessed, too",
		"archive": "a comment above a section, which is wrapped since it is so long that it would not fit on one line of a terminal",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `# One.
#
# Two.
version: 1
site: s                       # a short one

pool:
  name: p
  vdevs:
    - type: mirror
      devices: [/dev/disk/by-id/a, /dev/disk/by-id/b]
  rootProperties: {canmount: off}

# a comment above a section, which is wrapped since it is so long that it would not fit on one
# line of a terminal
archive:
  dir: /p/wal/archive

snapshots:
  every: 36h                  # guessed
  retention: {last: -1}       # guessed, too
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{"0": 0, "1d": 24 * time.Hour, "48h": 48 * time.Hour, "7d": 7 * 24 * time.Hour,
		"36h": 36 * time.Hour, "90m": 90 * time.Minute, "61s": 61 * time.Second, "1500ms": 1500 * time.Millisecond} {
		got := FormatDuration(d)
		if back, err := ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%v is written as %s and read as %v (%v), want %s", d, got, back, err, want)
		}
	}
}
