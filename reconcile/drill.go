package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Drill is the outcome of a restore drill: a snapshot was restored to its own
// moment, promoted on a timeline of its own, and looked over.
type Drill struct {
	Snapshot string     `json:"snapshot"`
	OK       bool       `json:"ok"`
	At       Time       `json:"at"` // its end
	Checks   []Check    `json:"checks"`
	Kept     *KeptDrill `json:"kept,omitempty"`
}

// Check is one thing that a drill looked at. Findings of one that is OK are for
// a person to know.
type Check struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Findings []string `json:"findings"`
}

// KeptDrill is where the clone of a failed drill is, and how to connect to it.
type KeptDrill struct {
	Dataset string `json:"dataset"`
	DataDir string `json:"dataDir"`
	Log     string `json:"log"`
	Connect string `json:"connect"` // "" where its server does not run
	Role    string `json:"role,omitempty"`
}

// The names of the checks.
const (
	checkRecovery   = "recovery"
	checkLibraries  = "libraries"
	checkCollations = "collations"
	checkAmcheck    = "amcheck"
	checkChecksums  = "checksums"
)

// findings are those of all checks, of the failed ones first.
func (d Drill) findings() []string {
	var failed, told []string
	for _, c := range d.Checks {
		for _, f := range c.Findings {
			if c.OK {
				told = append(told, c.Name+": "+f)
			} else {
				failed = append(failed, c.Name+": "+f)
			}
		}
	}
	return append(failed, told...)
}

// mostTold is how many findings an error names; the marks and verify have more.
const mostTold = 3

// failure is a failed drill as an error; nil is a good one.
func (d Drill) failure() error {
	if d.OK {
		return nil
	}
	found := d.findings()
	more := ""
	if len(found) > mostTold {
		more = fmt.Sprintf("; and %d more: zreconcile status -o json", len(found)-mostTold)
		found = found[:mostTold]
	}
	return fmt.Errorf("the restore drill of %s failed: %s%s", d.Snapshot, strings.Join(found, "; "), more)
}

// drilling is one drill at work.
type drilling struct {
	host     *Host
	in       *view
	snapshot Snapshot
	entry    spec.Restore
	cloned   bool
	server   cloneServer
	checks   spec.Verify
	drill    Drill
}

// drill restores a snapshot, looks it over, stamps the outcome and destroys the
// clone, unless it failed and is to be kept. An error means that there is no
// outcome: nothing is stamped then.
func (h *Host) drill(ctx context.Context, in *view, s Snapshot, checks spec.Verify, keepFailed bool) (Drill, error) {
	for _, c := range in.state.Drills {
		if err := h.destroyDrill(ctx, in, c); err != nil {
			return Drill{}, err
		}
	}
	w := &drilling{host: h, in: in, snapshot: s, entry: in.drillEntry(s.Name), checks: checks, drill: Drill{Snapshot: s.Name}}
	err := w.run(ctx)
	if err == nil {
		err = h.stampDrill(ctx, in, s, w.drill)
	}
	if err == nil && !w.drill.OK && keepFailed && w.cloned {
		return w.drill, w.keep(ctx)
	}
	return w.drill, errors.Join(err, h.cleanUp(ctx, in))
}

// run makes the drill. An error is none of the snapshot's.
func (w *drilling) run(ctx context.Context) error {
	recovered, err := w.recover(ctx)
	if err != nil {
		return err
	}
	if recovered {
		if err := w.host.aside(ctx, func() error { return w.look(ctx) }); err != nil {
			return err
		}
	}
	w.drill.At, w.drill.OK = Time{w.host.Clock()}, true
	for _, c := range w.drill.Checks {
		w.drill.OK = w.drill.OK && c.OK
	}
	return nil
}

// add notes a check that was made.
func (w *drilling) add(name string, ok bool, findings []string) {
	w.host.Log.Info("checked in a restore drill", "snapshot", w.drill.Snapshot, "check", name, "ok", ok)
	for _, f := range findings {
		w.host.Log.Warn("found in a restore drill", "snapshot", w.drill.Snapshot, "check", name, "finding", f)
	}
	w.drill.Checks = append(w.drill.Checks, Check{Name: name, OK: ok, Findings: append([]string{}, findings...)})
}

