package spec

import (
	"bytes"
	"strings"
	"testing"
)

func TestCaretStandsUnderTheColumn(t *testing.T) {
	for _, c := range []struct {
		source string
		col    int
		before string // what the terminal shows left of the caret, in cells
	}{
		{"port: x", 7, "port: "},
		{"\tport: x", 2, "    "},
		{"数据: x", 5, "....: "},
		{"e\u0301: x", 5, "e: "},
		{"x", 99, "x"},
		{"", 1, ""},
		{strings.Repeat("a", 300) + "x", 301, "..." + strings.Repeat("a", maxSourceWidth-1)},
	} {
		line, caret := excerpt(c.source, c.col)
		if caret != len(c.before) {
			t.Errorf("%.20q, column %d: caret after %d cells of %q, want %d", c.source, c.col, caret, line, len(c.before))
		}
	}
}

func TestReportHidesTerminalControls(t *testing.T) {
	var out bytes.Buffer
	Report(&out, Problems{{Pos: Pos{"f", 1, 1}, Message: "m", Source: "a\x1b[31mb"}}, false)
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("report %q", out.String())
	}
	out.Reset()
	Report(&out, Problems{{Pos: Pos{"f", 1, 1}, Message: "m", Warning: true}}, true)
	if !strings.Contains(out.String(), "\x1b[") {
		t.Errorf("no colour in %q", out.String())
	}
}

func TestProblemsSplitByWarning(t *testing.T) {
	ps := Problems{{Message: "a"}, {Message: "b", Warning: true}}
	if e, w := ps.Errors(), ps.Warnings(); len(e) != 1 || e[0].Message != "a" || len(w) != 1 || w[0].Message != "b" {
		t.Errorf("errors %v, warnings %v", e, w)
	}
}

// A password that stands in the file by mistake is in no report, whatever
// else is wrong with its line.
func TestReportHidesPasswords(t *testing.T) {
	for _, text := range []string{
		"user: rep, password: hunter2, hots: x",
		"user: rep, hots: x, passwordFrom: hunter2",
		"user: rep, options: {PGPASSWORD: hunter2}",
		"user: rep, options: {Password: 'hunter2'}",
		"user: rep, options: {sslpassword: hunter2}",
	} {
		data := []byte(strings.Replace(minimal, "user: rep", text, 1))
		site, problems := Parse(map[string][]byte{"site.yaml": data}, "site.yaml")
		var out bytes.Buffer
		Report(&out, problems, false)
		if site != nil || strings.Contains(out.String()+problems.Error(), "hunter2") {
			t.Errorf("%s:\n%s", text, &out)
		}
	}
}
