package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
)

// The files of a data directory that are made to work here.
const (
	mainFile    = conf.MainFile
	autoFile    = conf.AutoFile
	managedFile = conf.ManagedFile
	hbaFile     = "pg_hba.conf"
	identFile   = "pg_ident.conf"
	signalFile  = "standby.signal"
)

var confFiles = []string{mainFile, autoFile, managedFile, hbaFile, identFile}

// confName names the one thing of kind conf, and of kind standby.
const confName = "standby"

// diffConf wants the configuration files as sanitizing and the file make them,
// byte for byte, the passfile, and the program that PostgreSQL calls.
func diffConf(in *view) []Change {
	s := in.site.Standby
	if s == nil || in.state.failed(kindConf) || in.promoted() {
		return nil
	}
	c := Change{Name: confName}.at(s.Pos)
	if in.state.Cluster.Content != DirCluster {
		return []Change{firstConf(in, c)}
	}
	if low := tooLow(in.state.Cluster.Control, s.Conf.Set); len(low) > 0 {
		return []Change{lowBlock(in, c, low)}
	}
	if c, blocked := rejectedBlock(in, c); blocked {
		return []Change{c}
	}
	if outside := in.state.Cluster.OutsideConf; outside != "" && s.Restart == "never" {
		return []Change{c.block(fmt.Sprintf("the standby reads %s in place of the files of its data directory, and standby.restart is never: it would go on without what is written there", outside),
			"stop it, and apply starts it with the files of its data directory; or let it be restarted: restart: auto")}
	}
	wanted, err := wantedConf(in)
	if err != nil {
		return []Change{c.block(err.Error(), "correct standby.conf")}
	}
	c.Attrs = confAttrs(in, wanted)
	if len(c.Attrs) == 0 {
		return nil
	}
	c.Action, c.Why = Update, "the configuration is not what the file says"
	if _, managed := in.state.Cluster.Files[managedFile]; !managed {
		c.Action, c.Why = Create, "the copied configuration must be made to work here"
	}
	return []Change{c}
}

// firstConf is the change on a host that has no cluster yet: what is in the
// copied files is not known before they are there.
func firstConf(in *view, c Change) Change {
	c.Action, c.Why = Create, "the copied configuration will be made to work here"
	settings, err := standbySettings(in, in.state.Paths.Helper, in.state.Paths.Passfile)
	if err != nil {
		return c.block(err.Error(), "correct standby.conf")
	}
	for _, s := range settings {
		if s.Value != "" {
			c.Attrs = append(c.Attrs, Attr{Name: s.Name, After: s.Value})
		}
	}
	return c
}

func lowBlock(in *view, c Change, low []conf.Finding) Change {
	var why []string
	for _, f := range low {
		why = append(why, fmt.Sprintf("standby.conf.set says %s: %s, and %s", f.Name, f.Value, f.Reason))
		for _, s := range in.site.Standby.Conf.Set {
			if strings.EqualFold(s.Name, f.Name) {
				c = c.at(s.Pos)
			}
		}
	}
	return c.block(strings.Join(why, "; "), "raise the value in the file, or take it out")
}

