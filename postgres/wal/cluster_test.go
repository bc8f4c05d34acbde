package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// cluster is a real PostgreSQL whose archive_command keeps plain copies, so that
// what the tests read does not depend on Push.
type cluster struct {
	bin                string // the folder of initdb, pg_ctl and postgres
	own                string // of this host's programs, which serve other versions, too
	dir, data, archive string
	size               int64
	systemID           uint64
}

// sample is WAL that the read-only tests share: made once, in segments of 1 MB.
var sample = sync.OnceValues(func() (*cluster, error) {
	c, err := newCluster(1 << 20)
	if err == nil {
		err = c.fill()
	}
	return c, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	for _, c := range clusters {
		c.remove()
	}
	os.Exit(code)
}

var (
	clusters     []*cluster
	clustersMade sync.Mutex
)

func sampleWAL(t testing.TB) *cluster {
	t.Helper()
	c, err := sample()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newCluster(size int64) (*cluster, error) {
	_, own, err := servers.Own()
	if err != nil {
		return nil, err
	}
	return newClusterOf(own, size)
}

func newClusterOf(bin string, size int64) (*cluster, error) {
	_, own, err := servers.Own()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "zrw")
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, own: own, dir: dir, data: dir + "/data", archive: dir + "/archive", size: size}
	clustersMade.Lock()
	clusters = append(clusters, c)
	clustersMade.Unlock()
	uid, gid := postgresIDs()
	for _, d := range []string{c.archive} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{dir, c.archive} {
		if err := os.Chown(d, uid, gid); err != nil {
			return nil, err
		}
	}
	if _, err := c.run("initdb", "-D", c.data, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "--wal-segsize="+strconv.FormatInt(size>>20, 10)); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`
listen_addresses = ''
unix_socket_directories = '%s'
shared_buffers = '16MB'
max_prepared_transactions = 5
archive_mode = on
archive_command = 'cp %%p %s/%%f'
autovacuum = off
fsync = off
max_wal_size = '200MB'
log_min_messages = fatal
`, c.dir, c.archive)
	f, err := os.OpenFile(c.data+"/postgresql.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(conf); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	control, err := c.run("pg_controldata", "-D", c.data)
	if err != nil {
		return nil, err
	}
	_, after, _ := strings.Cut(control, "Database system identifier:")
	id, _, _ := strings.Cut(after, "\n")
	if c.systemID, err = strconv.ParseUint(strings.TrimSpace(id), 10, 64); err != nil {
		return nil, err
	}
	return c, c.start()
}

func (c *cluster) start() error {
	_, err := c.run("pg_ctl", "-D", c.data, "-l", c.dir+"/log", "-w", "start")
	return err
}

func (c *cluster) stop(mode string) error {
	_, err := c.run("pg_ctl", "-D", c.data, "-m", mode, "-w", "stop")
	return err
}

func (c *cluster) remove() {
	if _, err := os.Stat(c.data + "/postmaster.pid"); err == nil {
		_ = c.stop("immediate")
	}
	os.RemoveAll(c.dir)
}

// fill makes WAL of every kind that the reader tells apart.
func (c *cluster) fill() error {
	script := `
create table t(id int primary key, v text);
insert into t select g, repeat('x', 300) from generate_series(1,3000) g;
begin; insert into t values (100001, 'rolled back'); rollback;
begin; insert into t values (100002, 'a'); savepoint s; insert into t values (100003, 'b'); rollback to s; insert into t values (100004, 'c'); commit;
begin; insert into t values (100005, 'two phase'); savepoint s; insert into t values (100006, 'x'); release s; prepare transaction 'one';
begin; create table dropped(i int); insert into dropped values (1); prepare transaction 'two';
commit prepared 'one';
rollback prepared 'two';
begin; drop table t; prepare transaction 'three';
rollback prepared 'three';
select pg_create_restore_point('before-migration');
checkpoint;
select pg_switch_wal();
insert into t select g, repeat(md5(g::text), 30) from generate_series(10001,14000) g;
create table big(v text); alter table big alter v set storage external;
insert into big select string_agg(md5(g::text), '') from generate_series(1,60000) g;
update t set v = v || 'y';
delete from t where id % 3 = 0;
vacuum t;
create index on t(v);
begin; create temp table tt(i int); insert into t values (200001,'z'); commit;
select pg_create_restore_point('end');
select pg_switch_wal();
insert into t select g, 'tail' from generate_series(300001,300100) g;
`
	if _, err := c.psql(script); err != nil {
		return err
	}
	return c.waitArchived()
}

