package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// heard is what arrived on a socket until now.
type heard struct {
	sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.Lock()
	defer h.Unlock()
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.Lock()
	defer h.Unlock()
	return h.text.String()
}

func (h *heard) count(text string) int { return strings.Count(h.String(), text) }

// underSystemd starts a watch as systemd does: stderr is a socket of the journal
// (systemd.exec(5), JOURNAL_STREAM), and sd_notify(3) finds one, too.
func (s *site) underSystemd(t *testing.T, args ...string) (watch *background, journal, notified *heard) {
	t.Helper()
	journal, notified = &heard{}, &heard{}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	ours, its := os.NewFile(uintptr(pair[0]), "journal"), os.NewFile(uintptr(pair[1]), "stderr")
	defer its.Close()
	var stat unix.Stat_t
	must(t, unix.Fstat(pair[1], &stat))
	socket := filepath.Join(s.Dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)

	watch = &background{cmd: prepared(context.Background(), append([]string{"watch", "-f", s.File()}, args...)...), ended: make(chan struct{})}
	watch.cmd.Env = append(watch.cmd.Env, fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino), "NOTIFY_SOCKET="+socket)
	watch.cmd.Stderr = its
	must(t, watch.cmd.Start())
	go func() {
		_ = watch.cmd.Wait() // its code is in ProcessState
		close(watch.ended)
	}()
	go collect(ours, journal)
	go collect(conn, notified)
	t.Cleanup(func() {
		_ = watch.cmd.Process.Kill()
		<-watch.ended
		ours.Close()
		conn.Close()
		if t.Failed() {
			t.Logf("the journal:\n%s", journal)
		}
	})
	return watch, journal, notified
}

// collect reads until from is closed; a message of a datagram socket is a line.
func collect(from interface{ Read([]byte) (int, error) }, into *heard) {
	_, datagrams := from.(*net.UnixConn)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		text := buf[:n]
		if datagrams {
			text = append(text, '\n')
		}
		_, _ = into.Write(text)
	}
}

// TestWatchLog reads what a watch writes to the journal of systemd: lines with
// priorities, one for each change, a lasting block once, and that it is gone;
// and never the password.
func TestWatchLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, sharedPrimary(t, primary.Plain))
	s.Restores = s.restoreTo("long-ago", "time: '2001-01-01 00:00:00+00'")
	s.write(t)
	watch, journal, notified := s.underSystemd(t, "--log-level", "debug")
	rounds := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("round %d to end", n), func() bool {
			return notified.count("STATUS=1 blocked") >= n || watch.over()
		})
	}
	rounds(1)
	for n := 2; n <= 3; n++ {
		must(t, watch.cmd.Process.Signal(syscall.SIGHUP))
		rounds(n)
	}
	const blocked, cleared = "<4>WRN blocked kind=restore name=long-ago action=block ", "<6>INF cleared kind=restore name=long-ago action=block "
	if n := journal.count(blocked); n != 1 {
		t.Errorf("in three rounds, the block was told of %d times", n)
	}
	if journal.count(cleared) > 0 {
		t.Error("it is told of as cleared, and stands")
	}
	s.Restores = ""
	s.replace(t)
	eventually(t, "word of the block that is gone", func() bool { return journal.count(cleared) == 1 || watch.over() })
	must(t, watch.cmd.Process.Signal(syscall.SIGTERM))
	watch.ends(t, exitDone)

	lines := regexp.MustCompile(`^<(7>DBG|6>INF|4>WRN|3>ERR) \S`)
	changed := regexp.MustCompile(`^<6>INF changed kind=\S+ name=\S+ action=\S+ why=("[^"]*"|\S+) result=done duration=[0-9.]+m?s$`)
	told := map[string]int{}
	for line := range strings.Lines(journal.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !lines.MatchString(line) || strings.Contains(line, "\x1b") {
			t.Errorf("no line for the journal: %q", line)
		}
		if !strings.HasPrefix(line, "<6>INF changed ") {
			continue
		}
		if !changed.MatchString(line) {
			t.Errorf("a change is told of otherwise: %q", line)
		}
		told[strings.Fields(line)[2]]++
	}
	if told["kind=pool"] != 1 || told["kind=dataset"] != 2 || told["kind=basebackup"] != 1 || told["kind=snapshot"] != 1 {
		t.Errorf("changes told of: %v", told)
	}
	if journal.count("<7>DBG run ") == 0 || journal.count(s.Password) > 0 {
		t.Errorf("want each program that was run, and the password %q nowhere", s.Password)
	}
}
