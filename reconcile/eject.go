package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

// ejection is all that a site has of this program, and what becomes of it.
type ejection struct {
	in      *view
	slot    ejectedSlot
	marks   []ejectedMarks
	systemd bool                         // the servers are units
	files   map[string]map[string][]byte // what to write, by change and name of the file
	changes []Change
	notes   []string
}

// ejectedSlot is the replication slot of the file, as the primary has it.
type ejectedSlot struct {
	name    string
	there   bool   // as far as is known
	unknown error  // why the primary could not be asked
	kept    string // why it must not be removed now; "" is it may
}

// PlanEject shows what Eject would do; it reads only.
func (h *Host) PlanEject(ctx context.Context, site *spec.Site) (Plan, error) {
	e, err := h.ejection(ctx, site)
	if err != nil {
		return Plan{}, err
	}
	p := e.plan()
	if running, err := h.watched(site.Name); err == nil && running {
		p.Notes = append([]string{"zreconcile watch runs for this site, and eject is refused until it ends: stop it first, and keep it from starting again"}, p.Notes...)
	}
	return p, nil
}

// Eject makes what the site consists of run without this program: PostgreSQL
// calls it no more, its marks and the replication slot go, and everything else
// stays and goes on. The lock of the site must be held.
func (h *Host) Eject(ctx context.Context, site *spec.Site) (Plan, error) {
	if running, err := h.watched(site.Name); err != nil {
		return Plan{}, err
	} else if running {
		return Plan{}, fmt.Errorf("%w: zreconcile watch runs for site %s, and would adopt it again: stop it, keep it from starting again (systemctl disable), and run eject once more; nothing was done", ErrRefused, site.Name)
	}
	e, err := h.ejection(ctx, site)
	if err != nil {
		return Plan{}, err
	}
	left, leftErr := h.releaseLeft(ctx, site, e.in.state)
	if left { // what stays held is another's
		if e, err = h.ejection(ctx, site); err != nil {
			return Plan{}, err
		}
	}
	p := e.plan()
	if leftErr != nil {
		p.Failures = append(p.Failures, leftErr.Error())
	}
	h.eject(ctx, e, p.Changes)
	p.tally()
	if err := ctx.Err(); err != nil {
		return p, err
	}
	after, err := h.ejection(ctx, site)
	if err != nil {
		return p, err
	}
	p.Converged = len(after.changes) == 0
	p.Failures = append(p.Failures, leftBehind(p.Changes, after.changes)...)
	return p, nil
}

// leftBehind are what eject did and what is there all the same.
func leftBehind(done, left []Change) []string {
	var texts []string
	for _, c := range done {
		if c.Result == Done && slices.ContainsFunc(left, func(l Change) bool { return l.key() == c.key() }) {
			texts = append(texts, fmt.Sprintf("%s %s was changed, and is as it was: look for another zreconcile at work", c.Kind, c.Name))
		}
	}
	return texts
}

func (e *ejection) plan() Plan {
	var failures []string
	if e.slot.unknown != nil {
		failures = append(failures, fmt.Sprintf("the replication slot %s stays, since the primary could not be asked: %v; run eject again when it answers, or drop the slot there: %s", e.slot.name, e.slot.unknown, dropSlotSQL(e.slot.name)))
	}
	p := newPlan(e.in.site.Name, slices.Clone(e.changes), e.notes, time.Time{})
	p.Failures = failures
	return p
}

func dropSlotSQL(name string) string {
	return fmt.Sprintf("select pg_drop_replication_slot('%s')", name)
}

// ejection observes the host and settles what is to be done.
func (h *Host) ejection(ctx context.Context, site *spec.Site) (*ejection, error) {
	now := h.Clock()
	state, err := h.observe(ctx, site, now, false)
	if err != nil {
		return nil, err
	}
	in := &view{site: site, state: &state, now: now}
	if state.ZFS.Pool == nil {
		return nil, fmt.Errorf("pool %s is not imported: import it first, so that the marks on it can be taken off", site.Pool.Name)
	}
	for _, kind := range []string{kindBasebackup, kindConf, kindStandby, kindRestore} {
		if why := state.reason(kind); why != "" {
			return nil, errors.New(why)
		}
	}
	e := &ejection{in: in, files: map[string]map[string][]byte{}}
	if e.marks, err = h.ejectedMarks(ctx, in); err != nil {
		return nil, err
	}
	if site.Standby != nil && state.Cluster.Content == DirCluster {
		e.slot = h.ejectedSlot(ctx, in)
		server, err := standbyServer(h, in)
		if err != nil {
			return nil, err
		}
		e.systemd = server.service.Supervisor() == "systemd"
	}
	return e, e.diff()
}

