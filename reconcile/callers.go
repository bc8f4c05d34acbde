package reconcile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
)

// Caller is a server of this host, of whatever site, that needs the program: its
// settings call it to archive or to restore WAL.
type Caller struct {
	DataDir string   `json:"dataDir"`
	Running bool     `json:"running"`
	Unit    string   `json:"unit,omitempty"`    // that starts it at boot
	Calls   []string `json:"calls"`             // the settings that call the program
	Unknown string   `json:"unknown,omitempty"` // why the settings can't be told; then it counts as one that calls
}

// Callers finds the servers that run, and those that a unit of ours starts at
// boot. It needs no site file, and root.
func (h *Host) Callers(ctx context.Context) ([]Caller, error) {
	running, err := postgres.RunningServers(ctx)
	if err != nil {
		return nil, err
	}
	booting, err := bootUnits(unitRoot)
	if err != nil {
		return nil, err
	}
	return callers(running, booting, func(dir string) (map[string][]byte, error) {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		return (&postgres.Cluster{DataDir: dir}).ReadFiles(conf.MainFile, conf.ManagedFile, conf.AutoFile)
	}), nil
}

// callers goes over running servers and, for the others, over the units by data
// directory.
func callers(running []postgres.RunningServer, booting map[string]string, read func(dir string) (map[string][]byte, error)) []Caller {
	list := []Caller{}
	seen := map[string]bool{}
	for _, s := range running {
		seen[s.DataDir] = true
		if calls := callsProgram(s.Files); len(calls) > 0 {
			list = append(list, Caller{DataDir: s.DataDir, Running: true, Unit: booting[s.DataDir], Calls: calls})
		}
	}
	for dir, unit := range booting {
		if seen[dir] {
			continue
		}
		c := Caller{DataDir: dir, Unit: unit, Calls: []string{}}
		files, err := read(dir)
		if err != nil {
			c.Unknown = err.Error()
		} else if c.Calls = callsProgram(files); len(c.Calls) == 0 {
			continue
		}
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].DataDir < list[j].DataDir })
	return list
}

// ourCommand is the program in a command of PostgreSQL's, quoted or not.
var ourCommand = regexp.MustCompile(`(^|[/\s'])zreconcile'? wal (push|get)\b`)

// callsProgram are the settings in force, by the files, that call the program. The
// managed file is included at the end of the main one; the server reads that of
// ALTER SYSTEM last.
func callsProgram(files map[string][]byte) []string {
	values := conf.Effective(files[mainFile], files[managedFile], files[autoFile])
	var calls []string
	for _, name := range []string{"archive_command", "restore_command"} {
		if ourCommand.MatchString(values[name]) {
			calls = append(calls, name)
		}
	}
	return calls
}

const unitRoot = "/etc/systemd/system"

// bootUnits are the units of servers, which this program wrote, that start at boot,
// by data directory.
func bootUnits(root string) (map[string]string, error) {
	links, err := filepath.Glob(filepath.Join(root, "*.wants", "zreconcile-*.service"))
	if err != nil {
		return nil, err
	}
	units := map[string]string{}
	for _, link := range links {
		name := filepath.Base(link)
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // a link to nothing starts nothing
		}
		if err != nil {
			return nil, fmt.Errorf("reading the unit %s: %w", name, err)
		}
		if dir := postgres.UnitDataDir(string(content)); dir != "" {
			units[dir] = name
		}
	}
	return units, nil
}
