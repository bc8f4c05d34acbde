package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestAdoptionWithoutThePrimary: whether a cluster that does not know this site
// yet is a copy of the primary, only the primary tells. Where it can't be asked,
// the plan says why, once, and changes nothing.
func TestAdoptionWithoutThePrimary(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	managed, password := filepath.Join(s.DataDir(), "zreconcile.conf"), filepath.Join(s.Dir, "password")
	must(t, os.Remove(managed)) // a standby that was made by hand has none

	must(t, os.Remove(password))
	s.onlyFails(t, "the primary's password: open "+password+": no such file or directory")
	must(t, os.WriteFile(password, nil, 0o600))
	s.onlyFails(t, "the password file "+password+" is empty")
}

func (s *site) onlyFails(t *testing.T, why string) {
	t.Helper()
	var told struct{ Errors []string }
	r := s.run(t, "plan", "-o", "json").exits(t, exitFailed)
	r.decode(t, &told)
	if changes := r.plan(t).changes(); len(changes) != 0 || !slices.Equal(told.Errors, []string{why}) {
		t.Errorf("the plan has %q and fails with %q, not with %q", changes, told.Errors, why)
	}
}
