package reconcile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// glance is what can be seen of a site without running a program: which of its
// servers run, their configuration files, and what of its pool is mounted. Two
// glances that differ say that something happened which is worth a full look.
func glance(site *spec.Site, state State) string {
	var seen strings.Builder
	if s := site.Standby; s != nil {
		glanceAtServer(&seen, s.DataDir)
		glanceAtFiles(&seen, state.Paths.Passfile, state.Paths.Helper)
	}
	for _, c := range state.Clones {
		if c.DataDir != "" {
			glanceAtServer(&seen, c.DataDir)
		}
	}
	mounts, err := zfs.Mounts()
	for _, m := range mounts {
		if m.Source == site.Pool.Name || strings.HasPrefix(m.Source, site.Pool.Name+"/") {
			fmt.Fprintln(&seen, m.Source, m.Target)
		}
	}
	if err != nil {
		fmt.Fprintln(&seen, err)
	}
	return seen.String()
}

// glanceAtServer notes the server of a data directory: that a server is gone,
// was started anew, or was promoted, shows here.
func glanceAtServer(seen *strings.Builder, dataDir string) {
	p, err := (&postgres.Cluster{DataDir: dataDir}).Process()
	fmt.Fprintln(seen, dataDir, p.PID, p.Running, err)
	files := []string{filepath.Join(dataDir, signalFile)}
	for _, name := range confFiles {
		files = append(files, filepath.Join(dataDir, name))
	}
	glanceAtFiles(seen, files...)
}

func glanceAtFiles(seen *strings.Builder, paths ...string) {
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil {
			fmt.Fprintln(seen, path, info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
	}
}
