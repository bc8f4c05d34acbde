package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/zreconcile/zreconcile/spec"
)

// VerifyOptions are for a drill that a person asks for.
type VerifyOptions struct {
	Snapshot   string // "" is the newest
	KeepFailed bool   // a failed drill leaves its clone for inspection
}

// Verify makes a restore drill now, whatever the cadence says, with the checks
// of the file or, where it has no section verify, amcheck and checksums. A drill
// that failed is no error. The lock of the site must be held.
func (h *Host) Verify(ctx context.Context, site *spec.Site, o VerifyOptions) (Drill, error) {
	in, err := h.look(ctx, site)
	if err != nil {
		return Drill{}, err
	}
	s, err := in.toVerify(o.Snapshot)
	if err != nil {
		return Drill{}, err
	}
	if why, mend := in.drillBlock(in.drillEntry(s.Name)); why != "" {
		return Drill{}, fmt.Errorf("%w: %s (%s)", ErrRefused, why, mend)
	}
	checks := spec.Verify{Checksums: true, Amcheck: true}
	if site.Verify != nil {
		checks = *site.Verify
	}
	return h.drill(ctx, in, s, checks, o.KeepFailed)
}

// toVerify finds the snapshot that a person asks for, with or without its
// dataset; "" is the newest.
func (in *view) toVerify(name string) (Snapshot, error) {
	if in.site.Standby == nil {
		return Snapshot{}, fmt.Errorf("%w: the file has no standby, so that there is nothing to restore", ErrRefused)
	}
	if why := in.state.reason(kindBasebackup) + in.state.reason(kindVerification); why != "" {
		return Snapshot{}, errors.New(why)
	}
	list := usable(in)
	if len(list) == 0 {
		return Snapshot{}, fmt.Errorf("%w: there is no snapshot of site %s that can be restored yet; take one: zreconcile snapshot", ErrRefused, in.site.Name)
	}
	if name == "" {
		return list[len(list)-1], nil
	}
	for _, s := range list {
		if s.Name == name[strings.LastIndex(name, "@")+1:] {
			return s, nil
		}
	}
	return Snapshot{}, fmt.Errorf("%w: there is no snapshot %s of site %s that can be restored%s; zreconcile status lists them", ErrRefused, name, in.site.Name, labelled(list, name))
}
