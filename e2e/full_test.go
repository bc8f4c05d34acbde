package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestFullPool leaves the pool no space, as a stranger's reservation does: no
// restore is begun that could not end, and what retention may free is freed all
// the same.
func TestFullPool(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Retention = "{last: 1}"
	s.write(t)
	s.converges(t)
	first := s.status(t).Snapshots[0].Name
	s.run(t, "snapshot").exits(t, exitDone)

	available, err := strconv.ParseInt(strings.TrimSpace(command(t, "zfs", "get", "-Hp", "-o", "value", "available", s.Name)), 10, 64)
	must(t, err)
	command(t, "zfs", "create", "-o", "reservation="+strconv.FormatInt(available-(4<<20), 10), s.Name+"/ballast")

	s.Restores = s.restoreTo("late", "latest: true")
	s.write(t)
	changes := s.apply(t).exits(t, exitRefused).says(t, "keepFree").plan(t).Changes
	if !slices.ContainsFunc(changes, func(c changeJSON) bool {
		return c.Kind == "retention" && c.Name == first && c.Action == "delete" && c.Result == "done"
	}) {
		t.Errorf("retention did not free what it may: %+v", changes)
	}
	if list := s.datasets(t); slices.ContainsFunc(list, func(name string) bool { return strings.HasSuffix(name, "/late") }) {
		t.Errorf("a restore was begun in a full pool: %q", list)
	}

	eventually(t, "the ballast to go", func() bool { // pitfall 43
		_, err := tryCommand("zfs", "destroy", s.Name+"/ballast")
		return err == nil
	})
	s.converges(t)
}
