// Package primary makes real PostgreSQL primaries for the tests and the
// benchmarks: one for each manner in which primaries are kept in the field.
package primary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// OSUser is who runs the servers.
const OSUser = "postgres"

// deadline bounds each program and each statement; a loaded machine is slow,
// one that takes longer hangs.
var deadline = Patience(2 * time.Minute)

// Patience lengthens what bounds a hang by the factor that the environment
// names, for machines that are emulated.
func Patience(d time.Duration) time.Duration {
	factor, err := strconv.Atoi(os.Getenv("ZRECONCILE_E2E_PATIENCE"))
	if err != nil || factor < 1 {
		return d
	}
	return time.Duration(factor) * d
}

// Kind is the manner in which a primary is kept.
type Kind string

// The kinds of primaries.
const (
	// Plain keeps its configuration in the data directory.
	Plain Kind = "plain"
	// Managed is a cloud's: its data directory holds a postgresql.conf full of
	// what only the cloud's own server and host understand (managed.conf).
	Managed Kind = "managed"
	// Debian is made by pg_createcluster: its configuration is in
	// /etc/postgresql, and none is in the data directory. It speaks TLS.
	Debian Kind = "debian"
	// Odd has all that is legal and unusual: ALTER SYSTEM settings, a
	// tablespace, 300 connections, a bootstrap superuser called boss, a
	// password full of quoting, WAL segments of 1 MB.
	Odd Kind = "odd"
)

// Kinds lists them all.
var Kinds = []Kind{Plain, Managed, Debian, Odd}

// Primary is a running server, of the newest PostgreSQL on this host unless its
// options name another.
type Primary struct {
	Kind       Kind
	Dir        string // everything of it, on a short path
	DataDir    string
	BinDir     string
	Port       int
	Superuser  string // connects over TCP with Password, too
	User       string // the role with REPLICATION
	Password   string
	Tablespace string // the directory of its tablespace; "" is none

	configFile string // read instead of the data directory's; "" is that
	cluster    string // the name in /etc/postgresql; "" is none
	options    Options
}

// New makes a primary of the kind and starts it. What was made stays until
// Destroy, which is to be called even when New failed.
func New(kind Kind) (*Primary, error) { return newOf(kind, Options{}) }

// NewPlain makes a plain primary with other options, as New does.
func NewPlain(o Options) (*Primary, error) { return newOf(Plain, o) }

func newOf(kind Kind, o Options) (*Primary, error) {
	p := &Primary{Kind: kind, Superuser: "postgres", User: "replicator", Password: "plain-secret", options: o}
	var err error
	if p.BinDir = o.BinDir; p.BinDir == "" {
		if _, p.BinDir, err = servers.Own(); err != nil {
			return p, err
		}
	}
	if p.Port, err = FreePort(); err != nil {
		return p, err
	}
	if err := p.makeFolder(); err != nil {
		return p, err
	}
	for _, step := range []func() error{p.build, p.start, p.populate} {
		if err := step(); err != nil {
			return p, fmt.Errorf("%s primary in %s: %w", kind, p.Dir, err)
		}
	}
	return p, nil
}

// folders are those of the primaries that this process made, gone or not.
var folders struct {
	sync.Mutex
	list []string
}

// Folders are those of all primaries that this process made: when it ends no
// server may be at work there.
func Folders() []string {
	folders.Lock()
	defer folders.Unlock()
	return slices.Clone(folders.list)
}

// makeFolder makes the place of everything that p is.
func (p *Primary) makeFolder() (err error) {
	if p.Dir, err = os.MkdirTemp("/tmp", "zrp"); err != nil {
		return err
	}
	folders.Lock()
	folders.list = append(folders.list, p.Dir)
	folders.Unlock()
	p.DataDir = filepath.Join(p.Dir, "data")
	return giveToOSUser(p.Dir)
}

// Start starts the server after Stop.
func (p *Primary) Start() error { return p.start() }

// Stop stops the server at once and in order.
func (p *Primary) Stop() error {
	return p.run(p.program("pg_ctl"), "stop", "-D", p.DataDir, "-m", "fast", "-w")
}

// Destroy stops the server and removes everything of it.
func (p *Primary) Destroy() error {
	if p.Dir == "" {
		return nil
	}
	var problems []error
	if _, err := os.Stat(filepath.Join(p.DataDir, "postmaster.pid")); err == nil {
		problems = append(problems, p.run(p.program("pg_ctl"), "stop", "-D", p.DataDir, "-m", "immediate", "-w"))
	}
	if p.cluster != "" {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		out, err := exec.CommandContext(ctx, "pg_dropcluster", filepath.Base(filepath.Dir(p.BinDir)), p.cluster).CombinedOutput()
		if err != nil {
			problems = append(problems, fmt.Errorf("pg_dropcluster: %w: %s", err, out))
		}
	}
	return errors.Join(append(problems, os.RemoveAll(p.Dir))...)
}

// Exec runs the statements as the superuser, each in a transaction of its own.
func (p *Primary) Exec(statements ...string) error {
	return p.connected(func(ctx context.Context, conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// QueryRow runs a query as the superuser and scans its first row into dest.
func (p *Primary) QueryRow(query string, dest ...any) error {
	return p.connected(func(ctx context.Context, conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, query).Scan(dest...); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		return nil
	})
}

func (p *Primary) connected(use func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	conf, err := pgx.ParseConfig("host=127.0.0.1 dbname=postgres sslmode=prefer")
	if err != nil {
		return err
	}
	conf.Port, conf.User, conf.Password = uint16(p.Port), p.Superuser, p.Password
	for _, f := range conf.Fallbacks { // the way without TLS
		f.Port = conf.Port
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return use(ctx, conn)
}

func (p *Primary) program(name string) string { return filepath.Join(p.BinDir, name) }

func (p *Primary) start() error {
	args := []string{"start", "-D", p.DataDir, "-w", "-l", filepath.Join(p.Dir, "log")}
	if p.configFile != "" {
		args = append(args, "-o", "-c config_file="+p.configFile)
	}
	if err := p.run(p.program("pg_ctl"), args...); err != nil {
		words, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
		return fmt.Errorf("%w\n%s", err, words)
	}
	return nil
}

// run runs a program as the OS user.
func (p *Primary) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + p.Dir}
	credential, err := Credential(OSUser)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Setsid: true}
	// Files, not pipes: the server that pg_ctl leaves behind would hold a pipe open.
	out, err := os.CreateTemp("", "zrp-out")
	if err != nil {
		return err
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		words, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args, err, bytes.TrimSpace(words))
	}
	return nil
}

// Credential is the identity of an OS user with all its groups: Debian's
// servers read their TLS key as members of ssl-cert.
func Credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	c := &syscall.Credential{}
	for _, n := range []struct {
		text string
		to   *uint32
	}{{u.Uid, &c.Uid}, {u.Gid, &c.Gid}} {
		v, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil {
			return nil, err
		}
		*n.to = uint32(v)
	}
	for _, g := range groups {
		v, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return nil, err
		}
		c.Groups = append(c.Groups, uint32(v))
	}
	return c, nil
}

func giveToOSUser(path string) error {
	c, err := Credential(OSUser)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o755); err != nil {
		return err
	}
	return os.Chown(path, int(c.Uid), int(c.Gid))
}
