package conf

import (
	"math"
	"strconv"
	"strings"
)

// SameSetting tells whether two values of a parameter mean the same: numbers
// with units (32GB is 32768MB, 5min is 300 of archive_timeout), booleans in
// any spelling (chapter "Setting Parameters", "Parameter Names and Values").
// Plain text is the same only when equal.
func SameSetting(name, a, b string) bool {
	if a == b {
		return true
	}
	unit := baseUnits[lower(name)]
	x, kindA, okA := quantity(a, unit)
	y, kindB, okB := quantity(b, unit)
	if okA && okB {
		return kindA == kindB && math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y)) // 0.1h is 360s
	}
	onA, okA := boolean(a)
	onB, okB := boolean(b)
	return okA && okB && onA == onB
}

// boolean reads what the server takes for one (parse_bool): on and off, true
// and false, yes and no, 1 and 0, or an unambiguous beginning of a word.
func boolean(s string) (value, ok bool) {
	s = lower(s)
	switch {
	case s == "":
		return false, false
	case s == "1", s == "on", strings.HasPrefix("true", s), strings.HasPrefix("yes", s):
		return true, true
	case s == "0", s == "of", s == "off", strings.HasPrefix("false", s), strings.HasPrefix("no", s):
		return false, true
	}
	return false, false
}

// factor says how many bytes or microseconds a unit is.
type factor struct {
	kind string // "bytes", "time" or "" for a plain number
	size float64
}

var units = map[string]factor{
	"B": {"bytes", 1}, "kB": {"bytes", 1 << 10}, "MB": {"bytes", 1 << 20}, "GB": {"bytes", 1 << 30}, "TB": {"bytes", 1 << 40},
	"8kB": {"bytes", 8 << 10}, // only as the unit of a number without one
	"us":  {"time", 1}, "ms": {"time", 1e3}, "s": {"time", 1e6}, "min": {"time", 60e6}, "h": {"time", 3600e6}, "d": {"time", 86400e6},
}

// quantity reads a number with its unit; base is the unit of a number without
// one, "" when not known.
func quantity(s, base string) (n float64, kind string, ok bool) {
	s = strings.Trim(s, listSpace)
	end := numberEnd(s)
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0, "", false
	}
	unit := strings.Trim(s[end:], listSpace)
	switch {
	case unit == "8kB":
		return 0, "", false
	case unit == "" && base == "":
		return n, "", true
	case unit == "":
		unit = base
	}
	f, known := units[unit]
	return n * f.size, f.kind, known
}

// numberEnd is where the decimal number that s begins with ends.
func numberEnd(s string) int {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	i += run(s[i:], isDigit)
	if i < len(s) && s[i] == '.' {
		i += 1 + run(s[i+1:], isDigit)
	}
	return i + exponentLength(s[i:])
}

// baseUnits gives the unit of a number without one, as pg_settings.unit does,
// for the parameters of PostgreSQL 12 to 18.
var baseUnits = invert(map[string]string{
	"B": "log_parameter_max_length log_parameter_max_length_on_error track_activity_query_size wal_decode_buffer_size wal_segment_size",
	"kB": "autovacuum_work_mem gin_pending_list_limit huge_page_size log_rotation_size log_temp_files logical_decoding_work_mem " +
		"maintenance_work_mem max_stack_depth temp_file_limit vacuum_buffer_usage_limit wal_skip_threshold work_mem",
	"8kB": "backend_flush_after bgwriter_flush_after checkpoint_flush_after commit_timestamp_buffers effective_cache_size " +
		"io_combine_limit io_max_combine_limit min_parallel_index_scan_size min_parallel_table_scan_size multixact_member_buffers " +
		"multixact_offset_buffers notify_buffers segment_size serializable_buffers shared_buffers subtransaction_buffers " +
		"temp_buffers transaction_buffers wal_buffers wal_writer_flush_after",
	"MB": "max_slot_wal_keep_size max_wal_size min_dynamic_shared_memory min_wal_size shared_memory_size wal_keep_size",
	"ms": "autovacuum_vacuum_cost_delay bgwriter_delay client_connection_check_interval deadlock_timeout " +
		"idle_in_transaction_session_timeout idle_session_timeout lock_timeout log_autovacuum_min_duration log_min_duration_sample " +
		"log_min_duration_statement log_startup_progress_interval max_standby_archive_delay max_standby_streaming_delay " +
		"recovery_min_apply_delay statement_timeout tcp_user_timeout transaction_timeout vacuum_cost_delay wal_receiver_timeout " +
		"wal_retrieve_retry_interval wal_sender_timeout wal_writer_delay",
	"s": "archive_timeout authentication_timeout autovacuum_naptime checkpoint_timeout checkpoint_warning " +
		"idle_replication_slot_timeout post_auth_delay pre_auth_delay tcp_keepalives_idle tcp_keepalives_interval wal_receiver_status_interval",
	"min": "log_rotation_age old_snapshot_threshold wal_summary_keep_time",
})

func invert(namesByUnit map[string]string) map[string]string {
	unitByName := map[string]string{}
	for unit, names := range namesByUnit {
		for _, name := range strings.Fields(names) {
			unitByName[name] = unit
		}
	}
	return unitByName
}
