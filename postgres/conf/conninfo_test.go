package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

func TestConninfo(t *testing.T) {
	got := Conninfo([]Setting{{Name: "host", Value: "a,b"}, {Name: "password", Value: `it's a \ `}, {Name: "dbname", Value: ""}, {Name: "options", Value: "-c x=y"}})
	want := `host=a,b password='it\'s a \\ ' dbname='' options='-c x=y'`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseConninfo(t *testing.T) {
	for in, want := range map[string][]Setting{
		"":                      nil,
		" \n":                   nil,
		"a=b":                   {{Name: "a", Value: "b"}},
		"a = b  c\t=\n'd e'f=g": {{Name: "a", Value: "b"}, {Name: "c", Value: "d e"}, {Name: "f", Value: "g"}},
		`a=b\ c d='\'\\' e=\'`:  {{Name: "a", Value: "b c"}, {Name: "d", Value: `'\`}, {Name: "e", Value: "'"}},
		"a=":                    {{Name: "a", Value: ""}},
		`a=b\`:                  {{Name: "a", Value: "b"}},
		"a=it's b=c=d":          {{Name: "a", Value: "it's"}, {Name: "b", Value: "c=d"}},
	} {
		got, err := ParseConninfo(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for _, bad := range []string{"hunter2", "=hunter2", "a=b hunter2", "a b=hunter2", "password='hunter2", `password='hunter2\'`, "postgresql://u:hunter2@h"} {
		if _, err := ParseConninfo(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q must be refused without a word of its values, got %v", bad, err)
		}
	}
}

// pgconn reads connection strings by rules of its own making: both must agree.
func TestConninfoIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune(`ab='\ "#%:,é` + "\t"))).Filter(func(s string) bool { return s != "" })
		password, name := text.Draw(t, "password"), text.Draw(t, "application_name")
		in := []Setting{{Name: "host", Value: "localhost"}, {Name: "port", Value: "5433"}, {Name: "user", Value: text.Draw(t, "user")},
			{Name: "password", Value: password}, {Name: "sslmode", Value: "disable"}, {Name: "application_name", Value: name}}
		got, err := pgconn.ParseConfig(Conninfo(in))
		if err != nil {
			t.Fatal(err)
		}
		if got.Password != password || got.User != in[2].Value || got.RuntimeParams["application_name"] != name || got.Port != 5433 {
			t.Fatalf("%s came back as %q %q %q", Conninfo(in), got.User, got.Password, got.RuntimeParams)
		}
		ours, err := ParseConninfo(Conninfo(in))
		if diff := cmp.Diff(in, ours); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}

func FuzzParseConninfo(f *testing.F) {
	for _, s := range []string{"a=b", `a='b\'c' d=\ `, "a = ''", "a='", "=", "postgres://x", "a=b\vc=d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		kv, err := ParseConninfo(s)
		if err != nil {
			return
		}
		again, err := ParseConninfo(Conninfo(kv))
		if diff := cmp.Diff(kv, again); err != nil || diff != "" {
			t.Fatalf("%v (-once +again):\n%s", err, diff)
		}
	})
}

func TestPassfileLine(t *testing.T) {
	for _, c := range []struct{ host, port, db, user, password, want string }{
		{"db.example", "5432", "", "rep", "secret", "db.example:5432:*:rep:secret\n"},
		{"::1", "", "replication", `a:b\`, `p:w\ '"#`, `\:\:1:*:replication:a\:b\\:p\:w\\ '"#` + "\n"},
		{"a,b", "1,2", "", "u", "p", "a:1:*:u:p\nb:2:*:u:p\n"},
		{"a,b", "1", "", "u", "p", "a:1:*:u:p\nb:1:*:u:p\n"},
	} {
		got, err := PassfileLine(c.host, c.port, c.db, c.user, c.password)
		if err != nil || got != c.want {
			t.Errorf("got %q, %v; want %q", got, err, c.want)
		}
	}
	for _, bad := range [][5]string{{"h", "1", "", "u", "hunter2\n"}, {"h\n", "1", "", "u", "hunter2"}, {"a,b,c", "1,2", "", "u", "hunter2"}, {"h", "1", "", "u", ""}, {"h", "1", "", "u", "hunter2\x00"}} {
		if line, err := PassfileLine(bad[0], bad[1], bad[2], bad[3], bad[4]); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q must be refused without its password, got %q, %v", bad, line, err)
		}
	}
}

func TestPassfileLineIsReadBack(t *testing.T) {
	t.Setenv("PGPASSWORD", "")
	path := filepath.Join(t.TempDir(), "passfile")
	rapid.Check(t, func(t *rapid.T) {
		// pgconn, unlike libpq, drops white space at the end of a line;
		// TestServerLivesWithTheManagedPrimarysFiles asks libpq about that.
		text := rapid.StringOf(rapid.SampledFrom([]rune(`ab:\' "é%*`))).Filter(func(s string) bool { return s != "" && s != "*" && s == strings.TrimSpace(s) })
		user, password := text.Draw(t, "user"), text.Draw(t, "password")
		line, err := PassfileLine("host", "5432", "", user, password)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := pgconn.ParseConfig(Conninfo([]Setting{{Name: "host", Value: "host"}, {Name: "port", Value: "5432"}, {Name: "user", Value: user},
			{Name: "dbname", Value: "replication"}, {Name: "sslmode", Value: "disable"}, {Name: "passfile", Value: path}}))
		if err != nil {
			t.Fatal(err)
		}
		if got.Password != password {
			t.Fatalf("%q: %q came back as %q", line, password, got.Password)
		}
	})
}
