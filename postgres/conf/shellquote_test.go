package conf

import (
	"os/exec"
	"strings"
	"testing"
)

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "/usr/bin/zreconcile": "/usr/bin/zreconcile", "a b": "'a b'", "it's": `'it'\''s'`, "50%": "'50%%'", "%p": "'%%p'",
		"A=b": "'A=b'", "~": "'~'", "a;b": "'a;b'", "é": "'é'", "-": "-",
	} {
		if got := ShellWord(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestCommand(t *testing.T) {
	got, err := Command("/opt/z r/zreconcile", "wal", "get", "--dir", "/a'b%f", FilePlaceholder, PathPlaceholder)
	want := `'/opt/z r/zreconcile' wal get --dir '/a'\''b%%f' %f %p`
	if err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, bad := range [][]string{nil, {""}, {"a", "b\nc"}, {"a", "b\x00"}} {
		if got, err := Command(bad...); err == nil {
			t.Errorf("%q passed as %s", bad, got)
		}
	}
}

// FuzzShellWord hands words to a real shell, after what PostgreSQL does to %.
func FuzzShellWord(f *testing.F) {
	for _, s := range []string{"", "a b", "it's", "$HOME `id` $(id)", `\`, `"`, "%p%%f", "-n", "a\nb", "*?[a]~!#;&|<>(){}", "\xff\xfe", "=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			t.Skip("no argument can hold a NUL")
		}
		expanded := strings.ReplaceAll(ShellWord(s), "%%", "%")
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+expanded).Output()
		if err != nil || string(out) != s {
			t.Fatalf("%q came out of the shell as %q, %v", s, out, err)
		}
	})
}
