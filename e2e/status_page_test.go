package e2e

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// TestStatusPage holds the page of a real site to its JSON: the verdict, what can
// be restored, each snapshot, and the whole line that connects to a restore. Of a
// host that nobody may look at, it says so.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.converges(t)
	s.stepTable(t)
	s.commit(t, 1)
	s.caughtUp(t)
	s.run(t, "snapshot", "--label", "<before> & after").exits(t, exitDone)
	moment, _ := s.moment(t)
	s.commit(t, 2)
	s.caughtUp(t)
	s.Restores = s.restoreTo("look", `time: "`+moment+`"`)
	s.write(t)
	s.converges(t)

	r := s.run(t, "status", "-o", "html").exits(t, exitDone)
	page := textOf(t, r.Stdout)
	st := s.status(t)
	if len(st.Windows) == 0 || len(st.Snapshots) != 2 || len(st.Restores) != 1 {
		t.Fatalf("%+v", st)
	}
	from := st.Windows[0].From.Add(time.Second - time.Nanosecond).Truncate(time.Second).In(time.FixedZone("+08:00", 8*60*60)).Format("2006-01-02 15:04:05Z07:00")
	want := []string{"SAFE", "any moment from " + from + " to ", "Site " + s.Name, "(Asia/Shanghai)", "streaming from the primary",
		"look running", "<before> & after", "psql '" + st.Restores[0].Connect + " user=" + s.Primary.Superuser, "pg_dump --table=TABLE"}
	for _, snap := range st.Snapshots {
		want = append(want, snap.Name)
	}
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q:\n%s", text, page)
		}
	}

	blind := zreconcileAs(t, "nobody", "status", "-o", "html", "-f", s.File()).exits(t, exitFailed)
	if page := textOf(t, blind.Stdout); !strings.Contains(page, "UNKNOWN") || !strings.Contains(page, "Could not be observed") || strings.Contains(page, "SAFE") {
		t.Errorf("who may not look is told:\n%s", page)
	}
}

// textOf is what a browser shows of a page, its parts parted by spaces.
func textOf(t testing.TB, page string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	must(t, err)
	var parts []string
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			parts = append(parts, strings.TrimSpace(n.Data))
		}
	}
	return strings.Join(parts, " ")
}
