package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
)

// Set by the linker for a release (-ldflags -X main.version=...); otherwise
// the go command's own record of the build is asked.
var version, commit, date string

type versionJSON struct {
	Format  int    `json:"format"`
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"` // of the commit
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			v := buildVersion(info)
			if p.json() {
				return writeJSON(p.stdout, v)
			}
			_, err := fmt.Fprintln(p.stdout, v)
			return err
		},
	}
}

func buildVersion(info *debug.BuildInfo) versionJSON {
	v := versionJSON{
		Format: reconcile.Format, Version: version, Commit: commit, Date: date,
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
	if info != nil {
		v.Version = cmp.Or(v.Version, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = cmp.Or(v.Commit, s.Value)
			case "vcs.time":
				v.Date = cmp.Or(v.Date, s.Value)
			}
		}
	}
	v.Version = cmp.Or(v.Version, "(devel)")
	return v
}

func (v versionJSON) String() string {
	out := "zreconcile " + v.Version
	if v.Commit != "" {
		out += " (" + v.Commit[:min(12, len(v.Commit))] + ")"
	}
	return out + " " + v.Go + " " + v.OS + "/" + v.Arch
}
