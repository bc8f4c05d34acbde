package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/zreconcile/zreconcile/cmd/walcommand"
	"github.com/zreconcile/zreconcile/reconcile"
)

// program is one run: where it writes, what it may ask, and the flags that all
// commands share.
type program struct {
	stdout, stderr stream
	getenv         func(string) string
	euid           int
	clock          func() time.Time
	newHost        func() host

	file      string
	output    string // text, json; status knows html, too
	logFormat string
	logLevel  string

	ran      *cobra.Command // the one that the command line named, once it has ended
	log      *slog.Logger
	progress *progress
	onChange func(c reconcile.Change, took time.Duration) // nil leaves it to the log
	counted  func(c reconcile.Change, took time.Duration) // hears of each as well; nil is nobody
}

// usageError is a command line that does not say what it should.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// choice is a flag with a few allowed values.
type choice struct {
	value   *string
	allowed []string
}

func (c choice) String() string { return *c.value }
func (c choice) Type() string   { return strings.Join(c.allowed, "|") }

// Set refuses what is not allowed.
func (c choice) Set(s string) error {
	if !slices.Contains(c.allowed, s) {
		return fmt.Errorf("want %s", strings.Join(c.allowed, " or "))
	}
	*c.value = s
	return nil
}

// addChoice adds such a flag to the flags of a command, which completes its
// values; its default is what the value is now.
func addChoice(cmd *cobra.Command, flags *pflag.FlagSet, value *string, name, shorthand, usage string, allowed ...string) {
	flags.VarP(choice{value, allowed}, name, shorthand, usage)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// outputUsage is the same for all commands: one that can write more than text
// and JSON has a flag of its own, which hides the one that all share.
const outputUsage = "how results are written to stdout"

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "zreconcile",
		Short: "A PostgreSQL standby with time travel, kept as one file says",
		Long: `zreconcile reads one file about one host: a ZFS pool, a streaming standby of a
PostgreSQL primary, its WAL archive, snapshots, and restores to points in time.
It looks at the host, shows what differs, and makes the host what the file says.

` + exitHelp,
		Args:              knownCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { p.startLog(); return nil },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr.words())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	p.addFlags(root)
	root.AddCommand(
		newInit(p), newValidate(p), newSchema(p), newPlan(p), newApply(p), newWatch(p), newStatus(p), newDoctor(p), newSnapshot(p), newVerify(p), newRestore(p), newEject(p),
		newWAL(), newVersion(p),
	)
	addCompletion(root)
	checkArgs(root)
	return root
}

func newWAL() *cobra.Command {
	cmd := walcommand.New()
	cmd.Args = knownCommand
	return cmd
}

func (p *program) addFlags(root *cobra.Command) {
	p.output, p.logFormat, p.logLevel = "text", "text", "info"
	flags := root.PersistentFlags()
	flags.StringVarP(&p.file, "file", "f", "", "the site file (default $"+fileVariable+", ./site.yaml, /etc/zreconcile/site.yaml)")
	addChoice(root, flags, &p.output, "output", "o", outputUsage, "text", "json")
	addChoice(root, flags, &p.logFormat, "log-format", "", "how the log is written to stderr", "text", "json")
	addChoice(root, flags, &p.logLevel, "log-level", "", "the least level that the log shows", "debug", "info", "warn", "error")
	_ = root.MarkPersistentFlagFilename("file", "yaml", "yml")
}

// addCompletion adds cobra's completion command now, and makes it refuse a
// shell that it does not know instead of showing its help with status 0.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = knownCommand
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// knownCommand refuses the arguments of a command that only has subcommands,
// and says which one may have been meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
}

// checkArgs lets a wrong argument of any command be a usage error.
func checkArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

// startLog makes the log as the flags want it.
func (p *program) startLog() {
	p.progress = &progress{out: p.stderr, clock: p.clock}
	p.log = slog.New(p.logHandler(p.progress))
	p.progress.log = p.log
}
