package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindBinaries(t *testing.T) {
	dir := testBinDir(t)
	major, err := Major(t.Context(), nil, dir)
	if err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "pg_ctl"), filepath.Join(links, "pg_ctl")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links)
	if got, err := FindBinaries("", major); err != nil || got != dir {
		t.Errorf("by a link in PATH: %s, %v; want %s", got, err, dir)
	}
	if got, err := FindBinaries(dir, major); err != nil || got != dir {
		t.Errorf("by binDir: %s, %v", got, err)
	}
	for _, hint := range []string{dir, links, filepath.Join(links, "none")} {
		_, err := FindBinaries(hint, 11)
		if err == nil || !strings.Contains(err.Error(), hint) || !strings.Contains(err.Error(), "postgresql-11") {
			t.Errorf("PostgreSQL 11 in %s: %v", hint, err)
		}
	}
	if _, err := FindBinaries("", 11); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: is PostgreSQL %d", dir, major)) {
		t.Errorf("the error does not list what was looked at: %v", err)
	}
}

func TestLookupOSUser(t *testing.T) {
	u := testUser(t)
	if u.UID == 0 || u.Home == "" || len(u.Groups) == 0 || u.Credential() == nil {
		t.Errorf("%+v", u)
	}
	if (OSUser{UID: uint32(os.Geteuid())}).Credential() != nil {
		t.Error("a credential for whom we are already")
	}
	if _, err := LookupOSUser("no-such-user"); err == nil || !strings.Contains(err.Error(), "standby.osUser") {
		t.Errorf("the error is %v", err)
	}
}

func FuzzPostmasterPID(f *testing.F) {
	f.Add([]byte("123\n/data\n1600000000\n5432\n/tmp\nlocalhost\n  5432001    98304\nready   \n"))
	f.Add([]byte("-5\n/data"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePostmasterPID(b); err == nil && (p.PID <= 0 || p.Port < 0 || p.Port > 65535 || p.Running) {
			t.Errorf("accepted %+v", p)
		}
	})
}