// ejectedSlot asks the primary for the slot of the file, and settles whether it
// can go: only where the standby streams and has all but the last of its WAL,
// which the primary keeps without a slot as well.
func (h *Host) ejectedSlot(ctx context.Context, in *view) ejectedSlot {
	s := ejectedSlot{name: in.site.Standby.Primary.Slot}
	if s.name == "" {
		return s
	}
	password, err := h.password(in.site)
	if err != nil {
		s.unknown = err
		return s
	}
	slot, known, err := postgres.ReadSlot(ctx, h.primary(in.site, password), s.name)
	in.state.Cluster.Password = password
	s.unknown, s.there = err, slot.Exists
	if !known { // it may be there as long as the standby names it
		s.there = effective(in.state.Cluster.Files[managedFile])["primary_slot_name"] != ""
	}
	s.kept = slotNeeded(in.state.Cluster.Status, slot.Retained, in.segmentSize())
	return s
}

// slotNeeded says why a standby still needs its slot; "" is it does not. What it
// lacks of the last segment the primary keeps anyway.
func slotNeeded(standby *postgres.Status, retained, segment int64) string {
	switch {
	case standby == nil || !standby.InRecovery || !standby.Connected():
		return "the standby does not stream from the primary at this moment, and the slot keeps the WAL that it still needs"
	case retained > segment:
		return fmt.Sprintf("the standby is %s behind, and the slot keeps the WAL that it still needs", units.BytesSize(float64(retained)))
	}
	return ""
}

// diff is what differs from a host that does not need this program.
func (e *ejection) diff() error {
	for _, c := range e.in.state.Clones {
		if err := e.diffClone(c); err != nil {
			return err
		}
	}
	if err := e.diffStandby(); err != nil {
		return err
	}
	e.diffSlot()
	for _, m := range e.marks {
		e.changes = append(e.changes, m.change())
	}
	if len(e.changes) > 0 {
		e.notes = e.whatStays()
	}
	return nil
}

func (e *ejection) diffClone(c Clone) error {
	change := Change{Kind: kindRestore, Name: c.Restore, Action: Update, Why: "it fetches WAL through zreconcile when it starts; it goes on without"}
	if c.Files == nil && c.Marks[markState] == stateReady {
		change = change.block(fmt.Sprintf("its dataset %s is not mounted, so that its configuration can't be changed", c.Dataset.Name), "zfs mount "+c.Dataset.Name)
		e.changes = append(e.changes, change)
		return nil
	}
	return e.diffFiles(change, c.Files, true, false)
}

func (e *ejection) diffStandby() error {
	if e.in.state.Cluster.Content != DirCluster {
		return nil
	}
	change := Change{Kind: kindConf, Name: confName, Action: Update, Why: "the server calls zreconcile, and its settings are zreconcile's to write; it goes on without"}
	dropSlot := e.slot.name != "" && e.slot.unknown == nil && (!e.slot.there || e.slot.kept == "")
	return e.diffFiles(change, e.in.state.Cluster.Files, false, dropSlot)
}

// diffFiles looks through all files with settings: the managed one wins, and a
// clone's others still have what the snapshot's said.
func (e *ejection) diffFiles(change Change, have map[string][]byte, clone, dropSlot bool) error {
	files := map[string][]byte{}
	for _, name := range []string{managedFile, mainFile, autoFile} {
		want, attrs, err := e.in.plainFile(have[name], clone, dropSlot)
		if err != nil {
			return err
		}
		if bytes.Equal(have[name], want) {
			continue
		}
		files[name] = want
		for _, a := range attrs {
			if name != managedFile {
				a.Name = name + ": " + a.Name
			}
			change.Attrs = append(change.Attrs, a)
		}
	}
	if len(files) > 0 {
		e.files[change.key()] = files
		e.changes = append(e.changes, change)
	}
	return nil
}

