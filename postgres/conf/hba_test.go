package conf

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const copiedHBA = "# the primary's\nhost all all 10.0.0.0/8 md5\r\nlocal all all trust"

func TestHBA(t *testing.T) {
	for _, c := range []struct {
		name     string
		existing string
		role     string
		extra    []string
		rules    []string
		want     string
	}{
		{"copied rules stay", copiedHBA, "postgres", nil, nil, "local all \"postgres\" peer map=zreconcile  # zreconcile\n" + copiedHBA},
		{"nothing there", "# only words\n", "postgres", nil, nil,
			"local all \"postgres\" peer map=zreconcile  # zreconcile\nlocal all all peer\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n"},
		{"given rules replace", copiedHBA, "postgres", nil, []string{"host all \"a  b\" 0.0.0.0/0\nreject"},
			"local all \"postgres\" peer map=zreconcile  # zreconcile\nhost all \"a  b\" 0.0.0.0/0 reject\n"},
		{"no rules at all", copiedHBA, "postgres", nil, []string{}, "local all \"postgres\" peer map=zreconcile  # zreconcile\n"},
		{"another role before", "local all \"old\" peer map=zreconcile  # zreconcile\nlocal all all trust\n", "new", []string{"new", "x"}, nil,
			"local all \"new\",\"x\" peer map=zreconcile  # zreconcile\nlocal all all trust\n"},
		{"includes from elsewhere", "include /etc/hba\r\n include_dir \"/etc/h.d\" # theirs\ninclude more.hba\ninclude_if_exists /x\nlocal all all peer\n", "postgres", nil, nil,
			"local all \"postgres\" peer map=zreconcile  # zreconcile\n#include /etc/hba  " + mark + reasonInclude + "\r\n# include_dir \"/etc/h.d\" # theirs  " + mark + reasonInclude +
				"\ninclude more.hba\n#include_if_exists /x  " + mark + reasonInclude + "\nlocal all all peer\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := HBA([]byte(c.existing), c.role, c.extra, c.rules)
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(string(got), string(HBA(got, c.role, c.extra, c.rules))); diff != "" {
				t.Errorf("not idempotent (-once +twice):\n%s", diff)
			}
		})
	}
}

func TestHBARoleIsReadBack(t *testing.T) {
	for _, role := range []string{"postgres", "all", "+dba", "/x", "replication", `say "hi", you`, "a b", "é#", `back\slash`} {
		if got, ok := HBARole(HBA(nil, role, []string{"other"}, nil)); !ok || got != role {
			t.Errorf("%q came back as %q, %t", role, got, ok)
		}
	}
	for _, b := range []string{"", "local all all peer\n", copiedHBA, "local all postgres peer map=zreconcile  # zreconcile\n"} {
		if role, ok := HBARole([]byte(b)); ok {
			t.Errorf("%q has no line of ours, but gave %q", b, role)
		}
	}
}

func TestIdent(t *testing.T) {
	existing := "include /etc/maps\n# theirs\nother joe admin\nzreconcile eve postgres\n\"zreconcile\"\teve postgres\n"
	got := string(Ident([]byte(existing), []string{"root", "postgres"}, []string{"admin", `a "b`}))
	want := identBegin + `
zreconcile "root" "admin"
zreconcile "root" "a ""b"
zreconcile "postgres" "admin"
zreconcile "postgres" "a ""b"
` + identEnd + "\n#include /etc/maps  " + mark + reasonInclude + "\n# theirs\nother joe admin\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, string(Ident([]byte(got), []string{"root", "postgres"}, []string{"admin", `a "b`}))); diff != "" {
		t.Errorf("not idempotent (-once +twice):\n%s", diff)
	}
}

func FuzzHBA(f *testing.F) {
	f.Add([]byte(copiedHBA), "postgres")
	f.Add([]byte("local all \"x\" peer map=zreconcile  # zreconcile\r\n\\\n"), `a"b,c #`)
	f.Add([]byte("zreconcile a b\n"+identBegin), "a\nb\x00")
	f.Fuzz(func(t *testing.T, existing []byte, role string) {
		once := HBA(existing, role, nil, nil)
		if string(HBA(once, role, nil, nil)) != string(once) {
			t.Fatalf("not idempotent: %q", once)
		}
		if got, ok := HBARole(once); role != "" && strings.Trim(role, "\x00") != "" && (!ok || got != lineBreaks.Replace(role)) {
			t.Fatalf("%q came back as %q", role, got)
		}
		ident := Ident(existing, []string{"root"}, []string{role})
		if string(Ident(ident, []string{"root"}, []string{role})) != string(ident) {
			t.Fatalf("not idempotent: %q", ident)
		}
	})
}

func TestIncludesFromElsewhere(t *testing.T) {
	for line, want := range map[string]bool{
		`include /etc/hba`:                    true,
		"\tinclude_dir\t/etc/h.d # theirs":    true,
		`include_if_exists "/etc/my rules#1"`: true,
		`"include" /etc/hba#theirs`:           true,
		`include ../hba`:                      true,
		`include more.hba`:                    false,
		`include "our rules/../more.hba"`:     false,
		`include_dir hba.d#theirs`:            false,
		`#include /etc/hba`:                   false,
		`include`:                             false,
		`included /etc/hba`:                   false,
		`local include /etc/hba peer`:         false, // two names that are odd
		`include /etc/hba trust`:              false, // three words, which the server takes for a rule
	} {
		if got := includesFromElsewhere(line); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
