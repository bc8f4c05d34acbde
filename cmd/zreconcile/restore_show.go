package main

import "github.com/zreconcile/zreconcile/reconcile"

// restoreJSON is the result of `restore -o json`: that of apply, and how to
// connect.
type restoreJSON struct {
	reconcile.Plan
	Connect     string          `json:"connect,omitempty"` // while it runs; a libpq connection string without user and database
	ExpiresAt   *reconcile.Time `json:"expiresAt,omitempty"`
	DestroyedAt *reconcile.Time `json:"destroyedAt,omitempty"` // when the grace ends of one that was removed
}

func (r *restoring) show() error {
	if r.json() {
		return writeJSON(r.stdout, restoreJSON{r.plan, r.standing.Connect, r.standing.ExpiresAt, r.standing.DestroyedAt})
	}
	v := r.view(r.site, r.clock())
	showApply(v, r.plan, r.told)
	if r.exists {
		v.printf("\n")
		showRestore(v, r.standing, siteLogin(r.site))
	}
	return nil
}
