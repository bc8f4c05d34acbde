package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// The parts of a file that an apply may have something to do for, each with
// those that can't be without it.
var (
	standbyPart   = []string{"standby", "archive", "snapshots", "restores", "health"}
	snapshotsPart = []string{"snapshots", "health"}
)

// settle plans the whole file as any plan does, comments out the part that an
// apply would have something to do for, and proves that a plan of the rest is
// empty.
func (h *Host) settle(ctx context.Context, d *deduction, now time.Time) (Draft, error) {
	r := spec.Remarks{Head: d.head(), At: d.at}
	whole, problems, err := d.parse(r)
	if err != nil {
		return Draft{}, err
	}
	if whole == nil && d.site.Standby != nil {
		for _, p := range problems.Errors() {
			d.note("the standby is not written, since a site file can't say it: %s", p.Message)
		}
		d.without(standbyPart)
		whole, problems, err = d.parse(r)
	}
	if whole == nil {
		return Draft{}, fmt.Errorf("what is on this host can't stand in a site file: %w", errors.Join(err, problems.Errors()))
	}
	draft := Draft{Format: Format, Site: d.site.Name, Pending: []Change{}}
	if whole.Standby != nil {
		state, err := h.observeFor(ctx, d, whole, now)
		if err != nil {
			return Draft{}, err
		}
		if whole, err = d.settleContinuous(r, whole, state, now); err != nil {
			return Draft{}, err
		}
		h.comment(ctx, d, &r, &draft, whole, state, now)
	}
	text, err := spec.Write(&d.site, r)
	if err != nil {
		return Draft{}, err
	}
	draft.YAML, draft.Notes = string(text), unique(append([]string{}, d.notes...))
	site, problems, err := spec.ParseAt(d.site.File, text)
	if err != nil || site == nil {
		return Draft{}, fmt.Errorf("the file that was written is not valid: %w", errors.Join(err, problems.Errors()))
	}
	if draft.Plan, err = h.Plan(ctx, site, now, nil); err != nil {
		return Draft{}, err
	}
	draft.Converged = draft.Plan.Converged && len(draft.Plan.Failures) == 0
	if !draft.Converged {
		draft.Notes = append(draft.Notes, "a plan of the file is not empty: see zreconcile plan")
	}
	return draft, nil
}

// parse reads the file as it would be with nothing commented out.
func (d *deduction) parse(r spec.Remarks) (*spec.Site, spec.Problems, error) {
	text, err := spec.Write(&d.site, r)
	if err != nil {
		return nil, nil, err
	}
	return spec.ParseAt(d.site.File, text)
}

// without takes sections out.
func (d *deduction) without(keys []string) {
	usual := spec.Defaults()
	for _, key := range keys {
		switch key {
		case "standby":
			d.site.Standby = nil
		case "archive":
			d.site.Archive = nil
		case "snapshots":
			d.site.Snapshots = nil
		case "restores":
			d.site.Restores = nil
		case "health":
			d.site.Health = usual.Health
		}
	}
}

// observeFor observes as a plan does, with the password that was found: it need
// not be where the file says yet.
func (h *Host) observeFor(ctx context.Context, d *deduction, site *spec.Site, now time.Time) (State, error) {
	asking := *h
	asking.secret = d.cluster.password.secret
	return asking.Observe(ctx, site, now)
}

// settleContinuous finds the continuousFor that the archive was kept by, which
// does not stand on the host: without it the WAL between old snapshots would be
// missed. It is the shortest by which no WAL is removed.
func (d *deduction) settleContinuous(r spec.Remarks, whole *spec.Site, state State, now time.Time) (*spec.Site, error) {
	needsWAL := func(site *spec.Site) bool {
		return slices.ContainsFunc(Diff(site, state, now, nil).Changes, func(c Change) bool { return c.Kind == kindWAL })
	}
	own := ours(whole, &state)
	if whole.Archive == nil || !needsWAL(whole) && !hasHoles(own, state.Archive.Inventory.Segments, state.Archive.SegmentSize) {
		return whole, nil
	}
	for _, span := range continuousSpans(own, now) {
		site, archive := *whole, *whole.Archive
		archive.ContinuousFor = span
		if site.Archive = &archive; needsWAL(&site) {
			continue
		}
		d.site.Archive.ContinuousFor = span
		d.remark("archive.continuousFor", "guessed: as far back as the archive goes on without a gap. Review")
		again, problems, err := d.parse(r)
		return again, errors.Join(err, problemsOf(again, problems))
	}
	return whole, nil
}

func problemsOf(site *spec.Site, problems spec.Problems) error {
	if site != nil {
		return nil
	}
	return problems.Errors()
}

// hasHoles is true where WAL is missing behind the oldest snapshot, whose base
// backup may have brought what it begins with.
func hasHoles(list []Snapshot, archived []wal.SegmentFile, size int64) bool {
	if len(list) == 0 || len(archived) == 0 || size == 0 {
		return false
	}
	there, last := map[uint64]bool{}, uint64(0)
	for _, s := range archived {
		there[s.Number], last = true, max(last, s.Number)
	}
	for n := uint64(list[0].Consistent) / uint64(size); n < last; n++ {
		if !there[n] {
			return true
		}
	}
	return false
}

// continuousSpans are spans of time, shortest first, by each of which another
// snapshot would be the one that all later moments are had from.
func continuousSpans(list []Snapshot, now time.Time) []time.Duration {
	var spans []time.Duration
	for i, s := range list {
		longest := now.Sub(s.servesFrom())
		shortest := time.Duration(0)
		if i+1 < len(list) {
			shortest = now.Sub(list[i+1].servesFrom())
		}
		for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
			if span := longest.Truncate(unit); span > shortest && span > 0 {
				spans = append(spans, span)
				break
			}
		}
	}
	slices.Sort(spans)
	return spans
}

