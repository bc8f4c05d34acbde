package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// standbyFacts are about the standby's files, and what its running server said
// beyond its status.
type standbyFacts struct {
	Dirs       []fileRights // of the cluster and of the archive, those that are there
	Passfile   *fileRights  // nil: there is none
	Writable   answer       // the archive, by the OS user
	Collations []string     // that were made with another version
	Asked      bool         // the server told its collations
	Amcheck    answer
	OfPatroni  bool // the cluster, or the one that it was copied from, is run by Patroni
}

// patroniFile is what Patroni keeps in the data directory, and a base backup copies.
const patroniFile = "patroni.dynamic.json"

// lookAtStandby looks only where the dataset is mounted: elsewhere it would be
// the folder beneath.
func (h *Host) lookAtStandby(ctx context.Context, p *patient) {
	c := p.cluster()
	if c == nil {
		return
	}
	f := &p.standby
	if path := p.in.state.Paths.Passfile; path != "" {
		if r, err := rightsOf(path, os.Lstat); err == nil {
			f.Passfile = &r
		}
	}
	for _, path := range p.ownedPaths() {
		if r, err := rightsOf(path, os.Lstat); err == nil {
			f.Dirs = append(f.Dirs, r)
		}
	}
	f.OfPatroni = c.Mounted && exists(filepath.Join(p.wanted().DataDir, patroniFile))
	f.Writable = h.archiveWritable(ctx, p)
	if c.Process.Running && c.Status != nil {
		h.askStandby(ctx, p)
	}
}

// ownedPaths are those that must be the OS user's, where their datasets are mounted.
func (p *patient) ownedPaths() []string {
	var paths []string
	if p.cluster().Content == DirCluster {
		paths = clusterFiles(p.wanted().DataDir)
		for _, dir := range clusterDirs(p.in)[1:] {
			if why, _ := mountBlock(p.in, dir); why == "" {
				paths = append(paths, dir)
			}
		}
	}
	if p.site.Archive != nil && p.in.state.Archive.Exists {
		paths = append(paths, p.site.Archive.Dir)
	}
	return paths
}

// archiveWritable lets test(1) ask as the OS user: rights of the folders above
// and a dataset that is read-only count as well. It ends with 1 for no.
func (h *Host) archiveWritable(ctx context.Context, p *patient) answer {
	user, known := p.userOf()
	if !known || p.site.Archive == nil || !p.in.state.Archive.Exists {
		return notKnown
	}
	_, err := h.said(ctx, &user, "test", "-w", p.site.Archive.Dir, "-a", "-x", p.site.Archive.Dir)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return yes
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return no
	}
	return notKnown
}

// askStandby asks the running server what no status holds.
func (h *Host) askStandby(ctx context.Context, p *patient) {
	c := p.cluster()
	cluster := h.cluster(p.site, p.in.state.Server.BinDir, p.in.adminRole(), p.in.state.Server.User)
	cluster.Port, cluster.SocketDir = c.Process.Port, c.Process.SocketDir
	found, err := cluster.Collations(ctx)
	if err != nil {
		p.failures = append(p.failures, err.Error())
	}
	p.standby.Asked = err == nil
	for _, f := range found {
		p.standby.Collations = append(p.standby.Collations, f.String())
	}
	available, words, err := cluster.Answer(ctx, p.wanted().AdminDatabase, "select exists (select from pg_available_extensions where name = 'amcheck')")
	switch {
	case err != nil || words != "": // the files may tell
	case available == "t":
		p.standby.Amcheck = yes
	default:
		p.standby.Amcheck = no
	}
}

// examinePorts is about servers that do not run: the ports of those that do are theirs.
func examinePorts(p *patient) []DoctorCheck {
	if p.in == nil || p.wanted() == nil {
		return nil
	}
	whose := map[int]string{p.wanted().Port: "the standby"}
	for _, r := range p.site.Restores {
		whose[r.Port] = "restore " + r.Name
	}
	var list []DoctorCheck
	for _, port := range slices.Sorted(maps.Keys(whose)) {
		if who := p.in.state.Ports[port]; who != "" {
			list = append(list, fault(fmt.Sprintf("port %d, which %s should have, is in use by %s", port, whose[port], who),
				fmt.Sprintf("stop that program (ss -ltnp 'sport = :%d' names it), or choose another port in the file", port)))
		}
	}
	if list == nil {
		list = one(fine("the ports of the site are free, or its own"))
	}
	return list
}

