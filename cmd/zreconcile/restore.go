package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zreconcile/zreconcile/spec"
)

// restoreOptions are what a person asks for; what is empty is left to the
// defaults of the site file.
type restoreOptions struct {
	target      spec.EntryTarget
	stop        string // before or after the named record
	port        int    // 0: the one it has, or a free one
	promote     bool
	keep        *bool // nil: true with promote
	expires     string
	grace       string
	mountpoint  string
	dataset     string
	remove      bool
	lockTimeout time.Duration
}

// targetFlags are the flags that say where to, of which one is given.
var targetFlags = []string{"time", "lsn", "xid", "restore-point", "snapshot", "latest"}

func newRestore(p *program) *cobra.Command {
	var o restoreOptions
	keep := false
	cmd := &cobra.Command{
		Use:   "restore NAME",
		Short: "Make, change or remove one restore, without an editor",
		Long: `Writes the restore to site.d/NAME.yaml beside the site file, applies only it,
and says how to connect. One that is refused leaves nothing behind. The same
NAME again changes it: another target is another clone, all else is changed in
place. --remove takes the file away, stops the restore, and destroys it after
its grace. A restore drill that is at work by its schedule gives way to it, and is
made again. Needs root.

` + exitHelp,
		Example: `  zreconcile restore before-drop --time '2020-03-21 17:28:37+08' --expires 24h
  zreconcile restore before-drop --remove`,
		Args: oneRestore,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("keep") {
				o.keep = &keep
			}
			if err := o.check(cmd.Flags(), args[0]); err != nil {
				return usageError{err}
			}
			return runRestore(cmd.Context(), p, o, args[0])
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&keep, "keep", false, "when it expires or is removed, only stop it (default true with --promote)")
	return cmd
}

func (o *restoreOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.target.Time, "time", "", "up to this time, with its offset from UTC, such as '2020-03-21 17:28:37.67+08'")
	f.StringVar(&o.target.LSN, "lsn", "", "to the record at this WAL location; needs --stop")
	f.StringVar(&o.target.XID, "xid", "", "to the end of this transaction; needs --stop")
	f.StringVar(&o.target.RestorePoint, "restore-point", "", "to this name given to pg_create_restore_point()")
	f.StringVar(&o.target.Snapshot, "snapshot", "", "to what was replayed when this snapshot was taken")
	f.BoolVar(&o.target.Latest, "latest", false, "to the last record received")
	addChoice(cmd, f, &o.stop, "stop", "", "whether to stop before or after the record of --lsn or --xid", "before", "after")
	f.IntVar(&o.port, "port", 0, "its TCP port (default: as it was, or the first free one above the standby's)")
	f.BoolVar(&o.promote, "promote", false, "open it for writing, on a timeline of its own")
	f.StringVar(&o.expires, "expires", "", "stop it when it is this old, such as 24h or 7d (default: never)")
	f.StringVar(&o.grace, "grace", "", "destroy it this long after it was stopped (default: restoreDefaults.grace)")
	f.StringVar(&o.mountpoint, "mountpoint", "", "where it is mounted (default: inherited)")
	f.StringVar(&o.dataset, "dataset", "", "its dataset, relative to the pool (default: zreconcile/SITE/NAME)")
	f.BoolVar(&o.remove, "remove", false, "remove the restore of this name")
	addLockTimeout(cmd, &o.lockTimeout)
}

// oneRestore wants the name of one restore.
func oneRestore(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("restore needs the name of one restore, and got %d", len(args))
	}
	return nil
}

// check tells what is wrong with a command line, before anything is read.
func (o *restoreOptions) check(flags *pflag.FlagSet, name string) error {
	if err := spec.CheckRestoreName(name); err != nil {
		return err
	}
	if o.remove {
		return onlyRemoves(flags)
	}
	var given []string
	for _, flag := range targetFlags {
		if flags.Changed(flag) {
			given = append(given, "--"+flag)
		}
	}
	record := flags.Changed("lsn") || flags.Changed("xid")
	switch {
	case len(given) == 0:
		return fmt.Errorf("say where to: one of --%s", strings.Join(targetFlags, ", --"))
	case len(given) > 1:
		return fmt.Errorf("%s: a restore has one target, give one of them", strings.Join(given, ", "))
	case record && o.stop == "":
		return fmt.Errorf("%s needs --stop before or --stop after: whether the record itself is restored", given[0])
	case !record && o.stop != "":
		return errors.New("--stop goes with --lsn and --xid only")
	}
	e := o.entry(name)
	if !flags.Changed("port") {
		e.Port = 1 // any: it is chosen later
	}
	return e.Check()
}

// onlyRemoves refuses what --remove would not heed.
func onlyRemoves(flags *pflag.FlagSet) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "remove", "lock-timeout", "file", "output", "log-format", "log-level":
		default:
			err = fmt.Errorf("--remove goes without --%s: the entry that is removed has said all", f.Name)
		}
	})
	return err
}

// entry is the restore in the words of a site file.
func (o *restoreOptions) entry(name string) spec.Entry {
	e := spec.Entry{Name: name, Target: o.target, Dataset: o.dataset, Mountpoint: o.mountpoint, Port: o.port,
		ExpiresAfter: o.expires, Grace: o.grace, Keep: o.keep}
	e.Target.Stop = o.stop
	if o.promote {
		e.Action = "promote"
	}
	return e
}

// again is the command line that asks for an entry once more.
func (p *program) again(e spec.Entry) string {
	line := p.restoreCommand(e.Name)
	add := func(flag, value string) {
		if value != "" {
			line += " --" + flag + " " + shellWord(value)
		}
	}
	add("time", e.Target.Time)
	add("lsn", e.Target.LSN)
	add("xid", e.Target.XID)
	add("restore-point", e.Target.RestorePoint)
	add("snapshot", e.Target.Snapshot)
	if e.Target.Latest {
		line += " --latest"
	}
	add("stop", e.Target.Stop)
	add("port", fmt.Sprint(e.Port))
	if e.Action == "promote" {
		line += " --promote"
	}
	if e.Keep != nil {
		line += fmt.Sprintf(" --keep=%t", *e.Keep)
	}
	add("expires", e.ExpiresAfter)
	add("grace", e.Grace)
	add("mountpoint", e.Mountpoint)
	add("dataset", e.Dataset)
	return line
}

// restoreCommand begins a command line about a restore, for the same site file.
func (p *program) restoreCommand(name string) string {
	line := "zreconcile restore " + name
	if p.file != "" {
		line += " -f " + shellWord(p.file)
	}
	return line
}

// shellWord quotes a word for a shell where it needs that.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/_.:-+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
