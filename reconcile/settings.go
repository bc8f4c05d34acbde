package reconcile

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// standbySettings are the managed settings of the standby, which win over
// whatever the primary carries.
func standbySettings(in *view, helper, passfile string) ([]conf.Setting, error) {
	s, cluster := in.site.Standby, in.state.Cluster
	set := map[string]conf.Setting{}
	put := func(name, value, why string) { set[name] = conf.Setting{Name: name, Value: value, Why: why} }
	put("port", strconv.Itoa(s.Port), "standby.port")
	put("listen_addresses", s.ListenAddresses, "standby.listenAddresses")
	put("unix_socket_directories", s.SocketDir, "standby.socketDir")
	put("hot_standby", "on", "")
	put("primary_conninfo", primaryConninfo(in.site, passfile), "standby.primary; the password is in the passfile")
	put("primary_slot_name", s.Primary.Slot, "standby.primary.slot")
	put("recovery_target_timeline", "latest", "follows a failover of the primary")
	put("recovery_end_command", "", "")
	put("archive_cleanup_command", "", "would remove WAL that snapshots need")
	put("wal_init_zero", "off", "of no use on ZFS, which copies on write")
	put("wal_recycle", "off", "of no use on ZFS, which copies on write")
	if version.ArchiveLibrary.In(in.state.Server.Major) {
		put("archive_library", "", "")
	}
	put("recovery_min_apply_delay", "0", "")
	if err := archiveSettings(in, helper, put); err != nil {
		return nil, err
	}
	minimums(cluster.Control, put)
	return overlay(set, s.Conf.Set, "standby.conf.set"), nil
}

// archiveSettings make the standby archive what it receives, and heal itself
// from its archive when it falls behind what the primary keeps (pitfall 23).
func archiveSettings(in *view, helper string, put func(name, value, why string)) error {
	if in.site.Archive == nil {
		put("archive_mode", "off", "the file names no archive")
		put("archive_command", "", "")
		put("restore_command", "", "")
		return nil
	}
	push, err := conf.Command(pushArgs(in, helper)...)
	if err != nil {
		return fmt.Errorf("archive_command: %w", err)
	}
	get, err := conf.Command(getArgs(in, helper, nil)...)
	if err != nil {
		return fmt.Errorf("restore_command: %w", err)
	}
	put("archive_mode", "always", "a standby archives what it receives")
	put("archive_command", push, "")
	put("restore_command", get, "")
	return nil
}

// pushArgs is the command line of `wal push`: all that it needs, by absolute
// path, so that a broken spec never stops archiving.
func pushArgs(in *view, helper string) []string {
	p, _ := placeOf(in.site, in.state, in.site.Archive.Dir)
	return []string{helper, "wal", "push", "--archive", in.site.Archive.Dir, "--data-dir", in.site.Standby.DataDir,
		"--system-id", in.systemID(), "--dataset", p.Dataset, "--mountpoint", p.Mountpoint, conf.PathPlaceholder}
}

// getArgs is the command line of `wal get`; a clone sees the timelines of its
// target's history alone, and may read the live standby's pg_wal. Where that is
// away, it is not asked: what can't be looked at would stop the clone, whose
// server reads ahead of its target.
func getArgs(in *view, helper string, clone *cloneSource) []string {
	p, _ := placeOf(in.site, in.state, in.site.Archive.Dir)
	args := []string{helper, "wal", "get", "--archive", in.site.Archive.Dir,
		"--system-id", in.systemID(), "--segment-size", strconv.FormatInt(in.segmentSize(), 10),
		"--dataset", p.Dataset, "--mountpoint", p.Mountpoint}
	if clone != nil {
		args = append(args, "--clone")
		if in.state.Cluster.Content == DirCluster {
			args = append(args, "--live", in.livePgWAL())
		}
		args = append(args, "--timelines", clone.timelines)
	}
	return append(args, conf.FilePlaceholder, conf.PathPlaceholder)
}

// cloneSource is where a clone's WAL comes from.
type cloneSource struct{ timelines string }

// systemNumber is the system identifier of the cluster, or else of what it left
// behind; 0 is not known.
func (in *view) systemNumber() uint64 {
	switch {
	case in.state.Cluster.Control != nil:
		return in.state.Cluster.Control.SystemID
	case in.state.Archive.SystemID != 0:
		return in.state.Archive.SystemID
	case in.state.Primary != nil:
		return in.state.Primary.SystemID
	}
	list := ours(in.site, in.state)
	if len(list) == 0 {
		return 0
	}
	id, err := strconv.ParseUint(list[len(list)-1].SystemID, 10, 64)
	if err != nil {
		return 0
	}
	return id
}

func (in *view) systemID() string { return strconv.FormatUint(in.systemNumber(), 10) }

// segmentSize is that of the cluster's WAL, in bytes.
func (in *view) segmentSize() int64 {
	switch {
	case in.state.Cluster.Control != nil:
		return in.state.Cluster.Control.SegmentSize
	case in.state.Archive.SegmentSize != 0:
		return in.state.Archive.SegmentSize
	case in.state.Primary != nil:
		return in.state.Primary.SegmentSize
	}
	return defaultSegmentSize
}

// defaultSegmentSize is initdb's, in bytes.
const defaultSegmentSize = 16 << 20

// minimums puts the settings that a hot standby needs no lower than the
// primary that wrote the WAL (pitfalls 31, 40).
func minimums(control *postgres.ControlData, put func(name, value, why string)) {
	if control == nil {
		return
	}
	for name, value := range controlMinimums(control) {
		put(name, strconv.Itoa(value), "no lower than the primary's")
	}
}

// controlMinimums are the settings that a hot standby needs no lower than
// pg_control says, which has those of the last change that was replayed.
func controlMinimums(c *postgres.ControlData) map[string]int {
	return settingsMinimums(wal.Settings{MaxConnections: c.MaxConnections, MaxWorkerProcesses: c.MaxWorkerProcesses,
		MaxWALSenders: c.MaxWALSenders, MaxPreparedXacts: c.MaxPreparedXacts, MaxLocksPerXact: c.MaxLocksPerXact})
}

func settingsMinimums(s wal.Settings) map[string]int {
	return map[string]int{
		"max_connections":           s.MaxConnections,
		"max_worker_processes":      s.MaxWorkerProcesses,
		"max_wal_senders":           s.MaxWALSenders,
		"max_prepared_transactions": s.MaxPreparedXacts,
		"max_locks_per_transaction": s.MaxLocksPerXact,
	}
}

// tooLow lists the spec's values below what a hot standby needs.
func tooLow(control *postgres.ControlData, wanted []spec.Setting) []conf.Finding {
	if control == nil {
		return nil
	}
	numbers := map[string]int{}
	for _, s := range wanted {
		if n, err := strconv.Atoi(s.Value); err == nil {
			numbers[strings.ToLower(s.Name)] = n
		}
	}
	_, low := conf.Raise(controlMinimums(control), nil, numbers)
	return low
}

// overlay puts the file's own settings over the managed ones, sorted by name.
func overlay(set map[string]conf.Setting, own []spec.Setting, why string) []conf.Setting {
	for _, s := range own {
		name := strings.ToLower(s.Name)
		set[name] = conf.Setting{Name: name, Value: s.Value, Why: why}
	}
	list := make([]conf.Setting, 0, len(set))
	for _, s := range set {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

func managedNames(settings []conf.Setting) map[string]bool {
	names := map[string]bool{}
	for _, s := range settings {
		names[s.Name] = true
	}
	return names
}
