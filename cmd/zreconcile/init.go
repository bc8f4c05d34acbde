package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/reconcile"
)

func newInit(p *program) *cobra.Command {
	var o reconcile.InitOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a site file of what is on this host, for adoption",
		Long: `Looks at the pool, its datasets, the standby, its archive, snapshots and
restores, and writes a site file whose plan is empty, to stdout, or with -f to
a file that is not there yet. Nothing else is changed.

What an apply would change something for, such as a standby that was made by
hand and archives by cp, is written commented out, with what that would be.
What the host does not tell is guessed, and says so. The password of the
primary is never written. Needs root.

` + exitHelp,
		Example: `  zreconcile init
  zreconcile init -f /etc/zreconcile/site.yaml --pool tank`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInit(cmd.Context(), p, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Pool, "pool", "", "the pool to write of, where there are several")
	f.StringVar(&o.DataDir, "data-dir", "", "the standby's data directory, where there are several")
	f.StringVar(&o.Site, "site", "", "the site's name (default: that of the marks on the pool, or the pool's name)")
	_ = cmd.MarkFlagDirname("data-dir")
	return cmd
}

func runInit(ctx context.Context, p *program, o reconcile.InitOptions) error {
	blank := func(message string) any { return noDraft(message) }
	if err := p.needRoot("init"); err != nil {
		return p.fail(err, blank)
	}
	if o.DataDir != "" && !filepath.IsAbs(o.DataDir) {
		return p.fail(usageError{fmt.Errorf("--data-dir %s: name it by its absolute path", o.DataDir)}, blank)
	}
	if p.file != "" {
		path, err := filepath.Abs(p.file)
		if err != nil {
			return p.fail(err, blank)
		}
		if err := isFree(path); err != nil {
			return p.fail(err, blank)
		}
		o.File = path
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	draft, err := p.newHost().Init(ctx, o, p.clock())
	if err != nil {
		return p.fail(err, blank)
	}
	if o.File != "" {
		if err := writeNew(o.File, []byte(draft.YAML)); err != nil {
			return p.fail(err, blank)
		}
		draft.File = o.File
	}
	return p.showDraft(draft)
}

// draftJSON is a draft that came to nothing.
type draftJSON struct {
	reconcile.Draft
	Errors []string `json:"errors"`
}

func noDraft(message string) draftJSON {
	return draftJSON{reconcile.Draft{Format: reconcile.Format, Notes: []string{}, Pending: []reconcile.Change{}}, []string{message}}
}

// showDraft writes the file, or where it is, to stdout; what a person should
// look at goes to stderr.
func (p *program) showDraft(draft reconcile.Draft) error {
	status := planStatus(draft.Plan, false)
	if status == exitDone && !draft.Converged {
		status = exitFailed
	}
	if p.json() {
		if err := writeJSON(p.stdout, draft); err != nil {
			return err
		}
		return report(status)
	}
	if draft.File == "" {
		fmt.Fprint(p.stdout, draft.YAML)
	} else {
		fmt.Fprintf(p.stdout, "wrote %s\n", printable(draft.File))
	}
	for _, note := range draft.Notes {
		fmt.Fprintf(p.stderr, "%s %s\n", palette(p.stderr.colour).warn("Note:"), printable(note))
	}
	return report(status)
}

// isFree refuses the path of a file that is there.
func isFree(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s is there already, and init never writes over a file: name another one with -f, or move that one aside (mv %s %s.old)",
			reconcile.ErrRefused, path, shellWord(path), shellWord(path))
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// writeNew puts a whole file where none is: a link is made to it, which fails
// where somebody was quicker. Its folder is made where it is missing.
func writeNew(path string, content []byte) error {
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	pending, err := renameio.NewPendingFile(path+".new", renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o644))
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = pending.Cleanup() }()
	if _, err := pending.Write(content); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := pending.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Link(pending.Name(), path); err != nil {
		return errors.Join(isFree(path), fmt.Errorf("writing %s: %w", path, err))
	}
	return nil
}
