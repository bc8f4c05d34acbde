package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

// portBlock says who keeps a restore from its port. A restore that gives the
// port up in the same apply does not: two may even change places.
func (in *view) portBlock(r spec.Restore) (why, mend string) {
	who := in.state.Ports[r.Port]
	for _, c := range in.portHolders(r) {
		if !in.givesUpPort(c, r.Port) {
			who = "the restore " + c.Restore
		}
	}
	if who == "" {
		return "", ""
	}
	return fmt.Sprintf("port %d is in use by %s", r.Port, who), "choose another port, or stop that program"
}

// portHolders are the other clones that run on a restore's port.
func (in *view) portHolders(r spec.Restore) []Clone {
	var list []Clone
	for _, c := range in.state.Clones {
		if c.Process.Running && c.Process.Port == r.Port && c.Restore != r.Name {
			list = append(list, c)
		}
	}
	return list
}

// givesUpPort is true of a clone that this apply stops or moves to another port.
func (in *view) givesUpPort(c Clone, port int) bool {
	if !in.only.Wants(kindRestore, c.Restore) {
		return false
	}
	if why, _, _ := in.leaving(c); why != "" {
		return true
	}
	r, _ := in.entry(c.Restore)
	if len(in.replacing(r, c)) > 0 && (c.Promoted || in.state.Resolved[r.Name].refused()) {
		return false
	}
	return r.Port != port
}

// vacatePort stops the clones that give up a restore's port and have not done so
// yet. What else becomes of them is a change of their own, before or after.
func (h *Host) vacatePort(ctx context.Context, in *view, r spec.Restore) error {
	for _, c := range in.portHolders(r) {
		if !in.givesUpPort(c, r.Port) {
			continue
		}
		now, err := (&postgres.Cluster{DataDir: c.DataDir}).Process()
		if errors.Is(err, os.ErrNotExist) || err == nil && (!now.Running || now.Port != r.Port) {
			continue
		}
		if err != nil {
			return err
		}
		if err := h.stopClone(ctx, in, c); err != nil {
			return err
		}
	}
	return nil
}