// waitPromoted waits for the end of recovery: with hot_standby, pg_ctl calls a
// server started that answers, though it may have WAL to replay yet.
func (c *cluster) waitPromoted() error {
	for range 300 {
		out, err := c.psql("select pg_is_in_recovery()")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) == "f" {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s is still in recovery", c.data)
}

// waitArchived waits until every complete segment is in the archive.
func (c *cluster) waitArchived() error {
	for range 300 {
		out, err := c.psql("select pg_walfile_name(pg_current_wal_lsn()) > coalesce(last_archived_wal, '') and not exists (select from pg_ls_archive_statusdir() where name like '%.ready') from pg_stat_archiver")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) == "t" {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the archiver of %s does not finish", c.data)
}

func (c *cluster) psql(script string) (string, error) {
	cmd := c.command("psql", "-h", c.dir, "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "postgres")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return string(out), nil
}

func (c *cluster) run(name string, args ...string) (string, error) {
	// A server started by pg_ctl would hold a pipe open for ever.
	out, err := os.CreateTemp("", "zrw-out")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := c.command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	b, _ := os.ReadFile(out.Name())
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, b)
	}
	return string(b), nil
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	uid, gid := postgresIDs()
	path := filepath.Join(c.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join(c.own, name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd
}

func postgresIDs() (uid, gid int) {
	u, err := user.Lookup("postgres")
	if err != nil {
		panic(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func (c *cluster) lsn(t testing.TB, query string) LSN {
	t.Helper()
	out, err := c.psql(query)
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseLSN(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reader reads the archive, and then pg_wal, from the first archived segment.
func (c *cluster) reader(t testing.TB, src Source) *Reader {
	r := NewReader(src, c.size, c.systemID, PathOf(1, nil), c.first(t).Start(c.size))
	t.Cleanup(func() { r.Close() })
	return r
}

func (c *cluster) both() Source { return Sources(Dir(c.archive), Dir(c.data+"/pg_wal")) }

func (c *cluster) first(t testing.TB) Segment {
	t.Helper()
	inv, err := List(c.archive, c.size)
	if err != nil || len(inv.Segments) == 0 {
		t.Fatal("no archived segments", err)
	}
	return inv.Segments[0].Segment
}

// full is an archived segment that has records up to its last page.
func (c *cluster) full(t testing.TB, all []Record) Segment {
	t.Helper()
	for _, r := range all[1:] {
		if n := uint64(r.Start) / uint64(c.size); r.Kind != Switch && uint64(r.End)/uint64(c.size) > n && n > c.first(t).Number {
			return Segment{1, n}
		}
	}
	t.Fatal("the sample has no full segment")
	return Segment{}
}

// readAll reads until the error that ends it.
func readAll(r *Reader) ([]Record, error) {
	var all []Record
	for {
		rec, err := r.Next(context.Background())
		if err != nil {
			return all, err
		}
		all = append(all, rec)
	}
}

// memory is a Source of bytes, so that files need not be written to be damaged.
type memory map[Segment][]byte

func (m memory) Open(_ context.Context, seg Segment, size int64) (io.ReadCloser, string, error) {
	b, ok := m[seg]
	if !ok {
		return nil, "", os.ErrNotExist
	}
	return readerAt{bytes.NewReader(b)}, fmt.Sprintf("memory %p: %s", m, seg.Name(size)), nil
}

func (m memory) segments(context.Context, int64) ([]Segment, error) {
	var list []Segment
	for s := range m {
		list = append(list, s)
	}
	return list, nil
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

// load brings the archive and what the server has into memory.
func (c *cluster) load(t testing.TB, dirs ...string) memory {
	t.Helper()
	m := memory{}
	for _, dir := range dirs {
		inv, err := List(dir, c.size)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range inv.Segments {
			b, err := os.ReadFile(filepath.Join(dir, s.Name(c.size)))
			if err != nil {
				t.Fatal(err)
			}
			if m[s.Segment] == nil && LSN(binary.LittleEndian.Uint64(b[8:])) == s.Start(c.size) {
				m[s.Segment] = b
			}
		}
	}
	return m
}

var sample16 = sync.OnceValues(func() (*cluster, error) {
	c, err := newCluster(16 << 20)
	if err == nil {
		err = c.fill()
	}
	return c, err
})

func sampleWAL16(t testing.TB) *cluster {
	t.Helper()
	c, err := sample16()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
