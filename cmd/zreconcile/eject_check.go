package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
)

// callersJSON is `eject --check -o json`.
type callersJSON struct {
	Format  int                `json:"format"`
	Servers []reconcile.Caller `json:"servers"`
	Error   string             `json:"error,omitempty"`
}

// runEjectCheck lists the servers that would miss the program.
func runEjectCheck(ctx context.Context, p *program) error {
	blank := func(message string) any {
		return callersJSON{Format: 1, Servers: []reconcile.Caller{}, Error: message}
	}
	if err := p.needRoot("eject --check"); err != nil {
		return p.fail(err, blank)
	}
	list, err := p.newHost().Callers(ctx)
	if err != nil {
		return p.fail(err, blank)
	}
	if p.json() {
		err = writeJSON(p.stdout, callersJSON{Format: 1, Servers: list})
	} else {
		showCallers(p, list)
	}
	if err != nil || len(list) == 0 {
		return err
	}
	return report(exitBlocked)
}

func showCallers(p *program, list []reconcile.Caller) {
	if len(list) == 0 {
		fmt.Fprintln(p.stdout, "no server of this host calls zreconcile")
		return
	}
	fmt.Fprintln(p.stdout, "These servers of this host call zreconcile to archive or restore WAL:")
	for _, c := range list {
		fmt.Fprintf(p.stdout, "  %s\n", describeCaller(c))
	}
	fmt.Fprint(p.stdout, "The way out, for each site: stop its watch, then zreconcile eject -f FILE. It leaves the\nservers running, with settings that need zreconcile no more.\n")
}

func describeCaller(c reconcile.Caller) string {
	var state []string
	if c.Running {
		state = append(state, "runs")
	}
	if c.Unit != "" {
		state = append(state, "starts at boot by "+c.Unit)
	}
	what := strings.Join(c.Calls, ", ")
	if c.Unknown != "" {
		what = fmt.Sprintf("its settings can't be read (%s); if it is gone for good: systemctl disable %s", c.Unknown, c.Unit)
	}
	return printable(fmt.Sprintf("%s (%s): %s", c.DataDir, strings.Join(state, ", "), what))
}
