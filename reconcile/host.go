package reconcile

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Host is the machine that a site is converged on: every effect goes through
// it, and time, programs and the environment come in from outside.
type Host struct {
	ZFS        *zfs.Client
	Run        func(*exec.Cmd) error // runs a program to its end; it inherits the lock
	Launch     func(*exec.Cmd) error // runs a program that leaves a server behind; it does not
	Clock      func() time.Time
	Log        *slog.Logger
	Self       string // absolute path of the running program
	WALProgram string // content of a program with its wal commands alone, which PostgreSQL calls; "" lets it call a copy of Self
	OnProgress func(Progress)
	OnChange   func(c Change, took time.Duration) // hears of each change of an apply when it was made or was not
	Folders    Folders

	self   FileID // of the file at Self when it was started
	lock   *Lock
	known  map[string]Resolution // what others found out of restores; nil is nobody, it is found out anew
	secret string                // the primary's password, where init found it and its file is not there yet
}

// Folders are where the program keeps what belongs neither in the data
// directory nor in the pool.
type Folders struct {
	Run string // sockets and locks
	Lib string // password files and the copy of the program that PostgreSQL calls
	Log string // logs of servers
}

// Progress is how far a long step has come, in bytes; Total is 0 while unknown.
type Progress struct {
	Kind, Name  string
	Done, Total int64
}

// NewHost is the machine we are on.
func NewHost(log *slog.Logger) *Host {
	h := &Host{
		Launch: (*exec.Cmd).Run, Clock: time.Now, Log: log,
		OnProgress: func(Progress) {},
		Folders:    Folders{Run: "/run/zreconcile", Lib: "/var/lib/zreconcile", Log: "/var/log/zreconcile"},
	}
	h.OnChange = func(c Change, took time.Duration) { LogChange(h.Log, c, took) }
	h.Run = h.runHoldingLock
	h.ZFS = zfs.New(func(c *exec.Cmd) error { return h.Run(c) })
	if self, err := os.Executable(); err == nil {
		h.Self = self
		h.self, _ = fileID(self) // one that can't be read can't be copied either, and then says so
	}
	return h
}

// runHoldingLock lets the program that it runs inherit the lock: after a kill
// of ours it may still be at work, and no other run may start before it ends.
func (h *Host) runHoldingLock(c *exec.Cmd) error {
	if h.lock != nil {
		c.ExtraFiles = append(c.ExtraFiles, h.lock.files()...)
	}
	h.Log.Debug("run", "program", c.Path, "arguments", c.Args[1:])
	return c.Run()
}

// beside is the same machine for a run that goes on at the same time, and holds
// a lock of its own. It makes no restores, and proves none: that reads all the WAL
// up to their targets, time and again while one of them replays the same.
func (h *Host) beside(known map[string]Resolution) *Host {
	b := *h
	b.lock = nil
	if b.known = known; known == nil {
		b.known = map[string]Resolution{}
	}
	b.Run = b.runHoldingLock
	b.ZFS = zfs.New(func(c *exec.Cmd) error { return b.Run(c) })
	return &b
}

// cluster is the standby as a client sees it; adminRole "" is not known yet.
func (h *Host) cluster(site *spec.Site, bin, adminRole string, user postgres.OSUser) *postgres.Cluster {
	s := site.Standby
	return &postgres.Cluster{
		DataDir: s.DataDir, BinDir: bin, SocketDir: s.SocketDir, Port: s.Port, User: user,
		Admin: postgres.Login{Role: adminRole, Database: s.AdminDatabase}, LogFile: h.logFile(site, "standby"),
		Run: h.Run, Launch: h.Launch, Log: h.Log,
	}
}

func (h *Host) logFile(site *spec.Site, name string) string {
	return h.Folders.Log + "/" + site.Name + "/" + name + ".log"
}

// Plan is the difference between the site and the host at a moment.
func (h *Host) Plan(ctx context.Context, site *spec.Site, now time.Time, only Only) (Plan, error) {
	state, err := h.Observe(ctx, site, now)
	if err != nil {
		return Plan{}, err
	}
	return Diff(site, state, now, only), nil
}
