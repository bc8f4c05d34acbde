package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestWatchAtRest: between due moments a watch runs one program a minute, its
// light check, keeps its memory, and the check sees what a person did to ZFS.
func TestWatchAtRest(t *testing.T) {
	t.Parallel() // it waits most of its time
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	log, err := os.Create(filepath.Join(s.Dir, "watch.log"))
	must(t, err)
	defer log.Close()
	port := freePort(t)
	watch := s.startLogging(t, log, "watch", "--log-level", "debug", "--metrics", fmt.Sprintf("127.0.0.1:%d", port))
	eventually(t, "the first apply to end", func() bool {
		_, known := metric(t, port, "zreconcile_apply_last_timestamp_seconds")
		return known || watch.over()
	})
	time.Sleep(time.Second)
	before := len(programsRun(t, log.Name()))
	time.Sleep(65 * time.Second)
	ran := programsRun(t, log.Name())[before:]
	if len(ran) != 1 || !strings.Contains(ran[0], "zfs") {
		t.Errorf("at rest for a minute the watch ran %q", ran)
	}
	pid := watch.cmd.Process.Pid
	if huge, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err != nil || strings.Contains(string(huge), "THP_enabled:\t1") {
		t.Errorf("it takes huge pages where there are any (%v)", err)
	}
	rss := residentMemory(t, pid)
	t.Logf("resident at rest, metrics served: %.1f MB", float64(rss)/1e6)
	if rss >= 30e6 {
		t.Errorf("%d bytes are resident", rss)
	}

	command(t, "zfs", "set", "atime=on", s.Name+"/data")
	began := time.Now()
	eventually(t, "the light check to see the drift", func() bool {
		return strings.TrimSpace(command(t, "zfs", "get", "-H", "-o", "value", "atime", s.Name+"/data")) == "off" || watch.over()
	})
	if took := time.Since(began); took > 90*time.Second {
		t.Errorf("it took %s", took)
	}
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
}

var programLine = regexp.MustCompile(`run program=(\S+)`)

// programsRun are those that a log of level debug tells of.
func programsRun(t *testing.T, log string) []string {
	t.Helper()
	text, err := os.ReadFile(log)
	must(t, err)
	var names []string
	for _, m := range programLine.FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

// residentMemory is VmRSS (proc(5)) in bytes.
func residentMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no VmRSS in %s", text)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	must(t, err)
	return kb << 10
}