// rejectedBlock is for `unsupported: error`.
func rejectedBlock(in *view, c Change) (Change, bool) {
	r := in.state.Cluster.Rejected
	if in.site.Standby.Conf.Unsupported != "error" || len(r.Parameters)+len(r.Libraries) == 0 {
		return c, false
	}
	var names []string
	for _, m := range []map[string]string{r.Parameters, r.Libraries} {
		for name := range m {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return c.block("the server here can't load "+strings.Join(names, ", ")+", which the copied files name, and standby.conf.unsupported is error",
		"install what they belong to, name them in standby.conf.disable, or set unsupported: disable"), true
}

// confWanted is what should stand in files.
type confWanted struct {
	files    map[string][]byte // in the data directory
	findings []conf.Finding
	settings []conf.Setting
	passfile string
}

// wantedConf is a pure function of the file and of what was copied; applied to
// its own result it changes nothing.
func wantedConf(in *view) (confWanted, error) {
	s, cluster := in.site.Standby, in.state.Cluster
	settings, err := standbySettings(in, in.state.Paths.Helper, in.state.Paths.Passfile)
	if err != nil {
		return confWanted{}, err
	}
	w := confWanted{settings: settings, files: map[string][]byte{}}
	copied := map[string][]byte{}
	for _, name := range []string{mainFile, autoFile} {
		if b, ok := cluster.Files[name]; ok {
			copied[name] = b
		}
	}
	w.files, w.findings = conf.Sanitize(copied, conf.Rules{
		Disable: s.Conf.Disable, Unsupported: cluster.Rejected.Parameters,
		MissingLibraries: cluster.Rejected.Libraries, Managed: managedNames(settings),
	})
	w.files[managedFile] = conf.Render(managedHeader(in.site.Name), settings)
	role := in.adminRole()
	w.files[hbaFile] = conf.HBA(cluster.Files[hbaFile], role, nil, s.Conf.HBA)
	w.files[identFile] = conf.Ident(cluster.Files[identFile], unique([]string{"root", s.OSUser}), []string{role})
	if !cluster.Standby {
		w.files[signalFile] = []byte{}
	}
	if in.state.Paths.Passfile != "" && !cluster.PasswordUnknown {
		var lines []string
		lines, err = passfileLines(in.site, cluster.Password)
		w.passfile = strings.Join(lines, "\n") + "\n"
	}
	return w, err
}

func managedHeader(site string) string {
	return "Managed by zreconcile for the site " + site + ": change the site's file, not this one.\n" +
		"It is included last, and postgresql.auto.conf may not repeat what it sets."
}

// adminRole is who this program connects as: the file's, or the bootstrap
// superuser that was found. Until it is known it is the role that replicates,
// which exists and may ask for it.
func (in *view) adminRole() string {
	switch {
	case in.site.Standby.AdminRole != "":
		return in.site.Standby.AdminRole
	case in.state.Cluster.Bootstrap != "":
		return in.state.Cluster.Bootstrap
	case in.state.Cluster.AdminRole != "" && in.state.Cluster.AdminRole != in.site.Standby.Primary.User:
		return in.state.Cluster.AdminRole
	case in.state.Primary != nil && in.state.Primary.BootstrapRole != "":
		return in.state.Primary.BootstrapRole
	}
	return in.site.Standby.Primary.User
}

// confAttrs shows what differs: setting by setting for the managed file and
// for what was taken out, by name for the rest.
func confAttrs(in *view, w confWanted) []Attr {
	cluster := in.state.Cluster
	var attrs []Attr
	have := conf.Effective(cluster.Files[managedFile])
	if !bytes.Equal(cluster.Files[managedFile], w.files[managedFile]) {
		attrs = append(attrs, settingAttrs(have, w.settings)...)
		if len(attrs) == 0 {
			attrs = append(attrs, Attr{Name: managedFile, Before: "edited by hand", After: "as generated"})
		}
	}
	for _, name := range []string{mainFile, autoFile} {
		have, exists := cluster.Files[name]
		if want, wanted := w.files[name]; exists == wanted && bytes.Equal(have, want) {
			continue
		}
		before := len(attrs)
		for _, f := range w.findings {
			if f.File == name {
				attrs = append(attrs, Attr{Name: name + ": " + f.Name, Before: f.Value, After: "commented out: " + f.Reason})
			}
		}
		if len(attrs) == before {
			attrs = append(attrs, Attr{Name: name, Before: presence(cluster.Files[name]), After: "made to include " + managedFile})
		}
	}
	for _, name := range []string{hbaFile, identFile} {
		if b, exists := cluster.Files[name]; !exists || !bytes.Equal(b, w.files[name]) {
			attrs = append(attrs, Attr{Name: name, Before: presence(b), After: "lets " + in.adminRole() + " in over the socket"})
		}
	}
	if !cluster.Standby {
		attrs = append(attrs, Attr{Name: signalFile, Before: "absent", After: "present"})
	}
	return append(attrs, outsideAttrs(in, w)...)
}

// outsideAttrs are about what stands outside of the data directory.
func outsideAttrs(in *view, w confWanted) []Attr {
	var attrs []Attr
	cluster := in.state.Cluster
	if w.passfile != "" && !cluster.PassfileSame(w.passfile) {
		// Nothing of either content is shown: both hold passwords.
		attrs = append(attrs, Attr{Name: in.state.Paths.Passfile, Before: presence(cluster.Passfile), After: "the password of the file"})
	}
	if in.site.Archive != nil && cluster.Helper != cluster.Program {
		attrs = append(attrs, Attr{Name: in.state.Paths.Helper, Before: cluster.Helper.String(), After: "the one of this version"})
	}
	if cluster.Stale {
		attrs = append(attrs, Attr{Name: "reload", Before: "files are newer than what the server has loaded", After: "loaded"})
	}
	return attrs
}

func settingAttrs(have map[string]string, wanted []conf.Setting) []Attr {
	var attrs []Attr
	names := map[string]bool{}
	for _, s := range wanted {
		names[s.Name] = true
		if before, ok := have[s.Name]; before != s.Value || !ok && s.Value != "" {
			attrs = append(attrs, Attr{Name: s.Name, Before: before, After: s.Value})
		}
	}
	for name, value := range have {
		if !names[name] {
			attrs = append(attrs, Attr{Name: name, Before: value})
		}
	}
	sort.SliceStable(attrs, func(i, j int) bool { return attrs[i].Name < attrs[j].Name })
	return attrs
}

func presence(b []byte) string {
	if b == nil {
		return "absent"
	}
	return "present"
}

// PassfileSame compares without showing.
func (c Cluster) PassfileSame(wanted string) bool { return string(c.Passfile) == wanted }

func (id FileID) String() string {
	if id.Size == 0 {
		return "absent"
	}
	return fmt.Sprintf("%d bytes of %s", id.Size, FormatTime(id.ModTime))
}

const reloadDeadline = 15 * time.Second

// applyConf writes what differs, and makes a running server load it. Only what
// needs a restart restarts, and only where the file allows.
func applyConf(ctx context.Context, h *Host, in *view, _ Change) error {
	w, err := wantedConf(in)
	if err != nil {
		return err
	}
	if _, err := h.ensurePassfile(in); err != nil {
		return err
	}
	if in.site.Archive != nil {
		if err := h.copyProgram(in.state.Paths.Helper); err != nil {
			return err
		}
	}
	if effective(in.state.Cluster.Files[managedFile])["primary_slot_name"] != in.site.Standby.Primary.Slot {
		// A running standby streams no more once it names a slot that is not there.
		if slot, err := h.ensureSlot(ctx, in); err != nil {
			h.Log.Warn("the replication slot could not be made; the standby can't stream before it is there", "slot", slot, "error", err)
		}
	}
	cluster := h.cluster(in.site, in.state.Server.BinDir, in.state.Cluster.AdminRole, in.state.Server.User)
	for name, content := range w.files {
		if b, exists := in.state.Cluster.Files[name]; exists && bytes.Equal(b, content) {
			delete(w.files, name)
		}
	}
	if err := cluster.WriteFiles(w.files); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", in.site.Standby.DataDir, err)
	}
	if !in.state.Cluster.Process.Running {
		return nil
	}
	cluster.Admin.Role = in.adminRole()
	return h.load(ctx, in, cluster)
}

// load reloads and waits until the server has read the files; what needs a
// restart restarts where the file allows.
func (h *Host) load(ctx context.Context, in *view, cluster *postgres.Cluster) error {
	pending, err := awaitReload(ctx, cluster)
	if err == nil && len(pending) > 0 && in.site.Standby.Restart != "never" {
		return h.restartStandby(ctx, in, pending)
	}
	return err
}

// awaitReload reloads, waits until the server has read the files, and gives the
// settings that wait for a restart.
func awaitReload(ctx context.Context, cluster *postgres.Cluster) (pending []string, err error) {
	before, err := cluster.Status(ctx)
	if err != nil {
		// Who may come in is in the files that it has not loaded yet.
		return nil, cluster.Reload(ctx)
	}
	if err := cluster.Reload(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadDeadline)
	defer cancel()
	for {
		status, err := cluster.Status(ctx)
		if err == nil && status.ConfLoadedAt.After(before.ConfLoadedAt) {
			return status.PendingRestart, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the server of %s did not load its changed configuration within %s; look into its log for what it makes of %s", cluster.DataDir, reloadDeadline, filepath.Join(cluster.DataDir, managedFile))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
