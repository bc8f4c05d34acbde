package reconcile

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
)

// cloneFiles are the managed files of a clone, as its entry and its marks make
// them: what an update in place writes.
func (in *view) cloneFiles(r spec.Restore, c Clone) (confWanted, error) {
	stop, known := parseStop(c.Marks)
	if !known {
		return confWanted{}, fmt.Errorf("the marks of %s do not say where it stops: see zfs get %s %s", c.Dataset.Name, markState, c.Dataset.Name)
	}
	return in.cloneConf(r, stop, int(c.Marks.int(markMajor)), c.Files)
}

// cloneConf gives the managed file, pg_hba.conf and pg_ident.conf of a clone.
// Every setting by which a clone could do harm to the live standby, to its
// archive or to the primary is forced (pitfalls 29, 34).
func (in *view) cloneConf(r spec.Restore, stop StopPoint, major int, have map[string][]byte) (confWanted, error) {
	set := map[string]conf.Setting{}
	put := func(name, value, why string) { set[name] = conf.Setting{Name: name, Value: value, Why: why} }
	// What an entry's conf may say otherwise stands before it, what not behind.
	put("shared_preload_libraries", "", "background workers of extensions must not run twice")
	settings := overlay(set, r.Conf, "restores: "+r.Name+": conf.set")
	set = map[string]conf.Setting{}
	for _, s := range settings {
		set[s.Name] = s
	}
	get, err := conf.Command(getArgs(in, in.state.Paths.Helper, &cloneSource{timelines: in.timelinesOf(stop)})...)
	if err != nil {
		return confWanted{}, err
	}
	put("port", strconv.Itoa(r.Port), "")
	put("listen_addresses", r.ListenAddresses, "")
	put("unix_socket_directories", in.cloneSocketDir(r.Name), "")
	put("cluster_name", "zreconcile-"+r.Name, "")
	put("hot_standby", "on", "without it a pause at the target is a shutdown")
	put("restore_command", get, "the archive, then the live pg_wal")
	put("recovery_target_lsn", stop.LSN.String(), targetText(r.Target))
	put("recovery_target_inclusive", onOff(stop.Inclusive), "")
	put("recovery_target_timeline", strconv.FormatUint(uint64(stop.Timeline), 10), "never what another promoted clone began")
	put("recovery_target_action", r.Action, "")
	for _, name := range []string{"archive_command", "recovery_end_command", "archive_cleanup_command", "primary_conninfo", "primary_slot_name", "synchronous_standby_names"} {
		put(name, "", "")
	}
	put("archive_mode", "off", "a clone never archives")
	put("recovery_min_apply_delay", "0", "")
	if version.RecoveryInitSyncMethod.In(major) {
		put("recovery_init_sync_method", "syncfs", "a snapshot is on stable storage; no file of it needs to be opened for that")
	}
	put("max_logical_replication_workers", "0", "its subscriptions must not consume live slots")
	if version.PromoteTriggerFile.In(major) {
		put("promote_trigger_file", "", "")
	}
	if version.ArchiveLibrary.In(major) {
		put("archive_library", "", "")
	}
	if version.SyncReplicationSlots.In(major) {
		put("sync_replication_slots", "off", "")
	}
	w := confWanted{settings: overlay(set, nil, "")}
	role := in.adminRole()
	w.files = map[string][]byte{
		managedFile: conf.Render(managedHeader(in.site.Name), w.settings),
		hbaFile:     conf.HBA(have[hbaFile], role, nil, r.HBA),
		identFile:   conf.Ident(have[identFile], unique([]string{"root", in.site.Standby.OSUser}), []string{role}),
	}
	return w, nil
}

// timelinesOf are the ones that a clone with this stop may see: those on the path
// to its own.
func (in *view) timelinesOf(stop StopPoint) string {
	list := []string{}
	history, err := historyOf(stop.Timeline, in.walDirs())
	if err == nil {
		for _, e := range history {
			list = append(list, strconv.FormatUint(uint64(e.Timeline), 10))
		}
	}
	return strings.Join(append(list, strconv.FormatUint(uint64(stop.Timeline), 10)), ",")
}

func (in *view) cloneSocketDir(restore string) string {
	return filepath.Join(in.state.Paths.Sockets, restore)
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// cloneBase is the one complete postgresql.conf of a clone: what the snapshot's
// files come to, without includes and without what can't be used here, and the
// minimums that its own pg_control and the WAL on the way ask for (pitfalls 28,
// 31, 40): the primary may have raised one, and lowered it again since.
func (in *view) cloneBase(snapshot map[string][]byte, control postgres.ControlData, onTheWay wal.Settings) []byte {
	var floor []conf.Setting
	least := controlMinimums(&control)
	raise := func(minimums map[string]int) {
		for name, value := range minimums {
			least[name] = max(least[name], value)
		}
	}
	raise(settingsMinimums(onTheWay))
	if live := in.state.Cluster.Control; live != nil {
		raise(controlMinimums(live))
	}
	for name, value := range least {
		floor = append(floor, conf.Setting{Name: name, Value: strconv.Itoa(value), Why: "no lower than when the WAL was written"})
	}
	flat := conf.Flatten(snapshot, conf.Rules{
		Disable:          append([]string{"recovery_target", "recovery_target_*"}, in.site.Standby.Conf.Disable...),
		Unsupported:      in.state.Cluster.Rejected.Parameters,
		MissingLibraries: in.state.Cluster.Rejected.Libraries,
	}, floor)
	return append(flat, "\ninclude '"+managedFile+"'\n"...)
}
