package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// metric is a value that a watch serves; false while it serves none.
func metric(t testing.TB, port int, name string) (float64, bool) {
	t.Helper()
	_, body := httpGet(port, "/metrics")
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(body)
	if found == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(found[1], 64)
	must(t, err)
	return v, true
}

// httpGet is 0 and nothing while nobody listens.
func httpGet(port int, path string) (status int, body string) {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(b)
}

// scrapeIsSound has Prometheus's own tool look at a scrape: it parses, and names
// and units are as its conventions want them. setup.sh brings the tool.
func scrapeIsSound(t testing.TB, port int) {
	t.Helper()
	_, body := httpGet(port, "/metrics")
	cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s\n%s", err, out, body)
	}
}

// TestWatchServesMetrics: what a monitor sees follows the host between applies,
// and no scrape runs a program.
func TestWatchServesMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, ownPrimary(t, primary.Plain))
	s.Slot = "watched"
	s.write(t)
	port := freePort(t)
	watch := s.start(t, "watch", "--metrics", fmt.Sprintf("127.0.0.1:%d", port))
	eventually(t, "watch to be ready", func() bool {
		status, _ := httpGet(port, "/readyz")
		return status == http.StatusOK || watch.over()
	})
	is := func(name string, want float64) func() bool {
		return func() bool {
			v, known := metric(t, port, name)
			return known && v == want || watch.over()
		}
	}
	for name, want := range map[string]float64{"zreconcile_standby_running": 1, "zreconcile_standby_connected": 1, "zreconcile_standby_lag_bytes": 0,
		"zreconcile_snapshots": 1, "zreconcile_recoverable_windows": 1, "zreconcile_pool_online": 1, `zreconcile_changes_total{kind="basebackup",result="done"}`: 1} {
		eventually(t, fmt.Sprintf("%s to be %g", name, want), is(name, want))
	}
	if retained, known := metric(t, port, "zreconcile_slot_retained_bytes"); !known || retained < 0 {
		t.Errorf("the slot retains %g bytes, known: %t", retained, known)
	}
	if took, known := metric(t, port, "zreconcile_apply_duration_seconds_sum"); !known || took <= 0 {
		t.Errorf("applies took %g s, known: %t", took, known)
	}
	scrapeIsSound(t, port)
	to, _ := metric(t, port, "zreconcile_recoverable_to_timestamp_seconds")
	s.stepTable(t)
	s.commit(t, 1)
	eventually(t, "the end of what can be restored to move on", func() bool {
		later, known := metric(t, port, "zreconcile_recoverable_to_timestamp_seconds")
		return known && later > to || watch.over()
	})
	must(t, s.Primary.Stop())
	eventually(t, "the loss of the primary", is("zreconcile_standby_connected", 0))
	if _, known := metric(t, port, "zreconcile_standby_lag_bytes"); known {
		t.Error("the lag behind a primary that is gone is not known, and shown")
	}
	if status, _ := httpGet(port, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d", status)
	}
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)
}
