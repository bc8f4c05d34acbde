package reconcile

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
)

// observeCluster reads the data directory and, when it runs, its server.
func (h *Host) observeCluster(ctx context.Context, in *view) {
	c := &in.state.Cluster
	if h.observeOutside(in); c.Content != DirCluster {
		return
	}
	dir := in.site.Standby.DataDir
	cluster := h.cluster(in.site, in.state.Server.BinDir, "", in.state.Server.User)
	var err error
	if c.Files, err = cluster.ReadFiles(confFiles...); err != nil {
		in.state.fail(kindConf, err)
	}
	c.Standby = exists(filepath.Join(dir, signalFile))
	c.BackupLabel = exists(filepath.Join(dir, "backup_label"))
	c.AdminRole, _ = conf.HBARole(c.Files[hbaFile])
	if c.Process, err = cluster.Process(); err != nil {
		in.state.fail(kindStandby, err)
	}
	if in.state.Server.BinDir == "" {
		in.state.failCluster(errors.New(cmp.Or(in.state.Server.Missing, in.state.reason(kindBasebackup))))
		return
	}
	control, err := cluster.ControlData(ctx)
	if err != nil {
		in.state.failCluster(err)
		return
	}
	c.Control = &control
	if server, err := standbyServer(h, in); err != nil {
		in.state.fail(kindStandby, err)
	} else if installed, err := server.service.Installed(); err != nil {
		in.state.fail(kindStandby, err)
	} else {
		c.UnitDiffers = !installed
	}
	if c.Process.Running {
		c.OutsideConf = outsideConf(cluster)
	}
	if c.Process.Running && c.OutsideConf == "" { // who is let in is not in our files, else
		h.observeStatus(ctx, in, cluster)
	}
	if c.Status == nil || !c.Status.FilesLoad {
		h.observeRejected(ctx, in)
	}
}

// outsideConf is the configuration file of a server that was started with one
// outside of its data directory, as Debian's are; "" is none.
func outsideConf(cluster *postgres.Cluster) string {
	file := cluster.ConfigFile()
	if file == "" || resolvedDir(filepath.Dir(file)) == resolvedDir(cluster.DataDir) {
		return ""
	}
	return file
}

// observeStatus asks the running server. One that is still starting, before it
// is consistent, answers nobody: that is no failure of the plan.
func (h *Host) observeStatus(ctx context.Context, in *view, cluster *postgres.Cluster) {
	c := &in.state.Cluster
	cluster.Admin.Role, cluster.Port, cluster.SocketDir = c.AdminRole, c.Process.Port, c.Process.SocketDir
	if c.AdminRole == "" {
		cluster.Admin.Role = in.site.Standby.AdminRole
	}
	status, err := cluster.Status(ctx)
	if err != nil {
		in.state.fail(kindStandby, err)
		return
	}
	c.Status = &status
	c.Stale = newestMTime(in.site.Standby.DataDir).After(status.ConfLoadedAt)
	if status.InRecovery && !status.Connected() {
		c.LostWAL = cluster.LostWAL(status.StartedAt)
	}
	if in.site.Standby.AdminRole == "" {
		c.Bootstrap = status.BootstrapRole
	}
}

// newestMTime is when a configuration file was last changed.
func newestMTime(dir string) time.Time {
	var newest time.Time
	for _, name := range confFiles {
		if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// observeRejected asks the local server what of the files it can't load.
func (h *Host) observeRejected(ctx context.Context, in *view) {
	c := &in.state.Cluster
	server := conf.Server{BinDir: in.state.Server.BinDir, Run: h.Run, Credential: in.state.Server.User.Credential()}
	files := map[string][]byte{}
	for _, name := range []string{mainFile, autoFile} {
		if b, ok := c.Files[name]; ok {
			files[name] = b
		}
	}
	var err error
	if c.Rejected.Parameters, err = server.Unsupported(ctx, files); err != nil {
		in.state.fail(kindConf, err)
		return
	}
	if c.Rejected.Libraries, err = server.MissingLibraries(ctx, conf.PreloadLibraries(files)); err != nil {
		in.state.fail(kindConf, err)
	}
}

// observeOutside reads what stands outside of the data directory.
func (h *Host) observeOutside(in *view) {
	c := &in.state.Cluster
	if path := in.state.Paths.Passfile; path != "" {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			in.state.fail(kindConf, err)
		}
		c.Passfile = b
	}
	var err error
	if c.Helper, err = fileID(in.state.Paths.Helper); err != nil {
		in.state.fail(kindConf, err)
	}
	if c.Program, err = h.programID(c.Helper); err != nil {
		in.state.fail(kindConf, err)
	}
}
