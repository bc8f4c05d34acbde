package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StartOptions are for one start of a server.
type StartOptions struct {
	// Timeout bounds the wait for the server to accept connections, which in a
	// clone is the replay up to consistency. 0 is one minute.
	Timeout time.Duration
	// OOMScoreAdj is what the kernel adds to the server's badness when memory
	// runs out, -1000 to 1000 (manual page proc_pid_oom_score_adj): low for the
	// standby, high for clones. Below 0 it protects the postmaster alone, and
	// its children, which can be replaced, stay at 0 (PostgreSQL documentation,
	// "Linux Memory Overcommit").
	OOMScoreAdj int
}

// A StartError is a server that did not start, with its last words.
type StartError struct {
	DataDir   string
	LastWords string // of the server's log since this start; may be empty
	Err       error
}

func (e *StartError) Error() string {
	if e.LastWords == "" {
		return fmt.Sprintf("the server of %s did not start: %v", e.DataDir, e.Err)
	}
	return fmt.Sprintf("the server of %s did not start; its last words:\n  %s", e.DataDir, strings.ReplaceAll(e.LastWords, "\n", "\n  "))
}

func (e *StartError) Unwrap() error { return e.Err }

// Start starts the server as the cluster's user and waits until it accepts
// connections. The server is nobody's child and outlives us; its output is
// appended to LogFile. A failure is a *StartError. A server that already runs
// is left alone.
func (c *Cluster) Start(ctx context.Context, o StartOptions) error {
	p, err := c.Process()
	switch {
	case err != nil:
		return err
	case p.Foreign:
		return p.foreignError(c.DataDir)
	case p.Running:
		return nil
	}
	if err := c.clearZombie(ctx, p); err != nil {
		return err
	}
	if err := c.prepareLog(); err != nil {
		return err
	}
	c.started = c.markLog()
	if err := c.pgCtlStart(ctx, o); err != nil {
		return &StartError{DataDir: c.DataDir, LastWords: c.lastWords(c.started), Err: err}
	}
	return c.setOOMScore(o.OOMScoreAdj)
}

func (c *Cluster) pgCtlStart(ctx context.Context, o StartOptions) error {
	for _, path := range []string{c.DataDir, c.LogFile, c.BinDir} {
		// pg_ctl hands these to a shell, between double quotes.
		if strings.ContainsAny(path, "\"$`\\\n") {
			return fmt.Errorf("pg_ctl can't handle the path %q: use one without quotes, dollar signs, backticks, backslashes and line breaks", path)
		}
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	// pg_ctl gives up by itself, and says so; ours is for one that hangs.
	ctx, cancel := context.WithTimeout(ctx, o.Timeout+30*time.Second)
	defer cancel()
	cmd := c.tool(ctx, "pg_ctl", "start", "-D", c.DataDir, "-l", c.LogFile, "-s", "-w", "-t", seconds(o.Timeout))
	if o.OOMScoreAdj < 0 {
		cmd.Env = append(cmd.Env, "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj", "PG_OOM_ADJUST_VALUE=0")
	}
	cmd.SysProcAttr.Setsid = true // a Ctrl-C at our terminal is not for the server
	_, err := output(c.Launch, cmd)
	return err
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// setOOMScore adjusts the postmaster, and above 0 the children that it already
// has; the later ones inherit.
func (c *Cluster) setOOMScore(adj int) error {
	if adj == 0 {
		return nil
	}
	p, err := c.Process()
	if err != nil || !p.Running {
		return err
	}
	pids := []string{strconv.Itoa(p.PID)}
	if adj > 0 {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID, p.PID))
		if err == nil { // a kernel without the file has only the postmaster adjusted
			pids = append(pids, strings.Fields(string(children))...)
		}
	}
	for _, pid := range pids {
		err := os.WriteFile(filepath.Join("/proc", pid, "oom_score_adj"), []byte(strconv.Itoa(adj)), 0)
		if err != nil && ignoreGone(err) != nil {
			// In a container root may lack CAP_SYS_RESOURCE. The server works all the same.
			c.logger().Info("the server's OOM score could not be set", "dataDir", c.DataDir, "score", adj, "error", err)
			return nil
		}
	}
	return nil
}

// Stop ends the server and waits for its end, at most as long as ctx allows.
// mode is smart, fast or immediate (manual page pg_ctl). No server is success.
// It refuses, with ErrForeignPID, when postmaster.pid is another cluster's.
func (c *Cluster) Stop(ctx context.Context, mode string) error {
	p, err := c.Process()
	switch {
	case err != nil:
		return err
	case p.Foreign:
		return p.foreignError(c.DataDir)
	case !p.Running:
		return nil
	}
	if err := c.pgCtl(ctx, "stop", "-m", mode, "-w", "-t", seconds(remaining(ctx))); err != nil {
		if p, again := c.Process(); again == nil && !p.Running {
			return nil // it ended by itself meanwhile
		}
		return fmt.Errorf("stopping the server of %s: %w", c.DataDir, err)
	}
	return nil
}

// remaining is the time that ctx leaves, or five minutes: a shutdown writes a
// restartpoint, and may have much to write.
func remaining(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(time.Until(end), time.Second)
	}
	return 5 * time.Minute
}

// Restart stops the server fast, if it runs, and starts it.
func (c *Cluster) Restart(ctx context.Context, o StartOptions) error {
	if err := c.Stop(ctx, "fast"); err != nil {
		return err
	}
	return c.Start(ctx, o)
}

// Reload makes the server read its configuration files again (SIGHUP). It
// returns before the server has done so: see Status.ConfLoadedAt.
func (c *Cluster) Reload(ctx context.Context) error {
	p, err := c.Process()
	switch {
	case err != nil:
		return err
	case p.Foreign:
		return p.foreignError(c.DataDir)
	case !p.Running:
		return fmt.Errorf("reloading the server of %s: it does not run", c.DataDir)
	}
	if err := c.pgCtl(ctx, "reload"); err != nil {
		return fmt.Errorf("reloading the server of %s: %w", c.DataDir, err)
	}
	return nil
}

func (c *Cluster) pgCtl(ctx context.Context, command string, args ...string) error {
	cmd := c.tool(ctx, "pg_ctl", append([]string{command, "-D", c.DataDir, "-s"}, args...)...)
	_, err := output(c.Run, cmd)
	return err
}
