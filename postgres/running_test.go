package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/postgres/conf"
)

// TestRunningServers finds a server by its postmaster alone, with its files, and
// no more once it was stopped.
func TestRunningServers(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	p, err := c.Process()
	if err != nil {
		t.Fatal(err)
	}
	ours := func() []RunningServer {
		list, err := RunningServers()
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(list, func(s RunningServer) bool { return s.DataDir != c.DataDir })
	}
	list := ours()
	if len(list) != 1 || list[0].PID != p.PID || !strings.Contains(string(list[0].Files[conf.MainFile]), "max_connections") {
		t.Errorf("of process %d in %s were found: %+v", p.PID, c.DataDir, list)
	}
	if err := c.Stop(ctx, "fast"); err != nil {
		t.Fatal(err)
	}
	if list := ours(); len(list) != 0 {
		t.Errorf("a stopped server was found: %+v", list)
	}
}
