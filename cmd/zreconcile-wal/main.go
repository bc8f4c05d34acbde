// Command zreconcile-wal is `zreconcile wal` and nothing else: what PostgreSQL calls
// for each segment of WAL starts in a third of the time that the whole program
// takes. The build puts it into zreconcile (build.sh), which installs it for
// PostgreSQL.
package main

import (
	"cmp"
	"os"

	"github.com/zreconcile/zreconcile/cmd/walcommand"
)

// Set by the linker for a release (-ldflags -X main.version=...).
var version string

func main() { os.Exit(walcommand.Alone(os.Args[1:], cmp.Or(version, "(devel)"))) }