// examineServer is about the data directory and the server on it.
func examineServer(p *patient) []DoctorCheck {
	c := p.cluster()
	if c == nil {
		return nil
	}
	var list []DoctorCheck
	for _, change := range append(diffBasebackup(p.in), diffStandby(p.in)...) {
		if change.Action == Block && !strings.HasPrefix(change.Why, "port ") { // the ports have a check of their own
			list = append(list, fault(change.Why, change.Mend))
		}
	}
	switch {
	case list != nil:
		return list
	case c.Content != DirCluster:
		return one(warning("there is no standby yet", "zreconcile apply copies the primary"))
	case !c.Process.Running:
		return one(fault("the standby does not run", "zreconcile apply starts it, and shows the server's last words where it can't"))
	case c.Status == nil:
		return one(fault("the standby runs, and answers nobody", "it may be starting: see its log, in "+p.wanted().DataDir+"/log or as the unit's journal"))
	}
	return one(fine("the standby runs"))
}

func examineStreaming(p *patient) []DoctorCheck {
	c := p.cluster()
	if c == nil || c.Status == nil || p.in.promoted() {
		return nil
	}
	if !c.Status.Connected() {
		return one(fault("the standby is not connected to its primary", "see the group primary above, and the standby's log, in "+p.wanted().DataDir+"/log or as the unit's journal"))
	}
	if c.Status.ReplayPaused {
		return one(warning("the standby has paused its replay", "SELECT pg_wal_replay_resume(); where the primary raised a setting, zreconcile apply raises it here"))
	}
	return one(fine("the standby streams from %s", c.Status.SenderHost))
}

func examineSettings(p *patient) []DoctorCheck {
	c := p.cluster()
	if c == nil || c.Status == nil {
		return nil
	}
	if len(c.Status.PendingRestart) > 0 {
		return one(warning("settings wait for a restart of the standby: "+join(c.Status.PendingRestart), "zreconcile apply, or where standby.restart is never: restart it when it suits you"))
	}
	return one(fine("all settings are in force"))
}

func examineArchiveWritable(p *patient) []DoctorCheck {
	if p.site == nil || p.site.Archive == nil || p.in == nil || !p.in.state.Archive.Exists {
		return nil
	}
	dir, name := p.site.Archive.Dir, p.wanted().OSUser
	switch p.standby.Writable {
	case yes:
		return one(fine("%s can write to %s", name, dir))
	case no:
		return one(fault(fmt.Sprintf("%s can't write to the archive %s", name, dir),
			fmt.Sprintf("chown %s: %s; chmod 0700 %s; zfs get readonly %s; and let %s pass the folders above", name, dir, dir, p.in.state.Archive.Dataset, name)))
	}
	return one(unknown(fmt.Sprintf("whether %s can write to the archive %s is not known", name, dir), "run it with sudo"))
}

// examineArchiver reads pg_stat_archiver (pitfall 24).
func examineArchiver(p *patient) []DoctorCheck {
	c := p.cluster()
	if c == nil || c.Status == nil || p.site.Archive == nil {
		return nil
	}
	s := c.Status
	if s.LastFailedAt != nil && (s.LastArchivedAt == nil || s.LastFailedAt.After(*s.LastArchivedAt)) {
		return one(fault(fmt.Sprintf("archiving fails at %s, last at %s: pg_wal fills", s.LastFailedWAL, FormatTime(*s.LastFailedAt)),
			"the standby's log says why; most often the archive's dataset is full or not mounted"))
	}
	if s.LastArchivedAt == nil {
		return one(fine("nothing was archived since the standby's first start, and nothing failed"))
	}
	return one(fine("%s was archived last", s.LastArchivedWAL))
}

// examineCollations: an index that was sorted by other rules gives wrong answers
// (pitfall 59). A standby can't mend its own.
func examineCollations(p *patient) []DoctorCheck {
	if !p.standby.Asked {
		return nil
	}
	var list []DoctorCheck
	for _, found := range p.standby.Collations {
		list = append(list, warning(found, "install the primary's version of glibc and ICU here; a promoted restore: REINDEX DATABASE, then ALTER DATABASE ... REFRESH COLLATION VERSION"))
	}
	if list == nil {
		list = one(fine("the collations have the versions of this host"))
	}
	return list
}