// comment decides what is written commented out, and says what an apply would do
// if it were not.
func (h *Host) comment(ctx context.Context, d *deduction, r *spec.Remarks, draft *Draft, whole *spec.Site, state State, now time.Time) {
	plan := Diff(whole, state, now, nil)
	unread := d.cluster.password.inline || d.cluster.password.passfile != "" // no plan could read it yet
	if plan.Converged && len(plan.Failures) == 0 && !unread {
		return
	}
	withoutSnapshots := *whole
	withoutSnapshots.Snapshots, withoutSnapshots.Health = nil, spec.Defaults().Health
	what := "the standby, with all that belongs to it"
	r.Off = standbyPart
	if p := Diff(&withoutSnapshots, state, now, nil); p.Converged && len(p.Failures) == 0 && !unread {
		r.Off, what = snapshotsPart, "the section snapshots"
	}
	more := ""
	if state.Cluster.Process.Running && state.Cluster.Status == nil && state.Cluster.Control != nil {
		// A server lets root in only once apply has written pg_hba.conf.
		more = "The server does not let this program in yet, which apply mends; it may then find more to do.\n"
		state.Failures = slices.DeleteFunc(slices.Clone(state.Failures), func(f Failure) bool { return f.Kind == kindStandby })
		plan = Diff(whole, state, now, nil)
	}
	draft.Pending = plan.Changes
	lines := append(h.pendingLines(ctx, d, plan.Changes, state.Server.Major), failureLines(plan.Failures)...)
	r.Why = fmt.Sprintf("Commented out is %s,\nsince an apply would change something for it.\n"+
		"To let zreconcile take it over, take the marks away, and look at the plan:\n"+
		"  sed -i 's/^%s//' %[3]s; zreconcile plan -f %[3]s\n", what, spec.OffMark, d.site.File)
	if len(lines) > 0 {
		r.Why += "An apply would then:\n  " + strings.Join(lines, "\n  ") + "\n"
	}
	r.Why += more
	d.notes = append(d.notes, d.rivalNotes()...)
	d.note("%s, is written commented out: an apply would change something for it, which is listed there", what)
}

func failureLines(failures []string) []string {
	var lines []string
	for _, f := range failures {
		lines = append(lines, "not known, since it could not be observed: "+abbreviated(f))
	}
	return lines
}

// restarting are the settings of a standby that take a restart of its server,
// in any version (system view pg_settings, context postmaster).
var restarting = []string{"port", "listen_addresses", "unix_socket_directories", "hot_standby", "archive_mode",
	"max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction",
	"recovery_target_timeline", "shared_preload_libraries"}

// restarts tells whether a setting takes a restart in a major version.
func restarts(name string, major int) bool {
	return contains(restarting, name) ||
		name == "restore_command" && !version.RestoreCommandReload.In(major) ||
		contains([]string{"primary_conninfo", "primary_slot_name"}, name) && !version.PrimaryConninfoReload.In(major)
}

// pendingLines tells of each change, of settings only those that take effect,
// and which of them take a restart.
func (h *Host) pendingLines(ctx context.Context, d *deduction, changes []Change, major int) []string {
	var lines []string
	for _, c := range changes {
		if c.Kind != kindConf || d.cluster.managedBy != "" {
			lines = append(lines, plainChanges([]Change{c})...)
			continue
		}
		effective, restart := effectiveAttrs(c.Attrs, h.settingsNow(ctx, d, c.Attrs), major)
		c.Attrs = effective
		lines = append(lines, plainChanges([]Change{c})...)
		switch {
		case !d.cluster.process.Running || d.cluster.outside != nil: // that is a change of its own
		case len(restart) > 0:
			lines = append(lines, "restart the standby once, for "+strings.Join(restart, ", "))
		default:
			lines = append(lines, "restart nothing")
		}
	}
	return lines
}

// effectiveAttrs leaves out the settings that have the wanted value already,
// and tells in one line what is commented out in each file.
func effectiveAttrs(attrs []Attr, now map[string]string, major int) (out []Attr, restart []string) {
	commentedOut := map[string][]string{}
	for _, a := range attrs {
		if file, name, in := strings.Cut(a.Name, ": "); in {
			commentedOut[file] = append(commentedOut[file], name)
			continue
		}
		if before, known := now[a.Name]; known {
			if conf.SameSetting(a.Name, before, a.After) {
				continue
			}
			a.Before = hidden(before)
			if restarts(a.Name, major) {
				restart = append(restart, a.Name)
			}
		}
		out = append(out, a)
	}
	for _, file := range namesOf(commentedOut) {
		out = append(out, Attr{Name: file, After: "commented out: " + strings.Join(commentedOut[file], ", ")})
	}
	return out, restart
}

// settingsNow are the values that the settings of a change have now.
func (h *Host) settingsNow(ctx context.Context, d *deduction, attrs []Attr) map[string]string {
	var names []string
	for _, a := range attrs {
		if !strings.ContainsAny(a.Name, "/: ") && !strings.HasSuffix(a.Name, ".conf") && !strings.HasSuffix(a.Name, ".signal") {
			names = append(names, a.Name)
		}
	}
	cluster := h.cluster(&d.site, d.cluster.programs, "", d.cluster.user)
	return cluster.FileSettings(ctx, names...)
}

// hidden is a value without a password that may stand in it.
func hidden(value string) string {
	if lower := strings.ToLower(value); strings.Contains(lower, "passw") || strings.Contains(lower, "secret") || strings.Contains(value, "://") {
		return "(not shown: it may hold a password)"
	}
	return value
}
