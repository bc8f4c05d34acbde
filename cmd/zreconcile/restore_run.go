package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

// restoring is one run of the restore command, with the lock of the site held:
// no other apply sees the file before it is known to stay.
type restoring struct {
	*program
	host host
	site *spec.Site // as its files were before
	name string
	file *entryFile
	told outcomes

	plan     reconcile.Plan // what Apply did
	standing reconcile.RestoreStatus
	exists   bool // standing is something: an entry or a clone
	seen     bool // standing is as the apply left it
}

func runRestore(ctx context.Context, p *program, o restoreOptions, name string) error {
	if err := p.needRoot("restore"); err != nil {
		return p.fail(err, blankPlan(""))
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blankPlan(""))
	}
	r := &restoring{program: p, name: name, told: p.tellChanges(site)}
	r.host = p.newHost()
	site, unlock, err := p.lockSite(ctx, r.host.LockUrgently, site, o.lockTimeout)
	if err != nil {
		return p.fail(err, blankPlan(""))
	}
	defer unlock()
	defer p.progress.finish()
	r.site = site
	if o.remove {
		err = r.remove(ctx)
	} else {
		err = r.make(ctx, o.entry(name))
	}
	if err != nil {
		return p.fail(err, blankPlan(site.Name))
	}
	if err := r.show(); err != nil {
		return err
	}
	return report(applyStatus(r.plan))
}

// make writes the entry, and applies it alone.
func (r *restoring) make(ctx context.Context, e spec.Entry) error {
	if err := r.open(); err != nil {
		return err
	}
	content, err := r.content(e)
	if err != nil {
		return err
	}
	site, problems, err := spec.LoadWith(r.site.File, r.file.path, content)
	if err != nil {
		return err
	}
	if wrong := problems.Errors(); len(wrong) > 0 {
		r.showProblems(wrong)
		return &invalidError{r.file.path, wrong}
	}
	takeBack, err := r.renew(ctx, site, e)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, r.file.before) {
		if err := r.file.write(content); err != nil {
			return err
		}
	}
	r.apply(ctx, site)
	switch {
	case r.came(reconcile.Block):
		r.refused(context.WithoutCancel(ctx), takeBack)
		return nil
	case r.resulted(reconcile.Failed), r.resulted(reconcile.Skipped), len(r.plan.Changes) == 0 && len(r.plan.Failures) > 0:
		r.note("%s stays: the next apply or watch tries again. To give the restore up: %s --remove", r.file.path, r.restoreCommand(r.name))
	}
	r.lookAfter(ctx, site)
	return nil
}

// open finds the file of this name; an entry that stands elsewhere is an error.
func (r *restoring) open() (err error) {
	if r.file, err = readEntryFile(r.site.File, r.name); err != nil {
		return err
	}
	return r.file.alone(r.site, r.name)
}

// content is what the file is to hold. The port stays as it was, unless another
// one is asked for: a restore that is changed is still where it was.
func (r *restoring) content(e spec.Entry) ([]byte, error) {
	var before spec.Entry
	if r.file.exists() {
		var err error
		if before, err = spec.ParseEntry(r.file.path, r.file.before); err != nil {
			return nil, fmt.Errorf("%w, which this command would lose: change the file itself, and run zreconcile apply --only restore/%s; nothing was done", err, r.name)
		}
	}
	if e.Port == 0 {
		e.Port = before.Port
	}
	if e.Port == 0 {
		var err error
		if e.Port, err = freePort(r.site); err != nil {
			return nil, err
		}
	}
	return e.File()
}

// renew lets a restore that expired have its time once more. Only one that
// expires can have done so.
func (r *restoring) renew(ctx context.Context, site *spec.Site, e spec.Entry) (takeBack func(context.Context) error, err error) {
	if e.ExpiresAfter == "" {
		return nil, nil
	}
	return r.host.RenewRestore(ctx, site, r.clock(), r.name)
}

// apply makes the host what the site says of this restore.
func (r *restoring) apply(ctx context.Context, site *spec.Site) {
	plan, standing, err := r.host.ApplyRestore(ctx, site, r.clock(), r.name)
	if r.seen = standing != nil; r.seen {
		r.standing, r.exists = *standing, true
	}
	if err != nil {
		if len(plan.Changes) == 0 {
			plan = reconcile.Plan{Format: reconcile.Format, Site: site.Name, Changes: []reconcile.Change{}}
		}
	}
	r.plan = plan
	r.fails(interrupted(ctx, err))
}

