package conf

import "strings"

// What of a primary's files is about the primary's host or its past, with the
// reason that stands beside it when it is taken out.
const (
	reasonPath     = "a path of the primary's host"
	reasonSSL      = "the primary's certificates do not belong to this host"
	reasonSocket   = "a socket folder or group of the primary's host"
	reasonRecovery = "from a recovery of the primary itself; it would act on the standby"
	reasonInclude  = "files of the primary's host are not included here"
)

// foreign names the parameters that never fit here, whatever their value.
var foreign = map[string]string{
	"config_file":          reasonPath,
	"data_directory":       reasonPath, // overrides -D (pitfall 28)
	"hba_file":             reasonPath,
	"ident_file":           reasonPath,
	"external_pid_file":    reasonPath,
	"krb_server_keyfile":   reasonPath,
	"stats_temp_directory": reasonPath,
	"dynamic_library_path": reasonPath,
	"include":              reasonInclude,
	"include_dir":          reasonInclude,
	"include_if_exists":    reasonInclude,

	// ssl goes with its files: with ssl on and a file missing, the server does not start.
	"ssl":                    reasonSSL,
	"ssl_ca_file":            reasonSSL,
	"ssl_cert_file":          reasonSSL,
	"ssl_crl_dir":            reasonSSL,
	"ssl_crl_file":           reasonSSL,
	"ssl_dh_params_file":     reasonSSL,
	"ssl_key_file":           reasonSSL,
	"ssl_passphrase_command": reasonSSL,

	"unix_socket_directories": reasonSocket,
	"unix_socket_group":       reasonSocket, // an unknown group is FATAL

	// A primary that was once restored or promoted keeps these; a standby would
	// obey them: stop at an old target, or wait for another upstream.
	"archive_cleanup_command":   reasonRecovery, // deletes WAL that snapshots need (pitfall 20)
	"primary_conninfo":          reasonRecovery,
	"primary_slot_name":         reasonRecovery,
	"promote_trigger_file":      reasonRecovery,
	"recovery_end_command":      reasonRecovery,
	"recovery_min_apply_delay":  reasonRecovery,
	"recovery_target":           reasonRecovery,
	"recovery_target_action":    reasonRecovery,
	"recovery_target_inclusive": reasonRecovery,
	"recovery_target_lsn":       reasonRecovery,
	"recovery_target_name":      reasonRecovery,
	"recovery_target_time":      reasonRecovery,
	"recovery_target_timeline":  reasonRecovery,
	"recovery_target_xid":       reasonRecovery,
	"restore_command":           reasonRecovery,
}

// namesCluster are the parameters that tie a file to one data directory: a
// clone must not take them from the standby, even where the site file sets them.
var namesCluster = map[string]bool{
	"config_file":       true,
	"data_directory":    true,
	"hba_file":          true,
	"ident_file":        true,
	"external_pid_file": true,
}

// hostReason says why an entry cannot hold on another host, or "".
func hostReason(e Entry) string {
	if e.Name == "log_directory" {
		if strings.HasPrefix(e.Value, "/") {
			return reasonPath
		}
		return "" // below the data directory
	}
	return foreign[e.Name]
}
