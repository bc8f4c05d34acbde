package primary

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/version"
)

//go:embed managed.conf
var managedConf string

// oddPassword holds whatever a conninfo string, a passfile, YAML, SQL or a
// shell could take for its own.
const oddPassword = `it's a "quoted" \back\\slash: $HOME #1 %p `

// Options are what is settled when a primary is made.
type Options struct {
	BinDir      string // of another server than the newest on this host
	SegmentMB   int    // size of a WAL segment; 0 is initdb's own, 16
	NoChecksums bool
	Tablespace  bool // has one, called fast
}

// arguments are initdb's.
func (o Options) arguments() []string {
	var args []string
	if o.SegmentMB != 0 {
		args = append(args, fmt.Sprintf("--wal-segsize=%d", o.SegmentMB))
	}
	if !o.NoChecksums {
		args = append(args, "-k")
	}
	return args
}

// build makes the data directory and the configuration.
func (p *Primary) build() error {
	switch p.Kind {
	case Debian:
		return p.buildDebian()
	case Odd:
		p.Superuser, p.Password = "boss", oddPassword
		p.options.Tablespace = true
		return p.buildPlain("-U", "boss", "--wal-segsize=1", "-k")
	case Managed:
		return p.buildManaged()
	default:
		return p.buildPlain(p.options.arguments()...)
	}
}

func (p *Primary) buildPlain(options ...string) error {
	if err := p.initdb(options...); err != nil {
		return err
	}
	return appendTo(filepath.Join(p.DataDir, "postgresql.conf"), p.settings())
}

// buildManaged leaves a postgresql.conf in the data directory that this
// server could not read, and reads one that stands elsewhere.
func (p *Primary) buildManaged() error {
	if err := p.initdb("-k"); err != nil {
		return err
	}
	p.configFile = filepath.Join(p.Dir, "service.conf")
	if err := os.WriteFile(p.configFile, []byte(p.settings()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.DataDir, "postgresql.conf"), []byte(managedConf), 0o600)
}

func (p *Primary) buildDebian() error {
	p.cluster = "z" + strings.ToLower(filepath.Base(p.Dir))
	major := filepath.Base(filepath.Dir(p.BinDir))
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	out, err := exec.CommandContext(ctx, "pg_createcluster", "--datadir", p.DataDir, "--socketdir", p.Dir,
		"--port", fmt.Sprint(p.Port), "--locale", "C.UTF-8", major, p.cluster).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_createcluster: %w: %s", err, out)
	}
	etc := filepath.Join("/etc/postgresql", major, p.cluster)
	p.configFile = filepath.Join(etc, "postgresql.conf")
	if err := appendTo(p.configFile, p.settings()); err != nil {
		return err
	}
	// pg_createcluster takes no password: set it as the OS user, over the socket.
	if err := p.start(); err != nil {
		return err
	}
	set := "ALTER ROLE postgres PASSWORD " + literal(p.Password)
	if err := p.run(p.program("psql"), "-h", p.Dir, "-p", fmt.Sprint(p.Port), "-qXc", set, "postgres"); err != nil {
		return err
	}
	return p.Stop()
}

// initdb's own pg_hba.conf lets roles with REPLICATION in over 127.0.0.1.
func (p *Primary) initdb(options ...string) error {
	secret := filepath.Join(p.Dir, "pw")
	if err := os.WriteFile(secret, []byte(p.Password+"\n"), 0o644); err != nil {
		return err
	}
	defer os.Remove(secret)
	args := append([]string{"-D", p.DataDir, "--locale=C.UTF-8", "-E", "UTF8", "-N",
		"--auth-local=peer", "--auth-host=scram-sha-256", "--pwfile=" + secret}, options...)
	return p.run(p.program("initdb"), args...)
}

// settings are what every primary here needs: small, on its own port and
// socket, without the fsync that a server to be thrown away can do without, and
// without autovacuum: two plans, one after the other, are to be the same to the byte,
// and tell how large the primary is.
func (p *Primary) settings() string {
	keep := "wal_keep_segments = 4"
	if version.WALKeepSize.In(p.major()) {
		keep = "wal_keep_size = 64MB"
	}
	return fmt.Sprintf(`
port = %d
listen_addresses = '127.0.0.1'
unix_socket_directories = '%s'
wal_level = replica
max_wal_senders = 10
%s
shared_buffers = 16MB
fsync = off
autovacuum = off
`, p.Port, p.Dir, keep)
}

// major is the version of the data directory; 0 where there is none yet.
func (p *Primary) major() int {
	text, _ := os.ReadFile(filepath.Join(p.DataDir, "PG_VERSION"))
	major, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return major
}

// populate makes the role that replicates, and what the kind is known for.
func (p *Primary) populate() error {
	statements := []string{
		"CREATE ROLE " + p.User + " LOGIN REPLICATION PASSWORD " + literal(p.Password),
		"CREATE ROLE reader LOGIN PASSWORD " + literal(p.Password), // may not replicate
	}
	if p.options.Tablespace {
		p.Tablespace = filepath.Join(p.Dir, "ts")
		if err := os.Mkdir(p.Tablespace, 0o700); err != nil {
			return err
		}
		if err := giveToOSUser(p.Tablespace); err != nil {
			return err
		}
		statements = append(statements, "CREATE TABLESPACE fast LOCATION "+literal(p.Tablespace))
	}
	if p.Kind == Odd {
		statements = append(statements,
			"CREATE TABLE in_tablespace TABLESPACE fast AS SELECT generate_series(1, 1000) AS n",
			"ALTER SYSTEM SET max_connections = 300",
			"ALTER SYSTEM SET work_mem = '9MB'",
			"ALTER SYSTEM SET archive_command = '/bin/false'",
			"ALTER SYSTEM SET cluster_name = 'it''s odd'")
	}
	if err := p.Exec(statements...); err != nil {
		return err
	}
	if p.Kind != Odd {
		return nil
	}
	if err := p.Stop(); err != nil {
		return err
	}
	return p.start()
}

// literal is an SQL string; standard_conforming_strings is on, so backslashes stand for themselves.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func appendTo(path, lines string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lines)
	return errors.Join(err, f.Close())
}
