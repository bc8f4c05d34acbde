package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

type planOptions struct {
	detailed bool
	at       string
	only     []string
}

func newPlan(p *program) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change; reads only",
		Long: `Looks at the host and shows what apply would change, each change with its
reason and the line of the file that asks for it. Reads only.

` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd.Context(), p, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *planOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.detailed, "detailed-exitcode", false, "exit with status 2 when there are changes")
	cmd.Flags().StringVar(&o.at, "at", "", "the plan as it will be at this time, such as '2026-11-23 01:01:00+08'")
	addOnly(cmd, &o.only)
}

// addOnly adds --only with its completion.
func addOnly(cmd *cobra.Command, only *[]string) {
	cmd.Flags().StringArrayVar(only, "only", nil, "only the changes of this KIND or KIND/NAME; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(reconcile.KindNames(), cobra.ShellCompDirectiveNoFileComp))
}

func runPlan(ctx context.Context, p *program, o planOptions) error {
	only, err := reconcile.ParseOnly(o.only)
	if err != nil {
		return usageError{err}
	}
	now, err := p.moment(o.at)
	if err != nil {
		return usageError{err}
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	site, err := p.openSite()
	if err != nil {
		return p.fail(err, blankPlan(""))
	}
	plan, err := p.newHost().Plan(ctx, site, now, only)
	if err != nil {
		return p.fail(p.asUser(err), blankPlan(site.Name))
	}
	plan.Notes = append(plan.Notes, strays(only, site, plan)...)
	if err := p.writePlan(site, plan, showPlan); err != nil {
		return err
	}
	return report(planStatus(plan, o.detailed))
}

// strays says which names of --only are those of nothing: a name that was
// mistyped would look like one for which there is nothing to do.
func strays(only reconcile.Only, site *spec.Site, plan reconcile.Plan) []string {
	known := map[string]bool{}
	for _, r := range site.Restores {
		known["restore/"+r.Name] = true
	}
	for _, d := range site.Datasets {
		known["dataset/"+d.Name] = true
	}
	for _, c := range plan.Changes { // such as of a restore that left the file
		known[c.Kind+"/"+c.Name] = true
	}
	var notes []string
	for _, o := range only {
		kind, name, named := strings.Cut(o, "/")
		if named && (kind == "restore" || kind == "dataset") && !known[o] {
			notes = append(notes, "--only "+o+": the file has no "+kind+" "+name)
		}
	}
	return notes
}

// sameMoment is how far --at may lie back: a script takes the time and uses it
// for several plans.
const sameMoment = time.Minute

// moment is now, or the time that --at gives.
func (p *program) moment(at string) (time.Time, error) {
	if at == "" {
		return p.clock(), nil
	}
	t, err := spec.ParseTime(at)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at: %w", err)
	}
	if now := p.clock(); t.Before(now.Add(-sameMoment)) {
		return time.Time{}, fmt.Errorf("--at %s is past, now is %s: what the host was like then is not known, a plan is for now or later", at, reconcile.FormatTime(now))
	}
	return t, nil
}

// writePlan writes a plan for programs, or shows it to a person.
func (p *program) writePlan(site *spec.Site, plan reconcile.Plan, show func(view, reconcile.Plan)) error {
	if p.json() {
		return writeJSON(p.stdout, plan)
	}
	show(p.view(site, p.clock()), plan)
	return nil
}

// blankPlan is the JSON of a plan that could not be made.
func blankPlan(site string) func(message string) any {
	return func(message string) any {
		return reconcile.Plan{
			Format: reconcile.Format, Site: site, Changes: []reconcile.Change{}, Failures: []string{message},
		}
	}
}
