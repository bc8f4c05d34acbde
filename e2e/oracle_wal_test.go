package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// waldump reads what a timeline holds from an LSN on, as far as it goes.
// Reference: pg_waldump(1). It ends with an error where the WAL does.
func (h *history) waldump(p *primary.Primary, timeline int, from lsn) ([]walRecord, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// The segments are named, since of all it would ask any for their size, also one that is empty yet.
	first := segmentName(timeline, from, h.segment)
	dir := filepath.Join(p.DataDir, "pg_wal")
	segments, err := filepath.Glob(filepath.Join(dir, first[:8]+strings.Repeat("[0-9A-F]", 16)))
	if err != nil || len(segments) == 0 {
		return nil, fmt.Errorf("no segment of timeline %d in %s: %v", timeline, dir, err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.BinDir, "pg_waldump"), "-p", dir, "-s", from.String(), first, filepath.Base(slices.Max(segments)))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	records, parseErr := parseWaldump(stdout)
	_, _ = io.Copy(io.Discard, stdout) // so that it ends
	err = cmd.Wait()
	if parseErr != nil {
		return nil, parseErr
	}
	if err != nil && !strings.Contains(stderr.String(), "error in WAL record at") && !strings.Contains(stderr.String(), "could not find a valid record after") {
		return nil, fmt.Errorf("pg_waldump -s %s %s: %w: %s", from, first, err, stderr.String())
	}
	return records, nil
}

func parseWaldump(output io.Reader) ([]walRecord, error) {
	var records []walRecord
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(line, "rmgr: ") {
			continue // a remark
		}
		r, err := parseWaldumpLine(line)
		if err != nil {
			return nil, fmt.Errorf("pg_waldump says %q: %w", line, err)
		}
		records = append(records, r)
	}
}

var runningXacts = regexp.MustCompile(`^RUNNING_XACTS nextXid (\d+) latestCompletedXid \d+ oldestRunningXid (\d+)(; \d+ xacts)?`)

// parseXID is for what matched digits.
func parseXID(digits string) uint32 {
	n, _ := strconv.ParseUint(digits, 10, 32)
	return uint32(n)
}

// parseWaldumpLine reads lines such as
//
//	rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/01529C68, prev 0/01529C30, desc: COMMIT 2026-11-23 17:40:42.123456 UTC
//	rmgr: Transaction len (rec/tot):     66/    66, tx:          0, lsn: 0/01529D00, prev 0/01529C98, desc: COMMIT_PREPARED 745: 2026-11-23 17:40:43.000001 UTC
func parseWaldumpLine(line string) (walRecord, error) {
	head, desc, ok := strings.Cut(strings.TrimSpace(line), "desc: ")
	if !ok {
		return walRecord{}, errors.New("no desc")
	}
	start, err := parseLSN(field(head, "lsn: "))
	if err != nil {
		return walRecord{}, err
	}
	r := walRecord{start: start}
	what, rest, _ := strings.Cut(desc, " ")
	switch strings.Fields(head)[1] {
	case "XLOG":
		switch {
		case what == "RESTORE_POINT":
			r.kind, r.name = pointRecord, rest
		case what == "CHECKPOINT_SHUTDOWN":
			r.kind = shutdownRecord
		}
	case "Standby":
		if m := runningXacts.FindStringSubmatch(desc); m != nil {
			r.kind, r.idle, r.overflow = runningRecord, m[3] == "", strings.Contains(desc, "subxid ovf")
			r.next, r.oldest = parseXID(m[1]), parseXID(m[2])
		}
	case "Transaction":
		xid := field(head, "tx: ")
		switch what {
		case "COMMIT_PREPARED", "ABORT_PREPARED":
			xid, rest, _ = strings.Cut(rest, ": ")
		case "COMMIT", "ABORT":
		default:
			return r, nil
		}
		r.kind = commitRecord
		if strings.HasPrefix(what, "ABORT") {
			r.kind = abortRecord
		}
		number, err := strconv.ParseUint(strings.TrimSpace(xid), 10, 32)
		if err != nil {
			return r, err
		}
		moment, _, _ := strings.Cut(rest, " UTC")
		at, err := time.Parse("2006-01-02 15:04:05.999999", moment)
		if err != nil {
			return r, err
		}
		r.xid, r.micros = uint32(number), at.UnixMicro()
	}
	return r, nil
}

// field is what stands between a label and the next comma.
func field(head, label string) string {
	_, after, _ := strings.Cut(head, label)
	value, _, _ := strings.Cut(after, ",")
	return strings.TrimSpace(value)
}

// read brings the history up to date: the ledger as it is now, and the records
// of all that is in it. What it holds of the primary's timeline stays.
func (h *history) read(t testing.TB, p *primary.Primary, timeline int) {
	t.Helper()
	rows, times := readLedger(t, p)
	// A commit that waits for its flush takes all earlier ones with it to the file.
	must(t, p.Exec("INSERT INTO beat VALUES (0)"))
	h.extend(t, p, timeline)
	h.ledger = rows
	h.index()
	for _, r := range rows {
		i, committed := h.commits[r.xid]
		if !committed || h.records[i].micros != times[r.id] {
			t.Fatalf("the oracle does not understand the WAL: row %s has the time %d", h.described(r.id), times[r.id])
		}
	}
}

// extend reads on from where the last reading ended.
func (h *history) extend(t testing.TB, p *primary.Primary, timeline int) {
	t.Helper()
	more, err := h.waldump(p, timeline, h.next)
	must(t, err)
	for _, r := range more {
		if n := len(h.records); n == 0 || r.start > h.records[n-1].start {
			h.records = append(h.records, r)
			h.next = r.start
		}
	}
}

// switchTo goes on along the timeline of a primary that was promoted, and gives
// the transactions whose ends the old one alone has.
func (h *history) switchTo(t testing.TB, old, promoted *primary.Primary, timeline int) (abandoned []uint32) {
	t.Helper()
	h.extend(t, old, timeline)
	text, err := os.ReadFile(filepath.Join(promoted.DataDir, "pg_wal", fmt.Sprintf("%08X.history", timeline+1)))
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	at, err := parseLSN(strings.Fields(lines[len(lines)-1])[1])
	must(t, err)
	keep := h.from(at)
	for _, r := range h.records[keep:] {
		if r.ends() {
			abandoned = append(abandoned, r.xid)
		}
	}
	h.records, h.next = h.records[:keep], at
	return abandoned
}

// readLedger gives the rows, and by id the time that the primary itself tells of
// the commit.
func readLedger(t testing.TB, p *primary.Primary) (list []row, times map[int64]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := dialPrimary(ctx, p)
	must(t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT id, xid, (extract(epoch FROM pg_xact_commit_timestamp(xid::text::xid)) * 1000000)::bigint FROM ledger`)
	must(t, err)
	times = map[int64]int64{}
	var r row
	var xid, micros int64
	_, err = pgx.ForEachRow(rows, []any{&r.id, &xid, &micros}, func() error {
		r.xid = uint32(xid)
		list = append(list, r)
		times[r.id] = micros
		return nil
	})
	must(t, err)
	return list, times
}

// dialPrimary connects as its superuser.
func dialPrimary(ctx context.Context, p *primary.Primary) (*pgx.Conn, error) {
	conf, err := pgx.ParseConfig("host=127.0.0.1 dbname=postgres sslmode=disable")
	if err != nil {
		return nil, err
	}
	conf.Port, conf.User, conf.Password = uint16(p.Port), p.Superuser, p.Password
	return pgx.ConnectConfig(ctx, conf)
}