// recover brings a clone of the snapshot to its own moment and promotes it.
func (w *drilling) recover(ctx context.Context) (recovered bool, err error) {
	resolved, err := w.host.resolveFilled(ctx, w.in, w.entry)
	if err != nil {
		return false, err
	}
	if resolved.Refused != "" {
		w.add(checkRecovery, false, []string{resolved.Refused + " (" + resolved.Mend + ")"})
		return false, nil
	}
	var mountpoint string
	err = w.host.holding(ctx, resolved.Base, func() (err error) {
		mountpoint, err = w.host.cloneDatasets(ctx, w.in, w.entry, resolved)
		return err
	})
	if err != nil {
		return false, err
	}
	w.cloned = true
	err = w.start(ctx, mountpoint, resolved)
	if err != nil && noVerdict(ctx, err) {
		return false, err
	}
	if err != nil {
		w.add(checkRecovery, false, []string{err.Error()})
		return false, nil
	}
	w.add(checkRecovery, true, nil)
	return true, nil
}

// start is what makeClone and runClone do for a restore.
func (w *drilling) start(ctx context.Context, mountpoint string, resolved Resolution) error {
	dataDir := filepath.Join(mountpoint, clusterDatasets(w.in.site, w.in.state)[0].rel(w.in.site.Standby.DataDir))
	if _, err := w.host.cloneServer(w.in, w.entry, dataDir, 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return hostError{err} // such as programs of its major version that are not here
	}
	var stop settledStop
	var err error
	if w.server, stop, err = w.host.prepareClone(ctx, w.in, w.entry, mountpoint, resolved); err != nil {
		return err
	}
	limit := cloneTimeout(resolved.replay())
	if err := w.host.startClonesServer(ctx, limit, w.in, w.server); err != nil {
		return err
	}
	commit, err := w.host.awaitTarget(ctx, limit, w.server, stop.end, true)
	if err == nil {
		err = proveReached(w.entry.Target, stop, commit)
	}
	return err
}

// hostError is what this host is to blame for.
type hostError struct{ error }

func (e hostError) Unwrap() error { return e.error }

// shortages are a server's words about this host, rather than about its data.
var shortages = []string{"No space left on device", "Disk quota exceeded", "Cannot allocate memory", "out of memory",
	"could not create shared memory segment", "could not create semaphores", "Too many open files", "could not create lock file", "could not create any Unix-domain sockets"}

// noVerdict is true of an error that says nothing about a snapshot: the drill
// was interrupted, zfs failed, or the host lacks something.
func noVerdict(ctx context.Context, err error) bool {
	var ofZFS *zfs.Error
	var ofHost hostError
	if ctx.Err() != nil || errors.As(err, &ofZFS) || errors.As(err, &ofHost) {
		return true
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.ENOMEM, syscall.EMFILE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	for _, words := range shortages {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// keep leaves the clone of a failed drill to a person, with its server up where
// it had come up before.
func (w *drilling) keep(ctx context.Context) error {
	h := w.host
	if err := h.ZFS.SetProperties(ctx, w.entry.Dataset, []zfs.Prop{{Name: markState, Value: stateKept}}); err != nil {
		return errors.Join(err, h.cleanUp(ctx, w.in))
	}
	kept := &KeptDrill{Dataset: w.entry.Dataset, Log: h.logFile(w.in.site, "restore-"+drillName)}
	w.drill.Kept = kept
	if w.server.cluster == nil {
		return nil
	}
	kept.DataDir = w.server.cluster.DataDir
	if !w.drill.Checks[0].OK { // it did not recover
		return h.haltFailed(ctx, w.server)
	}
	if err := h.startClonesServer(ctx, cloneTimeout(0), w.in, w.server); err != nil {
		h.Log.Warn("the server of the drill's clone, which is kept, does not start", "dataset", kept.Dataset, "error", err)
		return nil
	}
	kept.Connect = fmt.Sprintf("host=%s port=%d", w.server.cluster.SocketDir, w.server.cluster.Port)
	kept.Role = w.in.adminRole()
	return nil
}

// checkRate is what the checks read at the least, in bytes a second; their
// deadline grows with the size of the snapshot by it.
const checkRate = 4 << 20

// checkTimeout is how long the checks of a drill may take.
func (w *drilling) checkTimeout() time.Duration {
	var size int64
	for _, m := range w.snapshot.Members {
		d, _ := w.in.state.ZFS.Dataset(m.Dataset)
		size += d.Referenced
	}
	return time.Hour + time.Duration(size/checkRate)*time.Second
}
