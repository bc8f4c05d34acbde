package conf

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCommentOutLeavesEveryOtherByte(t *testing.T) {
	pick := func(e Entry) (string, bool) { return "two\nlines", e.Name == "ssl" }
	for _, c := range []struct{ in, want string }{
		{"a=1\r\n  SSL on # why\r\n\r\nb=2", "a=1\r\n#  SSL on # why  # zreconcile: two lines\r\n\r\nb=2"},
		{"ssl=on", "#ssl=on  # zreconcile: two lines"},
		{"#ssl=on\nssl_x=on\n", "#ssl=on\nssl_x=on\n"},
		{"ssl = 'on\n", "ssl = 'on\n"}, // sets nothing
		{"", ""},
	} {
		got := string(CommentOut([]byte(c.in), pick))
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
		if again := string(CommentOut([]byte(got), pick)); again != got {
			t.Errorf("%q: the second time gives %q", got, again)
		}
	}
}

func TestRenderSortsAndKeepsTheLastOfAName(t *testing.T) {
	got := string(Render("two\n\nlines", []Setting{{Name: "Port", Value: "1"}, {Name: "b.c", Value: `it's \`, Why: "so\nit is"}, {Name: "port", Value: "2"}}))
	want := "# two\n#\n# lines\nb.c = 'it''s \\\\'  # so it is\nport = '2'\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQuoteRefusesNUL(t *testing.T) {
	if _, err := QuoteErr("a\x00b"); err == nil {
		t.Error("a NUL passed")
	}
	if q, err := QuoteErr("a\nb"); err != nil || q != `'a\nb'` {
		t.Errorf("got %q, %v", q, err)
	}
}

func TestQuoteIsReadBackByParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := string(rapid.SliceOf(rapid.ByteRange(1, 255)).Draw(t, "value"))
		entries, err := Parse([]byte("x.y = " + Quote(value)))
		if err != nil || len(entries) != 1 || entries[0].Value != value {
			t.Fatalf("%q came back as %v, %v", value, entries, err)
		}
	})
}

// The server must read what Quote writes.
func TestQuoteIsReadBackByTheServer(t *testing.T) {
	s, dir := localServer(t), t.TempDir()
	for _, value := range []string{`it's`, `a\b\\c\'`, "two\nlines\tand\rmore", "'", `\`, "''", "\x01\x7f", "é # ' #"} {
		writeConf(t, dir, "x.y = "+Quote(value)+"  # 'why'\n")
		if got, stderr, ok := serverReads(t, s, dir, "x.y"); !ok || got != value {
			t.Errorf("%q: the server reads %q %s", value, got, stderr)
		}
	}
}

// confFile draws files of lines that matter to the functions under test.
func confFile() *rapid.Generator[string] {
	names := []string{"port", "SSL", "data_directory", "rds_x", "shared_preload_libraries", "local_preload_libraries", "include", "log_directory", "primary_conninfo", "a.b", "#x", ""}
	values := []string{"1", "'/abs'", "'zreconcile.conf'", "'a, nolib, \"o d\"'", "'nolib'", "'it''s'", "'password=x'", "bad bad", "", "'open"}
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		for range rapid.IntRange(0, 8).Draw(t, "lines") {
			b.WriteString(rapid.SampledFrom(names).Draw(t, "name"))
			b.WriteString(rapid.SampledFrom([]string{" = ", "=", " ", "\t"}).Draw(t, "equals"))
			b.WriteString(rapid.SampledFrom(values).Draw(t, "value"))
			b.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", " # c\n", "\n\n", ""}).Draw(t, "end"))
		}
		return b.String()
	})
}
