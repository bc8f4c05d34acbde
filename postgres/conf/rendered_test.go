package conf

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRenderedReadsBackWhatRenderWrote(t *testing.T) {
	want := []Setting{
		{Name: "a", Value: "it's # no comment\nat all", Why: "because # it is"},
		{Name: "b", Value: ""},
		{Name: "c.d", Value: `\`, Why: "x"},
	}
	header, got := Rendered(Render("one\n\ntwo", want))
	if diff := cmp.Diff(want, got); diff != "" || header != "one\n\ntwo" {
		t.Errorf("header %q, settings:\n%s", header, diff)
	}
	if header, got := Rendered(nil); header != "" || got != nil {
		t.Errorf("nothing is read as %q, %v", header, got)
	}
}

func TestDisabledNamesThePatterns(t *testing.T) {
	files := map[string][]byte{MainFile: []byte("ssl = on\nrds_a = 1\nrds_b = 2\nwork_mem = '4MB'\nbad bad bad\n")}
	clean, _ := Sanitize(files, Rules{Disable: []string{"SSL", "rds*", "never"}})
	if diff := cmp.Diff([]string{"SSL", "rds*"}, Disabled(clean[MainFile])); diff != "" {
		t.Error(diff)
	}
}

func TestShellWordsUndoesCommand(t *testing.T) {
	for _, args := range [][]string{
		{"/bin/x", "wal", "push", "--archive", "/a b/it's %f", "--empty", "", `back\slash`, "%p"},
		{"x"},
	} {
		command, err := Command(args...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(args, ShellWords(command)); diff != "" {
			t.Errorf("%s:\n%s", command, diff)
		}
	}
	if got := ShellWords("  "); got != nil {
		t.Errorf("no words are %q", got)
	}
}
