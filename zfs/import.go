package zfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Importable is a pool that is not imported but whose devices can be seen.
type Importable struct {
	Name, GUID, State, Status, Action string
	Vdevs                             []Vdev
}

// Importable lists the pools that could be imported from the directories, or from the tool's own search
// path when there are none. Directories that do not exist are left out.
func (c *Client) Importable(ctx context.Context, dirs []string) ([]Importable, error) {
	search, err := searchArguments(dirs)
	if err != nil {
		return nil, err
	}
	if len(dirs) > 0 && len(search) == 0 {
		return nil, nil
	}
	out, err := c.list(ctx, "", append([]string{"zpool", "import"}, search...)...)
	if err != nil && !nothingToImport(err, out) {
		return nil, err
	}
	var pools []Importable
	for _, r := range parseStatus(out) {
		pools = append(pools, Importable{
			Name: r.fields["pool"], GUID: r.fields["id"], State: r.fields["state"],
			Status: r.fields["status"], Action: r.fields["action"], Vdevs: r.vdevs,
		})
	}
	return pools, nil
}

// nothingToImport recognises "none": exit status 1 with no words at all (zfs-fuse), or with these.
func nothingToImport(err error, out string) bool {
	var failed *Error
	if !errors.As(err, &failed) || failed.ExitCode != 1 || strings.TrimSpace(out) != "" {
		return false
	}
	return failed.Stderr == "" || failed.Stderr == "no pools available to import"
}

func searchArguments(dirs []string) ([]string, error) {
	var argv []string
	for _, dir := range unique(dirs) {
		if !filepath.IsAbs(dir) {
			return nil, refusal(ErrInvalidName, dir, "directory %q is not an absolute path", dir)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		argv = append(argv, "-d", dir)
	}
	return argv, nil
}

var guidRE = regexp.MustCompile(`^[0-9]{1,20}$`)

// Import imports a pool by its guid, never by force: a pool that another host may be using stays there.
func (c *Client) Import(ctx context.Context, guid string, dirs []string) error {
	if !guidRE.MatchString(guid) {
		return refusal(ErrInvalidName, guid, "%q is not the guid of a pool", guid)
	}
	search, err := searchArguments(dirs)
	if err != nil {
		return err
	}
	argv := append([]string{"zpool", "import"}, search...)
	return c.change(ctx, guid, append(argv, guid)...)
}
