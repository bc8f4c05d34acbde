package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// oddPassword has all that the files and strings on its way treat as special.
const oddPassword = `a'b "c" \d:e$f =g#%`

// The servers of these tests run as the user postgres, on ports that the
// operating system chose, with sockets in short folders of their own.

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func testUser(t *testing.T) OSUser {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests start servers as another user: run them as root")
	}
	u, err := LookupOSUser("postgres")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// testFolder is short, for sockets, and open to the user postgres, which
// t.TempDir is not.
func testFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "zrt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testMkdir(t *testing.T, u OSUser, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, int(u.UID), int(u.GID)); err != nil {
		t.Fatal(err)
	}
	return path
}

func testWrite(t *testing.T, u OSUser, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(path, int(u.UID), int(u.GID)); err != nil {
		t.Fatal(err)
	}
}

func testAppend(t *testing.T, path, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func testBinDir(t *testing.T) string {
	t.Helper()
	_, dir, err := servers.Own()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// testCluster describes a data directory below dir; nothing is made but its folders.
func testCluster(t *testing.T, dir, name string) *Cluster {
	u := testUser(t)
	return &Cluster{
		DataDir: filepath.Join(dir, name), BinDir: testBinDir(t),
		SocketDir: testMkdir(t, u, filepath.Join(dir, "s")), Port: freePort(t),
		User: u, Admin: Login{Role: "boss"}, LogFile: filepath.Join(dir, "log", name+".log"),
	}
}

// templateMade is for TestMain to remove.
var templateMade string

// templateFolder holds one initdb for all tests, since each takes a second.
var templateFolder = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("/tmp", "zrtemplate")
	if err != nil {
		return "", err
	}
	templateMade = dir
	u, err := LookupOSUser("postgres")
	if err != nil {
		return "", err
	}
	if err := os.Chown(dir, int(u.UID), int(u.GID)); err != nil {
		return "", err
	}
	_, bin, err := servers.Own()
	if err != nil {
		return "", err
	}
	c := Cluster{BinDir: bin, User: u}
	return dir, c.initdb(filepath.Join(dir, "data"))
})

func (c *Cluster) initdb(dir string) error {
	_, err := output(nil, c.tool(context.Background(), "initdb", "-D", dir, "-U", "boss",
		"--no-sync", "--data-checksums", "--auth=trust", "--wal-segsize=1", "--encoding=UTF8", "--locale=C"))
	return err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if templateMade != "" {
		_ = os.RemoveAll(templateMade) // a leftover in /tmp is no failure
	}
	os.Exit(code)
}

const testHBA = `local all all trust
host replication repl 127.0.0.1/32 scram-sha-256
host replication wide 127.0.0.1/32 scram-sha-256
host replication norepl 127.0.0.1/32 scram-sha-256
host postgres wide 127.0.0.1/32 scram-sha-256
`

// newServer makes and starts a server with a bootstrap superuser called boss,
// segments of 1 MB, and roles to replicate as.
func newServer(t *testing.T) *Cluster {
	t.Helper()
	c := testCluster(t, testFolder(t), "data")
	template, err := templateFolder()
	if err != nil {
		t.Fatal(err)
	}
	copyTree(t, filepath.Join(template, "data"), c.DataDir)
	startNew(t, c)
	return c
}

// startNew configures and starts what initdb made.
func startNew(t *testing.T, c *Cluster) {
	t.Helper()
	testAppend(t, filepath.Join(c.DataDir, "postgresql.conf"), fmt.Sprintf(
		"port = %d\nunix_socket_directories = '%s'\nlisten_addresses = '127.0.0.1'\nfsync = off\nshared_buffers = 8MB\nwal_level = replica\nmax_wal_senders = 5\npassword_encryption = 'scram-sha-256'\n", c.Port, c.SocketDir))
	testWrite(t, c.User, filepath.Join(c.DataDir, "pg_hba.conf"), testHBA)
	start(t, c)
	mustExec(t, c, "create role repl replication login password '"+strings.ReplaceAll(oddPassword, "'", "''")+"'")
	mustExec(t, c, "create role wide replication login password 'wide' in role pg_monitor")
	mustExec(t, c, "create role norepl login password 'norepl'")
	mustExec(t, c, "create role stranger replication login password 'stranger'")
}

// copyTree copies a folder with owners, modes and links as they are.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

func start(t *testing.T, c *Cluster) {
	t.Helper()
	if err := c.Start(testContext(t), StartOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Stop(ctx, "immediate"); err != nil {
			t.Error(err)
		}
	})
}

// mustExec runs one statement that may write.
func mustExec(t *testing.T, c *Cluster, sql string) {
	t.Helper()
	conn := session(t, c)
	defer closing(conn)
	for _, statement := range []string{"set default_transaction_read_only = off", sql} {
		if _, err := conn.Exec(testContext(t), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func ask[T any](t *testing.T, c *Cluster, sql string) T {
	t.Helper()
	conn := session(t, c)
	defer closing(conn)
	var value T
	if err := conn.QueryRow(testContext(t), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func session(t *testing.T, c *Cluster) *pgx.Conn {
	t.Helper()
	conn, err := c.Connect(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (c *Cluster) conninfo(role string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s sslmode=prefer application_name=zrt keepalives_idle=30", c.Port, role)
}
