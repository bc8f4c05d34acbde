package spec

import (
	"fmt"
	"strings"
	"testing"
)

// refused tells whether a site that sets the parameter is refused for it.
func refused(text, parameter string) bool {
	_, problems := Parse(map[string][]byte{"site.yaml": []byte(text)}, "site.yaml")
	return strings.Contains(problems.Errors().Error(), "the parameter "+parameter+" is this program's to set")
}

// archive_cleanup_command on the live standby destroys what restores need.
func TestPitfall20_CleanupCommandIsRefused(t *testing.T) {
	text := strings.Replace(minimal, "port: 5433", "port: 5433\n  conf: {set: {archive_cleanup_command: 'pg_archivecleanup /wal/archive %r'}}", 1)
	if !refused(text, "archive_cleanup_command") {
		t.Error("accepted")
	}
}

// What makes a clone harmless cannot be undone by the file.
func TestPitfall29_ForcedSettingsAreRefused(t *testing.T) {
	for _, parameter := range []string{
		"port", "unix_socket_directories", "listen_addresses", "cluster_name", "hot_standby", "recovery_min_apply_delay",
		"recovery_end_command", "archive_cleanup_command", "archive_library", "archive_mode", "archive_command",
		"primary_conninfo", "primary_slot_name", "synchronous_standby_names", "max_logical_replication_workers",
		"sync_replication_slots", "data_directory",
	} {
		own := fmt.Sprintf("restores: [{name: r, target: {latest: true}, port: 5434, conf: {set: {%s: x}}}]\n", parameter)
		if !refused(minimal+own, parameter) {
			t.Errorf("a restore may set %s", parameter)
		}
		defaults := fmt.Sprintf("restoreDefaults: {conf: {set: {%s: x}}}\n", strings.ToUpper(parameter))
		if !refused(minimal+defaults, strings.ToUpper(parameter)) {
			t.Errorf("restoreDefaults may set %s", parameter)
		}
	}
}

// Names of parameters do not depend on case.
func TestPitfall39_NamesOfAnyCase(t *testing.T) {
	text := strings.Replace(minimal, "port: 5433", "port: 5433\n  conf: {set: {Work_Mem: 8MB, Port: 1}}", 1)
	if !refused(text, "Port") {
		t.Error("Port is accepted")
	}
	site := parse(t, strings.Replace(text, ", Port: 1", "", 1))
	if name := site.Standby.Conf.Set[0].Name; name != "work_mem" {
		t.Errorf("name %q", name)
	}
}

// The target is one, or the server would not start.
func TestPitfall30_OneTarget(t *testing.T) {
	for _, target := range []string{"{}", "{latest: true, xid: 5, stop: after}", "{time: 2020-03-21 17:28:37Z, snapshot: zr-1}"} {
		_, problems := Parse(map[string][]byte{"site.yaml": []byte(minimal + "restores: [{name: r, port: 5434, target: " + target + "}]\n")}, "site.yaml")
		if !strings.Contains(problems.Errors().Error(), "needs exactly one of") {
			t.Errorf("%s: %v", target, problems)
		}
	}
}
