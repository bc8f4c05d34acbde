package walcommand

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zreconcile/zreconcile/cmd/scripttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"zreconcile": func() { os.Exit(Alone(os.Args[1:], "v0")) }})
}

// TestScript runs what PostgreSQL asks of either program with the small one; the
// tests of zreconcile run it, too.
func TestScript(t *testing.T) {
	testscript.Run(t, scripttest.Params(nil, filepath.Join("testdata", "script", "wal.txtar")))
}