// refused leaves nothing behind: the files are as they were, and so is what an
// update had done before the start was refused.
func (r *restoring) refused(ctx context.Context, takeBack func(context.Context) error) {
	r.standing, r.exists, r.seen = reconcile.RestoreStatus{}, false, false // it was seen with what is not kept
	failed := []error{r.file.putBack()}
	if takeBack != nil {
		failed = append(failed, takeBack(ctx))
	}
	if r.file.exists() && r.resulted(reconcile.Done) {
		_, err := r.host.Apply(ctx, r.site, r.clock(), reconcile.Only{"restore/" + r.name})
		failed = append(failed, err)
	}
	switch err := errors.Join(failed...); {
	case err != nil:
		r.fails(fmt.Errorf("the restore was refused, and not all could be left as it was: %w", err))
	case r.file.exists():
		r.note("refused: %s is as it was, and so is the restore", r.file.path)
	default:
		r.note("refused: nothing was made, and %s was not kept", r.file.path)
	}
}

// remove takes the file away, and applies that alone.
func (r *restoring) remove(ctx context.Context) error {
	if err := r.open(); err != nil {
		return err
	}
	if !r.file.exists() {
		if err := r.look(ctx, r.site); err != nil {
			return err
		}
		if !r.exists {
			return fmt.Errorf("there is no restore %s: neither %s nor a clone of that name", r.name, r.file.path)
		}
	}
	if err := os.Remove(r.file.path); err != nil && r.file.exists() {
		return err
	}
	site, problems, err := readSite(r.site.File)
	if err != nil {
		r.showProblems(problems)
		return err
	}
	r.apply(ctx, site)
	if r.resulted(reconcile.Failed) || len(r.plan.Changes) == 0 && len(r.plan.Failures) > 0 {
		r.note("%s is gone: the next apply or watch goes on with it", r.file.path)
	}
	r.lookAfter(ctx, site)
	r.tellWayBack()
	return nil
}

// tellWayBack says how to have a removed restore again.
func (r *restoring) tellWayBack() {
	if r.standing.Kept {
		r.note("it is kept, and only stopped: to have it destroyed, ask for it again with --keep=false, and remove it then")
	}
	if !r.file.exists() {
		return
	}
	again := "write " + r.file.path + " again:\n" + string(r.file.before)
	if e, err := spec.ParseEntry(r.file.path, r.file.before); err == nil {
		again = r.again(e)
	}
	if r.exists {
		r.note("to bring it back as it is: %s", again)
	} else {
		r.note("to make it again: %s", again)
	}
}

// look asks what the restore is now.
func (r *restoring) look(ctx context.Context, site *spec.Site) (err error) {
	r.standing, r.exists, err = r.host.RestoreStatus(ctx, site, r.clock(), r.name)
	return err
}

// lookAfter is look once the plan was carried out: that is told in any case.
func (r *restoring) lookAfter(ctx context.Context, site *spec.Site) {
	if !r.seen && ctx.Err() == nil { // of an interrupted apply the plan says so
		r.fails(r.look(ctx, site))
	}
}

// fails adds an error to what the plan tells.
func (r *restoring) fails(err error) {
	if err != nil {
		r.plan.Failures = append(r.plan.Failures, err.Error())
	}
}

func (r *restoring) note(format string, args ...any) {
	r.plan.Notes = append(r.plan.Notes, fmt.Sprintf(format, args...))
}

// came is true where the plan has this action of the restore.
func (r *restoring) came(action reconcile.Action) bool {
	return r.any(func(c reconcile.Change) bool { return c.Action == action })
}

// resulted is true where a change of the restore ended so.
func (r *restoring) resulted(result reconcile.Result) bool {
	return r.any(func(c reconcile.Change) bool { return c.Action != reconcile.Block && c.Result == result })
}

func (r *restoring) any(is func(reconcile.Change) bool) bool {
	for _, c := range r.plan.Changes {
		if c.Kind == "restore" && c.Name == r.name && is(c) {
			return true
		}
	}
	return false
}
