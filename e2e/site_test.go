package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// site is a host to be: a spec on a sparse file and short paths of its own
// (a socket's path holds 107 bytes). Tests change its fields and write it anew.
type site struct {
	Dir       string // everything that is not on the pool
	Name      string // the site's, and the pool's
	Vdev      string
	VdevType  string // mirror, of a Vdev that is a list; "" is a stripe
	DataMount string
	WALMount  string
	Primary   *primary.Primary

	Host              string // of the primary, or a list in flow style
	Port, RestorePort int
	Password          string // in the password file
	User              string
	SSLMode           string
	Slot              string // the replication slot; "" is none
	BinDir            string
	MaxRate           string            // of the base backup; "" is no limit
	Set               map[string]string // standby.conf.set
	DataProperties    string            // more properties of the data dataset, flow style
	Apart             bool              // pg_wal and the tablespace are on datasets of their own
	RootProperties    string            // more properties of the root dataset, flow style
	PoolMore          string            // more lines of pool:, indented by two
	ArchiveMore       string            // more lines of archive:, indented by two
	Retention         string
	Verify            string // flow style; "" is no section
	Restores          string // the list, indented by two; "" is none
}

var siteTemplate = template.Must(template.New("site").Funcs(template.FuncMap{"quote": yamlQuote}).Parse(`version: 1
site: {{.Name}}
timezone: Asia/Shanghai
pool:
  name: {{.Name}}
  vdevs:
    - devices: [{{.Vdev}}]
{{- if .VdevType}}
      type: {{.VdevType}}
{{- end}}
  rootProperties: {canmount: off{{.RootProperties}}}
{{.PoolMore -}}
datasets:
  - name: data
    properties: {mountpoint: {{.DataMount}}, recordsize: 8K, atime: off, primarycache: metadata, secondarycache: none, logbias: throughput{{.DataProperties}}}
  - name: wal
    properties: {mountpoint: {{.WALMount}}, recordsize: 8K, atime: off, compression: on}
{{- if .Apart}}
  - name: pgwal
    properties: {mountpoint: {{.Dir}}/pgwal, recordsize: 8K}
  - name: ts
    properties: {mountpoint: {{.Dir}}/ts, recordsize: 8K}
{{- end}}
standby:
  dataDir: {{.DataDir}}
{{- if .Apart}}
  walDir: {{.PGWAL}}
{{- end}}
  port: {{.Port}}
  socketDir: {{.Dir}}/s
  supervisor: process
{{- if .BinDir}}
  binDir: {{.BinDir}}
{{- end}}
{{- if .MaxRate}}
  basebackup: {maxRate: {{.MaxRate}}}
{{- end}}
  primary:
    host: {{.Host}}
    port: {{.Primary.Port}}
    user: {{.User}}
    passwordFrom: {file: {{.Dir}}/password}
    sslmode: {{.SSLMode}}
{{- if .Slot}}
    slot: {{.Slot}}
{{- end}}
{{- if .Primary.Tablespace}}
  tablespaces: {{"{"}}{{.Primary.Tablespace}}: {{.TablespaceDir}}{{"}"}}
{{- end}}
  conf:
    set:
{{- range $name, $value := .Set}}
      {{$name}}: {{quote $value}}
{{- end}}
    disable: [ssl_key_file, ssl_cert_file, ssl, huge_pages, "rds*", "pg_pathman.*", "zhparser.*", "auto_explain.*"]
archive:
  dir: {{.WALMount}}/archive
{{.ArchiveMore -}}
snapshots:
  schedule: "0 0 1 1 *" # no moment of it falls into a test
  retention: {{.Retention}}
{{- if .Verify}}
verify: {{.Verify}}
{{- end}}
restoreDefaults:
  conf: {set: {shared_buffers: 16MB}}
  grace: 0s
{{- if .Restores}}
restores:
{{.Restores}}
{{- end}}
`))

// newSite writes the spec of a bare host; whatever comes of it is removed
// after the test, servers first.
func newSite(t testing.TB, p *primary.Primary) *site {
	t.Helper()
	dir, name := newFolder(t)
	s := &site{
		Dir: dir, Name: name, Primary: p,
		Host: "127.0.0.1", DataMount: filepath.Join(dir, "data"), WALMount: filepath.Join(dir, "wal"),
		Port: freePort(t), RestorePort: freePort(t), Password: p.Password, User: p.User, SSLMode: "prefer",
		Set:       map[string]string{"shared_buffers": "16MB", "work_mem": "5MB", "fsync": "off"},
		Retention: "{last: 4, within: 48h}",
	}
	if p.Kind == primary.Debian {
		s.SSLMode = "require"
	}
	s.Vdev = newVdev(t, filepath.Join(dir, "disk"), 1<<30)
	t.Cleanup(func() { s.remove(t) })
	s.write(t)
	return s
}

// newFolder makes a site's folder, and the name that goes with it.
func newFolder(t testing.TB) (dir, name string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zr")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	name = "zrt" + filepath.Base(dir)[2:]
	made.folder(t, dir)
	made.pool(t, name)
	return dir, name
}

// DataDir is the standby's.
func (s *site) DataDir() string { return filepath.Join(s.DataMount, "pgdata") }

// PGWAL is where pg_wal of a standby is whose parts lie apart.
func (s *site) PGWAL() string { return filepath.Join(s.Dir, "pgwal", "pg_wal") }

// TablespaceDir is where the primary's tablespace goes.
func (s *site) TablespaceDir() string {
	if s.Apart {
		return filepath.Join(s.Dir, "ts", "fast")
	}
	return filepath.Join(s.DataMount, "ts")
}

// File is the spec's path.
func (s *site) File() string { return filepath.Join(s.Dir, "site.yaml") }

// write brings the fields to the disk.
func (s *site) write(t testing.TB) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.Dir, "password"), []byte(s.Password), 0o600))
	must(t, os.WriteFile(s.File(), []byte(s.text(t)), 0o644))
}

// text is the spec.
func (s *site) text(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	must(t, siteTemplate.Execute(&b, s))
	return b.String()
}

// run runs a command of the program on this site.
func (s *site) run(t testing.TB, command string, args ...string) result {
	t.Helper()
	return zreconcile(t, append([]string{command, "-f", s.File()}, args...)...)
}

// plan is `plan -o json --detailed-exitcode`.
func (s *site) plan(t testing.TB) result {
	t.Helper()
	return s.run(t, "plan", "-o", "json", "--detailed-exitcode")
}

// apply is `apply -o json`.
func (s *site) apply(t testing.TB) result {
	t.Helper()
	return s.run(t, "apply", "-o", "json")
}

// converges applies and proves that nothing is left to do.
func (s *site) converges(t testing.TB) {
	t.Helper()
	s.apply(t).exits(t, exitDone)
	s.isConverged(t)
}

func (s *site) isConverged(t testing.TB) {
	t.Helper()
	r := s.plan(t)
	if p := r.exits(t, exitDone, exitPending).plan(t); len(p.Changes) != 0 || !*p.Converged || r.Code != exitDone {
		t.Fatalf("not converged: %v", r)
	}
}

func (s *site) status(t testing.TB) statusJSON {
	t.Helper()
	var st statusJSON
	s.run(t, "status", "-o", "json").exits(t, exitDone).decode(t, &st)
	return st
}

func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func freePort(t testing.TB) int {
	t.Helper()
	port, err := primary.FreePort()
	must(t, err)
	return port
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// restoreTo is one entry of restores.
func (s *site) restoreTo(name, target string) string {
	return fmt.Sprintf("  - name: %s\n    target: {%s}\n    port: %d\n", name, target, s.RestorePort)
}
