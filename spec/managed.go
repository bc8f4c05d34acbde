package spec

import (
	"maps"
	"strings"
)

// standbyManaged are the parameters that this program sets by itself, and what
// to write in the file in place of each; "" when there is nothing to say.
var standbyManaged = map[string]string{
	"port":                      "port",
	"listen_addresses":          "listenAddresses",
	"unix_socket_directories":   "socketDir",
	"primary_conninfo":          "standby.primary",
	"primary_slot_name":         "standby.primary.slot",
	"restore_command":           "archive",
	"archive_command":           "archive",
	"archive_mode":              "archive",
	"archive_library":           "archive",
	"archive_cleanup_command":   "snapshots.retention and archive.continuousFor: cleaning up behind the standby destroys what restores need", // pitfall 20
	"recovery_end_command":      "",
	"recovery_target":           "a restore's target",
	"recovery_target_name":      "a restore's target",
	"recovery_target_time":      "a restore's target",
	"recovery_target_xid":       "a restore's target",
	"recovery_target_lsn":       "a restore's target",
	"recovery_target_inclusive": "a restore's target.stop",
	"recovery_target_timeline":  "",
	"recovery_target_action":    "a restore's action",
	"promote_trigger_file":      "",
	"data_directory":            "standby.dataDir",
	"hba_file":                  "hba",
	"ident_file":                "",
	"external_pid_file":         "",
	"include":                   "conf.set",
	"include_if_exists":         "conf.set",
	"include_dir":               "conf.set",
	"hot_standby":               "",
}

// restoreManaged adds what makes a clone harmless to its standby and to its
// primary (pitfall 29).
var restoreManaged = func() map[string]string {
	managed := maps.Clone(standbyManaged)
	for _, name := range []string{
		"unix_socket_directories", "primary_conninfo", "primary_slot_name", "restore_command", "archive_command",
		"archive_mode", "archive_library", "archive_cleanup_command", "data_directory",
		"recovery_min_apply_delay", "cluster_name", "synchronous_standby_names",
		"max_logical_replication_workers", "sync_replication_slots",
	} {
		managed[name] = ""
	}
	return managed
}()

// checkManaged keeps conf.set from naming a parameter twice, or one that this
// program sets by itself.
func (d *draft) checkManaged(set *node, managed map[string]string) {
	seen := distinct[string]{d: d}
	for _, m := range set.members() {
		name := strings.ToLower(m.key)
		seen.add("parameter", name, m.value, m.key)
		instead, found := managed[name]
		if !found {
			continue
		}
		hint := "leave it out"
		if instead != "" {
			hint = "write " + instead
		}
		d.errorf(m.value, hint, "the parameter %s is this program's to set", m.key)
	}
}

// Managed tells whether a parameter of the standby is this program's to set, and
// so has no place in standby.conf.set.
func Managed(parameter string) bool {
	_, found := standbyManaged[strings.ToLower(parameter)]
	return found
}
