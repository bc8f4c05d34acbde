package postgres

import (
	"errors"
	"path/filepath"
	"testing"
)

// Where tablespaces are is told to whoever may log in, without any right to
// know their sizes; to who may only replicate it is not.
func TestTablespaceLocations(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	wide := Primary{Conninfo: c.conninfo("wide"), Password: "wide"}
	mustExec(t, c, "revoke pg_monitor from wide")
	if found, err := wide.TablespaceLocations(ctx); err != nil || len(found) != 0 {
		t.Errorf("of a server without any: %v, %v", found, err)
	}
	dir := testMkdir(t, c.User, filepath.Join(filepath.Dir(c.DataDir), "ts"))
	mustExec(t, c, "create tablespace fast location '"+dir+"'")
	found, err := wide.TablespaceLocations(ctx)
	if oid := ask[string](t, c, "select oid::text from pg_tablespace where spcname = 'fast'"); err != nil || len(found) != 1 || found[oid] != dir {
		t.Errorf("%v, %v", found, err)
	}
	var refused *PrimaryError
	if _, err := (Primary{Conninfo: c.conninfo("repl"), Password: oddPassword}).TablespaceLocations(ctx); !errors.As(err, &refused) {
		t.Errorf("who may only replicate: %v", err)
	}
}
