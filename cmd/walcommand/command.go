// Package walcommand is `wal push` and `wal get`, which PostgreSQL calls for each WAL
// file. Two programs have them: zreconcile, and zreconcile-wal, which has nothing else
// and so starts in a fraction of the time.
package walcommand

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/postgres/wal"
)

// New is the command `wal`.
func New() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "What PostgreSQL calls to archive and to restore WAL",
		Long: `What PostgreSQL calls as archive_command and restore_command. All they need is in
their arguments: they read no site file, and need no root, no ZFS and no password.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPush(), newGet())
	return cmd
}

// segmentSize is a flag in bytes: a power of two from 1 MiB to 1 GiB (initdb,
// --wal-segsize).
type segmentSize int64

func (s *segmentSize) String() string { return strconv.FormatInt(int64(*s), 10) }
func (s *segmentSize) Type() string   { return "bytes" }

// Set refuses what no cluster has.
func (s *segmentSize) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1<<20 || n > 1<<30 || n&(n-1) != 0 {
		return errors.New("want a power of two from 1048576 to 1073741824")
	}
	*s = segmentSize(n)
	return nil
}

// archiveFlags are what push and get both know about the archive.
type archiveFlags struct {
	dir        string
	systemID   uint64
	dataset    string
	mountpoint string
}

func (a *archiveFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&a.dir, "archive", "", "folder of the archive, absolute")
	flags.Uint64Var(&a.systemID, "system-id", 0, "system identifier of the cluster (pg_controldata)")
	flags.StringVar(&a.dataset, "dataset", "", "dataset that holds the archive; refuse when it is not mounted")
	flags.StringVar(&a.mountpoint, "mountpoint", "", "where that dataset is mounted")
	cmd.MarkFlagsRequiredTogether("dataset", "mountpoint")
	for _, name := range []string{"archive", "system-id"} {
		_ = cmd.MarkFlagRequired(name)
	}
}

func (a *archiveFlags) mount() wal.Mount {
	return wal.Mount{Dataset: a.dataset, Mountpoint: a.mountpoint}
}

func newPush() *cobra.Command {
	var a archiveFlags
	var dataDir string
	cmd := &cobra.Command{
		Use:   "push PATH",
		Short: "Archive a WAL file (archive_command)",
		Long: `Copies a WAL file into the archive, durably and under its name only when it is
whole. The same content again is success; other content is refused. Exits 0 when
the file is in the archive, and 1 otherwise: PostgreSQL tries again.`,
		Args: exactly(1, "wal push needs the path of one WAL file (%p)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return answer("push", false, wal.Push(cmd.Context(), wal.PushRequest{
				Path: args[0], Archive: a.dir, DataDir: dataDir, SystemID: a.systemID, Mount: a.mount(),
			}), cmd)
		},
	}
	a.addFlags(cmd)
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "data directory of the standby; a caller with another one is refused")
	_ = cmd.MarkFlagRequired("data-dir")
	return cmd
}

func newGet() *cobra.Command {
	var a archiveFlags
	var live string
	var clone bool
	var segment segmentSize
	var timelines []uint
	cmd := &cobra.Command{
		Use:   "get NAME DEST",
		Short: "Fetch a WAL file (restore_command)",
		Long: `Fetches a WAL file by name, verified, from the archive; with --clone the first
sound one of the archive, the pg_wal of the live standby and that of DEST. Without,
a timeline's history is shown once the pg_wal of DEST has anything of it: the live
standby hears of a failover from its primary. Exits 0 when DEST holds the file and
1 when it is provably absent. Any other outcome is 255 with --clone, where it must
stop recovery, and 1 without, where PostgreSQL tries again.`,
		Args: exactly(2, "wal get needs the name of a WAL file and where to put it (%f %p)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := wal.GetRequest{
				Name: args[0], Dest: args[1], Archive: a.dir, Live: live, SystemID: a.systemID,
				SegmentSize: int64(segment), Clone: clone, Mount: a.mount(),
			}
			for _, t := range timelines {
				if t == 0 || t > math.MaxUint32 {
					return fmt.Errorf("--timelines %d: there is no such timeline", t)
				}
				request.Timelines = append(request.Timelines, wal.Timeline(t))
			}
			return answer("get", clone, wal.Get(cmd.Context(), request), cmd)
		},
	}
	a.addFlags(cmd)
	cmd.Flags().Var(&segment, "segment-size", "size of a WAL segment in bytes (pg_controldata)")
	_ = cmd.MarkFlagRequired("segment-size")
	cmd.Flags().StringVar(&live, "live", "", "pg_wal of the live standby, where the archive lacks the file")
	cmd.Flags().BoolVar(&clone, "clone", false, "PostgreSQL asks for a clone: what is not provably absent stops it")
	cmd.Flags().UintSliceVar(&timelines, "timelines", nil, "timelines that may be fetched from, such as 1,2 (default all)")
	return cmd
}

// answer ends a request: the reason for the log of the server, the code for
// its process that waits.
func answer(verb string, clone bool, err error, cmd *cobra.Command) error {
	if err != nil && !errors.Is(err, wal.ErrAbsent) { // an absence is nothing to tell: servers ask for what may come
		fmt.Fprintf(cmd.ErrOrStderr(), "zreconcile wal %s: %v\n", verb, err)
	}
	if code := wal.ExitCode(err, clone); code != 0 {
		return Answer(code)
	}
	return nil
}

// exactly wants so many arguments.
func exactly(n int, needs string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%s, and got %d", needs, len(args))
		}
		return nil
	}
}
