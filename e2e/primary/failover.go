package primary

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Follower makes a running streaming standby of p, which takes p's place after
// Promote: of the same kind, with the same roles and passwords, on a port of its
// own. It needs a Destroy of its own, even when Follower failed.
func (p *Primary) Follower() (*Primary, error) {
	f := &Primary{Kind: p.Kind, BinDir: p.BinDir, Superuser: p.Superuser, User: p.User, Password: p.Password}
	var err error
	if f.Port, err = FreePort(); err != nil {
		return f, err
	}
	if err := f.makeFolder(); err != nil {
		return f, err
	}
	copied := func() error { return f.copyOf(p) }
	configured := func() error { return f.configureLike(p) }
	caughtUp := func() error { return f.CatchUp(p) }
	for _, step := range []func() error{copied, configured, f.start, caughtUp} {
		if err := step(); err != nil {
			return f, fmt.Errorf("follower of the %s primary in %s: %w", p.Kind, f.Dir, err)
		}
	}
	return f, nil
}

// copyOf takes a base backup that streams from its primary once it is started.
func (p *Primary) copyOf(of *Primary) error {
	conninfo := fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s", of.Port, of.User, conninfoValue(of.Password))
	args := []string{"-D", p.DataDir, "-d", conninfo, "-R", "-X", "stream", "-c", "fast"}
	if of.Tablespace != "" {
		p.Tablespace = filepath.Join(p.Dir, "ts")
		args = append(args, "-T", of.Tablespace+"="+p.Tablespace)
	}
	return p.run(p.program("pg_basebackup"), args...)
}

// configureLike gives p the configuration that its primary's kind has, with
// p's own port and places, in files of its own: the other can be destroyed.
func (p *Primary) configureLike(of *Primary) error {
	if of.configFile == "" {
		return appendTo(filepath.Join(p.DataDir, "postgresql.conf"), p.settings())
	}
	etc := filepath.Join(p.Dir, "etc")
	p.configFile = filepath.Join(etc, filepath.Base(of.configFile))
	if of.Kind == Managed { // hba and ident files are in the data directory
		if err := os.Mkdir(etc, 0o755); err != nil {
			return err
		}
		return os.WriteFile(p.configFile, []byte(p.settings()), 0o644)
	}
	if err := os.CopyFS(etc, os.DirFS(filepath.Dir(of.configFile))); err != nil {
		return err
	}
	return appendTo(p.configFile, p.settings()+fmt.Sprintf(`
data_directory = '%[1]s'
hba_file = '%[2]s/pg_hba.conf'
ident_file = '%[2]s/pg_ident.conf'
external_pid_file = ''
`, p.DataDir, etc))
}

// CatchUp waits until a standby has replayed all that its primary has now.
func (p *Primary) CatchUp(of *Primary) error {
	var end string
	if err := of.QueryRow("SELECT pg_current_wal_flush_lsn()::text", &end); err != nil {
		return err
	}
	err := p.connected(func(ctx context.Context, conn *pgx.Conn) error {
		for {
			var done bool
			err := conn.QueryRow(ctx, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", end).Scan(&done)
			if err != nil || done {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	if err != nil {
		return fmt.Errorf("the follower did not reach %s: %w", end, err)
	}
	return nil
}

// Promote makes a primary of a standby, on a timeline of its own, and returns
// when it takes writes.
func (p *Primary) Promote() error {
	return p.run(p.program("pg_ctl"), "promote", "-D", p.DataDir, "-w")
}

// TakePortOf restarts p on the port of one that has ended, as a virtual address
// moves to the next primary.
func (p *Primary) TakePortOf(old *Primary) error {
	file := p.configFile
	if file == "" {
		file = filepath.Join(p.DataDir, "postgresql.conf")
	}
	if err := p.Stop(); err != nil {
		return err
	}
	p.Port = old.Port
	if err := appendTo(file, fmt.Sprintf("port = %d\n", p.Port)); err != nil {
		return err
	}
	return p.start()
}

// Kill ends the server as a power cut would: the postmaster first and then all
// of its children, without a word to anybody.
func (p *Primary) Kill() error {
	pidFile := filepath.Join(p.DataDir, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("%s: %w", pidFile, err)
	}
	processes := append([]int{postmaster}, childrenOf(postmaster)...)
	for _, pid := range processes {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		alive := 0
		for _, pid := range processes {
			if _, state := parentAndState(pid); state != "" && state != "Z" {
				alive = pid
			}
		}
		if alive == 0 {
			// A zombie that no init reaps keeps the pid, which a power cut does not.
			lock := filepath.Join(p.Dir, fmt.Sprintf(".s.PGSQL.%d.lock", p.Port))
			return errors.Join(os.Remove(pidFile), os.Remove(lock))
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d outlives SIGKILL", alive)
		}
	}
}

func childrenOf(pid int) []int {
	var children []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if parent, _ := parentAndState(child); parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// parentAndState reads proc(5)'s stat; the state of a process that is gone is "".
func parentAndState(pid int) (int, string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0, ""
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent, fields[0]
}

// conninfoValue quotes a value by libpq's rules for connection strings.
func conninfoValue(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