func (e *ejection) diffSlot() {
	if e.slot.unknown != nil || !e.slot.there {
		return
	}
	c := Change{Kind: kindStandby, Name: "slot " + e.slot.name, Action: Delete, Why: "the standby goes on without it; left behind it would fill the primary's disk"}
	if e.slot.kept != "" {
		c = c.block(e.slot.kept, "run eject again when the standby has caught up; or, where it is given up, drop it on the primary: "+dropSlotSQL(e.slot.name))
	}
	e.changes = append(e.changes, c)
}

// heldSnapshots are those of the site that somebody holds, by their full names.
func (e *ejection) heldSnapshots() []string {
	var held []string
	for _, s := range e.in.state.ZFS.Snapshots {
		if s.UserRefs > 0 && localMarks(s.Properties)[markSite] == e.in.site.Name {
			held = append(held, s.Full())
		}
	}
	return held
}

// whatStays tells a person what is theirs from now on, and what ends.
func (e *ejection) whatStays() []string {
	in := e.in
	var notes []string
	if in.state.Cluster.Content == DirCluster {
		notes = append(notes, in.standbyStays(e.systemd)...)
	}
	for _, c := range in.state.Clones {
		notes = append(notes, fmt.Sprintf("restore %s stays in %s on port %s; take its entry out of the file before another apply, which would find its dataset taken; to be rid of it, stop its server, then: zfs destroy %s", c.Restore, c.DataDir, c.Marks[markPort], c.Dataset.Name))
	}
	for _, c := range in.state.Drills {
		notes = append(notes, fmt.Sprintf("the clone of a restore drill stays in %s; to be rid of it, stop its server, then: zfs destroy %s", c.Dataset.Name, c.Dataset.Name))
	}
	snapshots := 0
	for _, m := range e.marks {
		snapshots += len(m.snapshots)
	}
	if snapshots > 0 {
		notes = append(notes, fmt.Sprintf("%d snapshots stay, and nothing removes them any more: watch the space of pool %s. A later apply takes none of them for its own, and may remove archived WAL that only they need", snapshots, in.site.Pool.Name))
	}
	for _, name := range e.heldSnapshots() {
		notes = append(notes, fmt.Sprintf("%s stays held (to release it: zfs release %s %s)", name, holdTag, name))
	}
	return append(notes, fmt.Sprintf("%s stays: keep watch, apply and cron jobs away from it, or they adopt the site again", in.site.File))
}

// standbyStays is about the standby, its archive and its files elsewhere.
func (in *view) standbyStays(systemd bool) []string {
	s := in.site.Standby
	notes := []string{fmt.Sprintf("the standby in %s is not restarted, and follows %s as before", s.DataDir, strings.Join(s.Primary.Hosts, ", "))}
	if in.promoted() {
		notes[0] = fmt.Sprintf("the server in %s was promoted, and goes on as the primary that it is; it is not restarted", s.DataDir)
	}
	if in.site.Archive != nil {
		notes = append(notes, fmt.Sprintf("archiving ends, since nothing would remove old WAL any more; what is in %s stays, and serves the restores and the standby. To go on archiving, set archive_mode and archive_command in %s, and have something remove what is old", in.site.Archive.Dir, managedFile))
	}
	if s.Primary.Slot != "" {
		notes = append(notes, "without a slot the primary may remove WAL that a standby which was away still needs: raise its wal_keep_size")
	}
	if path := in.state.Paths.Passfile; path != "" && exists(path) {
		notes = append(notes, fmt.Sprintf("the standby's password stays in %s, which primary_conninfo names: do not remove it", path))
	}
	if path := in.state.Paths.Helper; exists(path) {
		notes = append(notes, fmt.Sprintf("%s is called no more once the servers were restarted, and can be removed then", path))
	}
	if !systemd {
		notes = append(notes, fmt.Sprintf("nothing starts the servers at boot here; by hand: install -d -o %s %s && runuser -u %s -- %s/pg_ctl -D %s start", s.OSUser, s.SocketDir, s.OSUser, in.state.Server.BinDir, s.DataDir))
	} else {
		notes = append(notes, fmt.Sprintf("the unit %s and those of the restores stay as they are, enabled at boot, and call PostgreSQL alone", unitName(in.site.Name, "")))
	}
	return notes
}
