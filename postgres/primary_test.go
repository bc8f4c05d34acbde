package postgres

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestIdentify(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	data, err := c.ControlData(ctx)
	if err != nil {
		t.Fatal(err)
	}
	location := testMkdir(t, c.User, filepath.Join(filepath.Dir(c.DataDir), "ts"))
	mustExec(t, c, "create tablespace ts location '"+location+"'")

	for role, password := range map[string]string{"repl": oddPassword, "wide": "wide"} {
		p := Primary{Conninfo: c.conninfo(role), Password: password}
		info, err := Identify(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if info.SystemID != data.SystemID || info.Timeline != 1 || info.XLogPos == 0 || info.SegmentSize != 1<<20 ||
			info.VersionNum/10000 != info.Major || info.WALLevel != "replica" {
			t.Errorf("%s: %+v", role, info)
		}
		if want := map[string]string{"wide": "boss"}[role]; info.BootstrapRole != want { // repl has no ordinary login
			t.Errorf("%s: bootstrap role %q, want %q", role, info.BootstrapRole, want)
		}
		sizes, err := p.Sizes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if sizes.Size < 10<<20 || len(sizes.Tablespaces) != 1 || sizes.Tablespaces[0].Location != location {
			t.Errorf("%s: %+v", role, sizes)
		}
		slot, known, err := ReadSlot(ctx, p, "zrt_"+role)
		if slot.Exists || err != nil || info.Major >= 15 && !known {
			t.Errorf("%s: slot before %v, %v, %v", role, slot, known, err)
		}
		for range 2 { // the second time is success, too
			if err := CreateSlot(ctx, p, "zrt_"+role); err != nil {
				t.Error(err)
			}
		}
		if slot, _, err := ReadSlot(ctx, p, "zrt_"+role); !slot.Exists || err != nil {
			t.Errorf("%s: slot after %v, %v", role, slot, err)
		}
	}
	if !ask[bool](t, c, "select bool_and(restart_lsn is not null) from pg_replication_slots") {
		t.Error("a slot reserves no WAL")
	}
	if err := CreateSlot(ctx, Primary{}, `x" LOGICAL`); err == nil {
		t.Error("a slot name that is none was sent")
	}
}

// pitfall 42
func TestOlderSyntax(t *testing.T) {
	// No newer server takes this; it is by the grammar of 12 to 14.
	if got, want := announceCommand(14), "BASE_BACKUP LABEL 'zreconcile asks for sizes' PROGRESS FAST NOWAIT"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	c := newServer(t)
	conn := session(t, c)
	defer closing(conn)
	if _, err := conn.Exec(testContext(t), statusQuery(12)); err != nil { // this one any server takes
		t.Error(err)
	}
}

func TestIdentifyErrors(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	const secret = "not-the-password"
	down := fmt.Sprintf("host=127.0.0.1 port=%d user=repl sslmode=disable", freePort(t))
	for name, test := range map[string]struct {
		conninfo string
		password string
		kind     PrimaryErrorKind
		words    string
	}{
		"wrong password":       {c.conninfo("repl"), secret, AuthFailed, "password authentication failed"},
		"no such role":         {c.conninfo("norepl") + " user=nobody", secret, NoPgHba, "no pg_hba.conf entry"},
		"down":                 {down, secret, Unreachable, "connection refused"},
		"unknown host":         {"host=no-such-host.invalid sslmode=disable user=x", secret, Unreachable, "no-such-host.invalid"},
		"no replication right": {c.conninfo("norepl"), "norepl", NoReplicationRight, "replication"},
		"no pg_hba.conf entry": {c.conninfo("stranger"), "stranger", NoPgHba, "no pg_hba.conf entry"},
		"no SSL there":         {c.conninfo("repl") + " sslmode=require", secret, SSLRefused, "refused TLS"},
		"second host answers":  {strings.Replace(c.conninfo("repl"), "host=127.0.0.1", "host=no-such-host.invalid,127.0.0.1", 1), secret, AuthFailed, "password authentication failed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Identify(ctx, Primary{Conninfo: test.conninfo, Password: test.password})
			var failed *PrimaryError
			if !errors.As(err, &failed) || failed.Kind != test.kind || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want the kind %q and %q", err, test.kind, test.words)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestServerErrorKind(t *testing.T) {
	for _, test := range []struct {
		code, message string
		want          PrimaryErrorKind
	}{
		{"28000", `role "x" does not exist`, AuthFailed},
		{"28000", `pg_hba.conf rejects replication connection for host "1.2.3.4"`, NoPgHba},
		{"42501", "must be superuser or replication role to start walsender", NoReplicationRight}, // 12 to 15
		{"42501", "permission denied to start WAL sender", NoReplicationRight},                    // 16
		{"57P03", "the database system is starting up", NotReady},
		{"53300", "number of requested standby connections exceeds max_wal_senders", NotReady},
		{"XX000", "unexpected", OtherFault},
	} {
		if got := serverErrorKind(&pgconn.PgError{Code: test.code, Message: test.message}); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.code, test.message, got, test.want)
		}
	}
}

func TestServerMajor(t *testing.T) {
	for version, want := range map[string]int{"15.13 (Debian 15.13-0+deb12u1)": 15, "12.1": 12, "18beta1": 18, "19devel": 19, "": 0, "x": 0} {
		if got := majorOf(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

func TestParseMemory(t *testing.T) {
	for text, want := range map[string]int64{"1MB": 1 << 20, "16MB": 16 << 20, "1GB": 1 << 30, "1024kB": 1 << 20, "16777216B": 16 << 20} {
		if got, err := parseMemory(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MB", "-1MB", "16", "16 MB", "16MBMB"} {
		if got, err := parseMemory(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
