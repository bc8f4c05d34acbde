package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPassword(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("ZRT_PASSWORD", oddPassword)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	file("cred", oddPassword, 0o400)
	pass := "# comment\nh:5432:replication:other:wrong\nh:5432:*:repl:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(oddPassword) + "\n*:*:*:*:last\n"
	for name, test := range map[string]struct {
		source      PasswordSource
		want, fault string
	}{
		"file":               {source: PasswordSource{File: file("a", oddPassword+"\n", 0o600)}, want: oddPassword},
		"file without end":   {source: PasswordSource{File: file("b", oddPassword, 0o640)}, want: oddPassword},
		"one end taken off":  {source: PasswordSource{File: file("c", "x \r\n", 0o600)}, want: "x "},
		"two lines":          {source: PasswordSource{File: file("d", "secret1\nsecret2\n", 0o600)}, fault: "more than one line"},
		"empty":              {source: PasswordSource{File: file("e", "\n", 0o600)}, fault: "is empty"},
		"missing":            {source: PasswordSource{File: filepath.Join(dir, "none")}, fault: "no such file"},
		"readable by others": {source: PasswordSource{File: file("f", "secret1", 0o644)}, fault: "chmod 600"},
		"a folder":           {source: PasswordSource{File: dir}, fault: "not a plain file"},
		"env":                {source: PasswordSource{Env: "ZRT_PASSWORD"}, want: oddPassword},
		"env unset":          {source: PasswordSource{Env: "ZRT_NONE"}, fault: "ZRT_NONE"},
		"credential":         {source: PasswordSource{Credential: "cred"}, want: oddPassword},
		"credential outside": {source: PasswordSource{Credential: "../cred"}, fault: "no name"},
		"passfile":           {source: PasswordSource{Passfile: file("g", pass, 0o600), Host: "h", Port: "5432", User: "repl"}, want: oddPassword},
		"passfile, any":      {source: PasswordSource{Passfile: file("h", pass, 0o600), Host: "x", Port: "1", User: "repl"}, want: "last"},
		"passfile, none":     {source: PasswordSource{Passfile: file("i", "h:1:*:u:secret1\n", 0o600), Host: "x", Port: "1", User: "u"}, fault: "no line for x:1:replication:u"},
		"passfile, group":    {source: PasswordSource{Passfile: file("j", pass, 0o640)}, fault: "chmod 600"},
		"none":               {fault: "passwordFrom"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Password(test.source)
			if test.fault == "" && (err != nil || got != test.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
				t.Errorf("the error is %v, and should tell %q", err, test.fault)
			}
			if err != nil && strings.Contains(fmt.Sprint(err), "secret1") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func FuzzPassfileLine(f *testing.F) {
	f.Add(`h:5432:*:repl:a\:b\\c`)
	f.Add(`::::\`)
	f.Add("#")
	f.Fuzz(func(t *testing.T, line string) {
		if fields, ok := splitPassfileLine(line); ok && len(strings.Join(fields[:], "")) > len(line) {
			t.Errorf("%q became %q", line, fields)
		}
	})
}

func TestWritePassfile(t *testing.T) {
	u := testUser(t)
	path := filepath.Join(testFolder(t), "secret", "pgpass")
	write := func(wantChanged bool) os.FileInfo {
		t.Helper()
		changed, err := WritePassfile(path, u, []string{"h:5432:*:repl:x"})
		if err != nil || changed != wantChanged {
			t.Fatalf("changed %v, %v", changed, err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o600 || !owned(info, u) {
			t.Fatalf("%v, %v", info, err)
		}
		return info
	}
	first := write(true)
	if second := write(false); !os.SameFile(first, second) || first.ModTime() != second.ModTime() {
		t.Error("an equal file was written again")
	}
	if err := os.Chmod(path, 0o644); err != nil { // libpq would ignore it
		t.Fatal(err)
	}
	write(true)

	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	testSymlink(t, victim, path)
	write(true)
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("the file that the link leads to is now %q, %v", b, err)
	}
}
