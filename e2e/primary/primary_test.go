package primary

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestKinds(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p, err := New(kind)
			t.Cleanup(func() {
				if err := p.Destroy(); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			var superuser, connections, segment string
			err = p.QueryRow("SELECT current_user, current_setting('max_connections'), current_setting('wal_segment_size')",
				&superuser, &connections, &segment)
			if err != nil {
				t.Fatal(err)
			}
			conf := filepath.Join(p.DataDir, "postgresql.conf")
			_, missing := os.Stat(conf)
			switch kind {
			case Odd:
				if superuser != "boss" || connections != "300" || segment != "1MB" {
					t.Errorf("it is %s with %s connections and segments of %s", superuser, connections, segment)
				}
			case Debian:
				if !os.IsNotExist(missing) {
					t.Errorf("%s exists", conf)
				}
			default:
				if missing != nil {
					t.Error(missing)
				}
			}
			replicates(t, p)
		})
	}
}

// replicates proves the right to replicate with the password that a site names.
func replicates(t *testing.T, p *Primary) {
	t.Helper()
	conf, err := pgx.ParseConfig("host=127.0.0.1 replication=true sslmode=prefer")
	if err != nil {
		t.Fatal(err)
	}
	conf.Port, conf.User, conf.Password = uint16(p.Port), p.User, p.Password
	conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for _, f := range conf.Fallbacks {
		f.Port = conf.Port
	}
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "IDENTIFY_SYSTEM"); err != nil {
		t.Error(err)
	}
}
