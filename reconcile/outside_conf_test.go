package reconcile

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/postgres"
)

// A server that reads other files than those that apply writes is restarted, or
// left alone as a whole: without a restart it would go on without a primary.
func TestOutsideConf(t *testing.T) {
	for name, test := range map[string]struct {
		edits   []string
		outside string
		running bool
		want    []string
	}{
		"its own files":   {running: true, want: []string{}},
		"files elsewhere": {running: true, outside: "/etc/x.conf", want: []string{"update standby/standby"}},
		"files elsewhere, and no restart": {running: true, outside: "/etc/x.conf", edits: []string{"  port: 1922", "  port: 1922\n  restart: never"},
			want: []string{"block conf/standby"}},
	} {
		t.Run(name, func(t *testing.T) {
			site := givenSite(t, test.edits...)
			state := converged(t, site)
			state.Cluster.OutsideConf = test.outside
			p := Diff(site, state, givenNow, nil)
			if diff := cmp.Diff(test.want, briefly(p)); diff != "" {
				t.Errorf("%s\n%s", diff, rendered(p))
			}
		})
	}
}

func TestOutsideConfIsNotThatOfTheDataDirectory(t *testing.T) {
	dir := t.TempDir()
	for words, want := range map[string]string{
		"":                                       "",
		` "-c" "config_file=` + dir + `/a.conf"`: "",
		` "--config-file=/etc/a.conf"`:           "/etc/a.conf",
		` "-c" "work_mem=1MB"`:                   "",
	} {
		cluster := &postgres.Cluster{DataDir: dir}
		if err := os.WriteFile(dir+"/postmaster.opts", []byte(`/bin/postgres "-D" "`+dir+`"`+words+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := outsideConf(cluster); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}
